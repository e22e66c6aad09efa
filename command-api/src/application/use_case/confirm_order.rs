//! Confirms a pending order, which then counts as a sale, and fixes its price.
//!
//! It reserves no stock. The saga of order fulfilment does, and cancels the order if there is not
//! enough.

use access::Permission;
use domain::order::OrderCommand;
use futures::future::try_join;
use uuid::Uuid;

use super::{Decision, UseCase, Work, pricing};
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
        // The reads do not depend on each other, so they run at the same time.
        let loaded = try_join(work.order(self.order_id), pricing::current(work)).await;
        let (order, pricing) = loaded?;
        let rules = pricing::rules(work, &order.state, &pricing).await?;
        let events = order.decide([OrderCommand::Confirm { at: work.now, rules }])?;
        Ok(work.changes(&order, &events)?.into())
    }
}
