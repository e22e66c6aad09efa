//! Registers a new user.

use access::{Owner, Permission};
use domain::user::{User, UserCommand};
use domain::value::{Email, PersonName};
use uuid::Uuid;

use super::{Decision, EmailReservations, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{Environment, Fields, Input, NewId};

/// A new user, as the caller writes it.
#[derive(Clone)]
pub struct RegisterUserInput {
    /// The new id of the user, if the caller gives one.
    pub id: Option<Uuid>,
    /// The user's e-mail address.
    pub email: String,
    /// The user's name.
    pub name: String,
}

impl Input for RegisterUserInput {
    type UseCase = RegisterUser;

    fn read(self, environment: &Environment) -> Result<RegisterUser, CommandError> {
        let mut fields = Fields::default();
        let user_id = NewId::read(self.id, &mut fields);
        let email = fields.value("email", Email::parse(&self.email));
        let name = fields.value("name", PersonName::parse(&self.name));
        let (Some(email), Some(name)) = (email, name) else {
            return Err(fields.invalid().into());
        };
        fields.check()?;
        let reservations = environment.reservations.clone();
        Ok(RegisterUser { user_id, email, name, reservations })
    }
}

/// Registers a user.
pub struct RegisterUser {
    /// The new id of the user.
    pub user_id: NewId,
    /// The user's e-mail address.
    pub email: Email,
    /// The user's name.
    pub name: PersonName,
    /// Makes the reservations of e-mail addresses.
    pub reservations: EmailReservations,
}

impl UseCase for RegisterUser {
    const NAME: &'static str = "register_user";
    const PERMISSION: Permission = Permission::UsersWrite;
    const LEAVES_TRACES: bool = true;
    const CREATES: bool = true;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::Nobody)
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let Self { user_id, email, name, reservations } = self;
        let stranger = work.created::<User>(*user_id).await?;
        let user_id = user_id.get();
        let events = stranger.decide([UserCommand::Register {
            user_id,
            email: email.clone(),
            name: name.clone(),
        }])?;
        Ok(work.changes(&stranger, &events)?.reserving([reservations.take(user_id, email)?]).into())
    }
}
