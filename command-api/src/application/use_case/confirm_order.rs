//! Confirms a pending order, which then counts as a sale.

use access::Permission;
use domain::order::OrderCommand;
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;

/// Confirms an order.
pub struct ConfirmOrder {
    /// The order's id.
    pub order_id: Uuid,
}

impl UseCase for ConfirmOrder {
    const NAME: &'static str = "confirm_order";
    const PERMISSION: Permission = Permission::OrdersWrite;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.order(self.order_id).await?;
        let events = order.decide([OrderCommand::Confirm { at: work.now }])?;
        Ok(work.changes(&order, &events)?.into())
    }
}
