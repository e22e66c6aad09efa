//! Confirms a pending order, which then counts as a sale, fixes its price, and reserves its stock.
//!
//! An order imported from another system reserves nothing: its units left the stock there.

use access::Permission;
use domain::order::OrderCommand;
use futures::future::try_join;
use uuid::Uuid;

use super::{Decision, UseCase, Work, pricing, stock};
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
        let products = work.products(order.state.units_by_product().into_keys()).await?;
        let rules = pricing::rules(work, &order.state, &products, &pricing).await?;
        let events = order.decide([OrderCommand::Confirm { at: work.now, rules }])?;
        let changes = work.changes(&order, &events)?;
        Ok(stock::reserve(work, &order, &products, changes)?.into())
    }
}
