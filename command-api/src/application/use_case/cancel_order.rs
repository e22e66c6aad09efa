//! Cancels a pending order.

use access::Permission;
use domain::order::OrderCommand;
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;

/// Cancels an order.
pub struct CancelOrder {
    /// The order's id.
    pub order_id: Uuid,
}

impl UseCase for CancelOrder {
    const NAME: &'static str = "cancel_order";
    const PERMISSION: Permission = Permission::OrdersWrite;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.order(self.order_id).await?;
        let events = order.decide([OrderCommand::Cancel])?;
        Ok(work.changes(&order, &events)?.into())
    }
}
