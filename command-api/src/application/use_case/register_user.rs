//! A stranger becomes a user.

use domain::user::{User, UserCommand};
use domain::value::{Email, PersonName};
use uuid::Uuid;

use super::{Decision, EmailReservations, UseCase, Work};
use crate::application::repository::Loaded;
use crate::http::error::CommandError;

/// Registers a user.
pub struct RegisterUser {
    /// The id made for the user.
    pub user_id: Uuid,
    /// The address.
    pub email: Email,
    /// The name.
    pub name: PersonName,
    /// How addresses are reserved.
    pub reservations: EmailReservations,
}

impl UseCase for RegisterUser {
    const NAME: &'static str = "register_user";
    const LEAVES_TRACES: bool = true;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let Self { user_id, email, name, reservations } = self;
        let stranger = Loaded::<User>::absent(*user_id);
        let events = stranger.decide([UserCommand::Register {
            user_id: *user_id,
            email: email.clone(),
            name: name.clone(),
        }])?;
        Ok(work
            .changes(&stranger, &events)?
            .reserving([reservations.take(*user_id, email)?])
            .into())
    }
}
