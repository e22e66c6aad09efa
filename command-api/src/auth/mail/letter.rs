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
    /// The password was changed.
    PasswordChanged,
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

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::SignUp,
        Self::AlreadyRegistered,
        Self::PasswordReset,
        Self::EmailChange,
        Self::EmailChanged,
        Self::PasswordChanged,
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
            Self::KeyMade => (
                "An API key was made",
                "Somebody who is logged in to your account made an API key. If it was not you, \
                 change the password and revoke the key.",
            ),
            Self::Nothing => ("", ""),
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
    pub fn letter(self, id: Uuid, to: String, token: Option<&str>, frontend: &str) -> Letter {
        let (subject, words) = self.words();
        let mut text = format!("{words}\n");
        if let Some(token) = token {
            // Writing to a string does not fail.
            let _ = write!(text, "\n{frontend}/{}#token={token}\n", self.page());
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
        let letter = Kind::SignUp.letter(Uuid::nil(), "a@b.c".to_owned(), Some("t0k"), frontend);
        let link = "\nhttps://shop.example.com/confirm-sign-up#token=t0k\n";
        assert!(letter.text.expose_secret().ends_with(link));
        assert!(!format!("{letter:?}").contains("t0k"));
    }
}
