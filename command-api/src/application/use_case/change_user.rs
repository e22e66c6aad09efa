//! Changes a user's name, e-mail address, or both.

use access::{Owner, Permission};
use domain::user::UserCommand;
use domain::value::{Email, PersonName};
use uuid::Uuid;

use super::{Decision, EmailReservations, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{Environment, FieldPath, Fields, Input, InvalidValue};

/// A change of a user, as the caller writes it. It has at least the address or the name.
#[derive(Clone)]
pub struct ChangeUserInput {
    /// The user's id.
    pub user_id: Uuid,
    /// The new address.
    pub email: Option<String>,
    /// The new name.
    pub name: Option<String>,
}

impl Input for ChangeUserInput {
    type UseCase = ChangeUser;

    fn read(self, environment: &Environment) -> Result<ChangeUser, CommandError> {
        let mut fields = Fields::default();
        let email = self.email.as_deref().map(Email::parse);
        let email = email.and_then(|email| fields.value("email", email));
        let name = self.name.as_deref().map(PersonName::parse);
        let name = name.and_then(|name| fields.value("name", name));
        if self.email.is_none() && self.name.is_none() {
            let nothing = InvalidValue::NothingToChange { either: "email", or: "name" };
            fields.refuse(FieldPath::whole(), nothing);
        }
        fields.check()?;
        let reservations = environment.reservations.clone();
        Ok(ChangeUser { user_id: self.user_id, email, name, reservations })
    }
}

/// Changes a user's name, e-mail address, or both.
pub struct ChangeUser {
    /// The user's id.
    pub user_id: Uuid,
    /// The new address.
    pub email: Option<Email>,
    /// The new name.
    pub name: Option<PersonName>,
    /// Makes the reservations of e-mail addresses.
    pub reservations: EmailReservations,
}

impl UseCase for ChangeUser {
    const NAME: &'static str = "change_user";
    const PERMISSION: Permission = Permission::UsersWrite;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::User(self.user_id))
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let user = work.user(self.user_id).await?;
        let rename = self.name.clone().map(|name| UserCommand::Rename { name });
        let change_email = self.email.clone().map(|email| UserCommand::ChangeEmail { email });
        let events = user.decide(rename.into_iter().chain(change_email))?;
        let mut changes = work.changes(&user, &events)?;
        let moves = |new: &&Email| {
            user.state.email().is_none_or(|old| old.normalised() != new.normalised())
        };
        if let Some(new) = self.email.as_ref().filter(moves) {
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
