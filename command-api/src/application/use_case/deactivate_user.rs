//! Deactivates a user.

use access::{Owner, Permission};
use domain::user::UserCommand;
use uuid::Uuid;

use super::{Decision, EmailReservations, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{Environment, Input};

/// The input for deactivating a user.
#[derive(Debug, Clone, Copy)]
pub struct DeactivateUserInput {
    /// The user's id.
    pub user_id: Uuid,
}

impl Input for DeactivateUserInput {
    type UseCase = DeactivateUser;

    fn read(self, environment: &Environment) -> Result<DeactivateUser, CommandError> {
        let reservations = environment.reservations.clone();
        Ok(DeactivateUser { user_id: self.user_id, reservations })
    }
}

/// Deactivates a user and releases the e-mail address.
pub struct DeactivateUser {
    /// The user's id.
    pub user_id: Uuid,
    /// Makes the reservations of e-mail addresses.
    pub reservations: EmailReservations,
}

impl UseCase for DeactivateUser {
    const NAME: &'static str = "deactivate_user";
    const PERMISSION: Permission = Permission::UsersDelete;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::User(self.user_id))
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let user = work.user(self.user_id).await?;
        let events = user.decide([UserCommand::Deactivate])?;
        let freed = user
            .state
            .email()
            .map(|email| self.reservations.release(self.user_id, email))
            .transpose()?;
        Ok(work.changes(&user, &events)?.reserving(freed).into())
    }
}
