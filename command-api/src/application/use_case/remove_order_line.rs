//! Removes a line from a pending order.

use access::Permission;
use domain::order::OrderCommand;
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;

/// Removes a line from an order.
pub struct RemoveOrderLine {
    /// The order's id.
    pub order_id: Uuid,
    /// The order line's id.
    pub line_id: Uuid,
}

impl UseCase for RemoveOrderLine {
    const NAME: &'static str = "remove_order_line";
    const PERMISSION: Permission = Permission::OrdersWrite;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.order(self.order_id).await?;
        let events = order.decide([OrderCommand::RemoveLine { line_id: self.line_id }])?;
        Ok(work.changes(&order, &events)?.into())
    }
}
