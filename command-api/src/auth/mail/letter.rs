//! The texts of mails. They are plain text, and short.

use std::fmt::Write as _;

use secrecy::SecretString;
use uuid::Uuid;

/// What a mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The token of a sign-up.
    SignUp,
    /// Somebody wanted to sign up with the address of a user.
    AlreadyRegistered,
    /// The token for a new password.
    PasswordReset,
    /// The token for a new address, sent to it.
    EmailChange,
    /// The address was changed, sent to the old one.
    EmailChanged,
    /// The password was changed by somebody who knew it.
    PasswordChanged,
    /// The password was set with a mailed token.
    PasswordWasReset,
    /// An API key was made.
    KeyMade,
    /// No mail. It takes the place of one, so that the work is the same.
    Nothing,
}

/// A mail.
#[derive(Debug)]
pub struct Letter {
    /// The mail's id.
    pub id: Uuid,
    /// The address of the recipient.
    pub to: String,
    /// The subject line.
    pub subject: &'static str,
    /// The text, which may hold a token.
    pub text: SecretString,
}

/// What a mail tells besides the words of its kind.
#[derive(Clone, Copy, Default)]
pub struct Told<'a> {
    /// The token.
    pub token: Option<&'a str>,
    /// The number of API keys that stay valid, or were revoked.
    pub keys: Option<u32>,
}

/// The page of the frontend that lists the API keys of its user, and revokes them.
const KEYS_PAGE: &str = "api-keys";

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::SignUp,
        Self::AlreadyRegistered,
        Self::PasswordReset,
        Self::EmailChange,
        Self::EmailChanged,
        Self::PasswordChanged,
        Self::PasswordWasReset,
        Self::KeyMade,
        Self::Nothing,
    ];

    /// The name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignUp => "sign-up",
            Self::AlreadyRegistered => "already-registered",
            Self::PasswordReset => "password-reset",
            Self::EmailChange => "email-change",
            Self::EmailChanged => "email-changed",
            Self::PasswordChanged => "password-changed",
            Self::PasswordWasReset => "password-was-reset",
            Self::KeyMade => "key-made",
            Self::Nothing => "nothing",
        }
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The subject line and the text before the token.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::SignUp => (
                "Confirm your e-mail address",
                "Welcome! Confirm that this address is yours, and choose a password:",
            ),
            Self::AlreadyRegistered => (
                "You have an account already",
                "Somebody, perhaps you, wanted to sign up with this address. You have an account \
                 already.\nIf you forgot the password, ask for a new one. Otherwise there is \
                 nothing to do.",
            ),
            Self::PasswordReset => (
                "Choose a new password",
                "Somebody, perhaps you, asked for a new password. If it was not you, there is \
                 nothing to do.\nChoose a new password:",
            ),
            Self::EmailChange => {
                ("Confirm your new e-mail address", "Confirm that this address is yours:")
            }
            Self::EmailChanged => (
                "Your e-mail address was changed",
                "The e-mail address of your account was changed. If it was not you, ask us for \
                 help.",
            ),
            Self::PasswordChanged => (
                "Your password was changed",
                "The password of your account was changed. If it was not you, ask for a new one \
                 at once.",
            ),
            Self::PasswordWasReset => (
                "Your password was reset",
                "The password of your account was set with a mail to this address, and all \
                 sessions ended. If it was not you, ask us for help.",
            ),
            Self::KeyMade => (
                "An API key was made",
                "Somebody who is logged in to your account made an API key. If it was not you, \
                 change the password and revoke the key:",
            ),
            Self::Nothing => ("", ""),
        }
    }

    /// What a new password means for the user's API keys, if there are any.
    fn words_on_keys(self, keys: u32) -> Option<String> {
        match self {
            _ if keys == 0 => None,
            Self::PasswordChanged => Some(format!(
                "Your API keys stay valid ({keys} of them). Revoke those that you do not know:"
            )),
            Self::PasswordWasReset => Some(format!(
                "Your API keys were revoked ({keys} of them). Programs that use them need new ones:"
            )),
            _ => None,
        }
    }

    /// The page of the frontend that takes the token.
    const fn page(self) -> &'static str {
        match self {
            Self::SignUp => "confirm-sign-up",
            Self::PasswordReset => "reset-password",
            Self::EmailChange => "confirm-email",
            _ => "",
        }
    }

    /// Writes the mail. The token comes after `#`, so that browsers send it to no server.
    pub fn letter(self, id: Uuid, to: String, told: &Told<'_>, frontend: &str) -> Letter {
        let (subject, words) = self.words();
        let mut text = format!("{words}\n");
        // Writing to a string does not fail.
        if let Some(token) = told.token {
            let _ = write!(text, "\n{frontend}/{}#token={token}\n", self.page());
        }
        if let Some(words) = told.keys.and_then(|keys| self.words_on_keys(keys)) {
            let _ = write!(text, "\n{words}\n\n{frontend}/{KEYS_PAGE}\n");
        }
        if self == Self::KeyMade {
            let _ = write!(text, "\n{frontend}/{KEYS_PAGE}\n");
        }
        Letter { id, to, subject, text: SecretString::from(text) }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::named("other"), None);
    }

    #[test]
    fn a_mail_has_its_token_in_a_link_and_debug_output_has_not() {
        let frontend = "https://shop.example.com";
        let told = Told { token: Some("t0k"), keys: None };
        let letter = Kind::SignUp.letter(Uuid::nil(), "a@b.c".to_owned(), &told, frontend);
        let link = "\nhttps://shop.example.com/confirm-sign-up#token=t0k\n";
        assert!(letter.text.expose_secret().ends_with(link));
        assert!(!format!("{letter:?}").contains("t0k"));
    }

    #[test]
    fn a_notice_of_a_new_password_says_what_has_become_of_the_keys_if_there_are_any() {
        let text = |kind: Kind, keys| {
            let told = Told { token: None, keys: Some(keys) };
            let letter = kind.letter(Uuid::nil(), "a@b.c".to_owned(), &told, "https://x.example");
            letter.text.expose_secret().to_owned()
        };
        let page = "\nhttps://x.example/api-keys\n";
        let changed = text(Kind::PasswordChanged, 3);
        assert!(changed.contains("stay valid (3 of them)") && changed.ends_with(page), "{changed}");
        let reset = text(Kind::PasswordWasReset, 2);
        assert!(reset.contains("were revoked (2 of them)") && reset.ends_with(page), "{reset}");
        for kind in [Kind::PasswordChanged, Kind::PasswordWasReset] {
            let text = text(kind, 0);
            assert!(!text.contains("API key") && !text.contains(page), "{text}");
        }
        assert!(text(Kind::KeyMade, 0).ends_with(page));
    }
}
