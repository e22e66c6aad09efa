//! Changes a user's name, e-mail address, profile and preferences.

use access::{Owner, Permission};
use domain::user::{Change, PreferencesChange, ProfileChange, UserCommand};
use domain::value::{Currency, Email, Language, Locale, PersonName, Phone};
use uuid::Uuid;

use super::{Decision, EmailReservations, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{EmptyChange, Environment, Fields, Input};

/// A change of a user, as the caller writes it.
#[derive(Clone, Default)]
pub struct ChangeUserInput {
    /// The user's id.
    pub user_id: Uuid,
    /// The new e-mail address.
    pub email: Option<String>,
    /// The new name.
    pub name: Option<String>,
    /// The change of the profile.
    pub profile: Option<ProfileInput>,
    /// The change of the preferences.
    pub preferences: Option<PreferencesInput>,
    /// Whether a change without any of them is allowed.
    pub empty: EmptyChange,
}

/// A change of a profile, as the caller writes it.
#[derive(Clone, Default)]
pub struct ProfileInput {
    /// The name that others see.
    pub display_name: Change<String>,
    /// The locale, such as `de-AT`.
    pub locale: Change<String>,
    /// The telephone number, such as `+4312345678`.
    pub phone: Change<String>,
}

/// A change of preferences, as the caller writes it.
#[derive(Clone, Default)]
pub struct PreferencesInput {
    /// The language, such as `de`.
    pub language: Change<String>,
    /// The currency, on the current ISO 4217 list.
    pub currency: Change<String>,
    /// Whether the user wants the newsletter.
    pub newsletter: Option<bool>,
}

impl Input for ChangeUserInput {
    type UseCase = ChangeUser;

    fn read(self, environment: &Environment) -> Result<ChangeUser, CommandError> {
        let mut fields = Fields::default();
        let email = self.email.as_deref().map(Email::parse);
        let email = email.and_then(|email| fields.value("email", email));
        let name = self.name.as_deref().map(PersonName::parse);
        let name = name.and_then(|name| fields.value("name", name));
        let names_nothing = self.email.is_none()
            && self.name.is_none()
            && self.profile.is_none()
            && self.preferences.is_none();
        if names_nothing {
            self.empty.check(&mut fields, "email, name, profile and preferences");
        }
        let profile = self.profile.map(|profile| profile.read(&mut fields));
        let preferences = self.preferences.map(|preferences| preferences.read(&mut fields));
        fields.check()?;
        let reservations = environment.reservations.clone();
        Ok(ChangeUser { user_id: self.user_id, email, name, profile, preferences, reservations })
    }
}

impl ProfileInput {
    fn read(&self, fields: &mut Fields) -> ProfileChange {
        let Self { display_name, locale, phone } = self;
        ProfileChange {
            display_name: fields.change("profile", "display_name", display_name, PersonName::parse),
            locale: fields.change("profile", "locale", locale, Locale::parse),
            phone: fields.change("profile", "phone", phone, Phone::parse),
        }
    }
}

impl PreferencesInput {
    fn read(&self, fields: &mut Fields) -> PreferencesChange {
        let Self { language, currency, newsletter } = self;
        let of_today = |text: &str| text.parse::<Currency>().and_then(Currency::for_new_prices);
        PreferencesChange {
            language: fields.change("preferences", "language", language, Language::parse),
            currency: fields.change("preferences", "currency", currency, of_today),
            newsletter: *newsletter,
        }
    }
}

/// Changes a user's name, e-mail address, profile and preferences.
///
/// A user logs in with the e-mail address, and a new password is mailed to it. So users who may
/// change only their own data prove a new address first (`auth/proof/email.rs`).
pub struct ChangeUser {
    /// The user's id.
    pub user_id: Uuid,
    /// The new address.
    pub email: Option<Email>,
    /// The new name.
    pub name: Option<PersonName>,
    /// The change of the profile.
    pub profile: Option<ProfileChange>,
    /// The change of the preferences.
    pub preferences: Option<PreferencesChange>,
    /// Makes the reservations of e-mail addresses.
    pub reservations: EmailReservations,
}

impl ChangeUser {
    /// Changes the e-mail address alone.
    pub const fn email(user_id: Uuid, email: Email, reservations: EmailReservations) -> Self {
        let email = Some(email);
        Self { user_id, email, name: None, profile: None, preferences: None, reservations }
    }

    fn commands(&self) -> impl Iterator<Item = UserCommand> {
        let rename = self.name.clone().map(|name| UserCommand::Rename { name });
        let change_email = self.email.clone().map(|email| UserCommand::ChangeEmail { email });
        let profile = self.profile.clone().map(UserCommand::ChangeProfile);
        let preferences = self.preferences.clone().map(UserCommand::ChangePreferences);
        [rename, change_email, profile, preferences].into_iter().flatten()
    }
}

impl UseCase for ChangeUser {
    const NAME: &'static str = "change_user";
    const PERMISSION: Permission = Permission::UsersWrite;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::User(self.user_id))
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let user = work.user(self.user_id).await?;
        let events = user.decide(self.commands())?;
        let mut changes = work.changes(&user, &events)?;
        let moves = |new: &&Email| {
            user.state.email().is_none_or(|old| old.normalised() != new.normalised())
        };
        if let Some(new) = self.email.as_ref().filter(moves) {
            if !work.ownership.is_for_all() {
                return Err(CommandError::EmailNeedsProof);
            }
            let given_back = user
                .state
                .email()
                .map(|old| self.reservations.release(self.user_id, old))
                .transpose()?;
            changes = changes
                .reserving(given_back)
                .reserving([self.reservations.take(self.user_id, new)?]);
        }
        Ok(changes.into())
    }
}
