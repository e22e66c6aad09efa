//! Ends the orders of a user, before the user's personal data is erased.

use access::{Owner, Permission};
use domain::user_orders::UserOrdersCommand;
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;

/// Ends the orders of a user for good. It is refused while an order is open. It needs no input of
/// its own.
pub struct EndOrders {
    /// The user's id.
    pub user_id: Uuid,
}

impl UseCase for EndOrders {
    const NAME: &'static str = "end_orders";
    const PERMISSION: Permission = Permission::UsersErase;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::User(self.user_id))
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let orders = work.user_orders(self.user_id).await?;
        let events = orders.decide([UserOrdersCommand::End { user_id: self.user_id }])?;
        Ok(work.changes(&orders, &events)?.into())
    }
}
