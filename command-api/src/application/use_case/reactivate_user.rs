//! Reactivates a deactivated user.

use access::{Owner, Permission};
use domain::user::{UserCommand, UserError};
use uuid::Uuid;

use super::{Decision, EmailReservations, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{Environment, Input};

/// The input for reactivating a user.
#[derive(Debug, Clone, Copy)]
pub struct ReactivateUserInput {
    /// The user's id.
    pub user_id: Uuid,
}

impl Input for ReactivateUserInput {
    type UseCase = ReactivateUser;

    fn read(self, environment: &Environment) -> Result<ReactivateUser, CommandError> {
        let reservations = environment.reservations.clone();
        Ok(ReactivateUser { user_id: self.user_id, reservations })
    }
}

/// Reactivates a user and reserves the e-mail address again.
pub struct ReactivateUser {
    /// The user's id.
    pub user_id: Uuid,
    /// Makes the reservations of e-mail addresses.
    pub reservations: EmailReservations,
}

impl UseCase for ReactivateUser {
    const NAME: &'static str = "reactivate_user";
    const PERMISSION: Permission = Permission::UsersDelete;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::User(self.user_id))
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let user = work.user(self.user_id).await?;
        let events = user.decide([UserCommand::Reactivate])?;
        let email = user.state.email().ok_or(UserError::Erased)?;
        let taken = self.reservations.take(self.user_id, email)?;
        Ok(work.changes(&user, &events)?.reserving([taken]).into())
    }
}
