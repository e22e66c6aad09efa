//! Cancels an order that is not shipped, and releases its stock. It is then closed.

use access::Permission;
use domain::order::{OrderCommand, OrderEvent};
use uuid::Uuid;

use super::{Decision, UseCase, Work, open_orders, stock};
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
        let changes = work.changes(&order, &events)?;
        let changes = open_orders::close(work, (order.id, &order.state), changes).await?;
        // A pending order has reserved nothing.
        if events.iter().any(|event| matches!(event, OrderEvent::SaleCancelled(_))) {
            Ok(stock::release(work, &order, changes).await?.into())
        } else {
            Ok(changes.into())
        }
    }
}
