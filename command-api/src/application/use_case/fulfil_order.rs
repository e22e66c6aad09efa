//! What the fulfilment of an order decides besides what staff could record: it reserves the stock,
//! and it ends an order that cannot be fulfilled.

use access::Permission;
use domain::order::{Cancellation, OrderCommand, OrderError, OrderStatus, Record};
use uuid::Uuid;

use super::cancel_order::cancelled;
use super::record_order::Note;
use super::{Decision, UseCase, Work, stock};
use crate::application::error::CommandError;

/// Reserves the stock of a confirmed order, all of it or nothing. Repeating it changes nothing.
pub struct ReserveStock {
    /// The order's id.
    pub order_id: Uuid,
}

impl UseCase for ReserveStock {
    const NAME: &'static str = "reserve_stock";
    const PERMISSION: Permission = Permission::OrdersFulfil;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.order(self.order_id).await?;
        // Without events it only requires that the order has not changed meanwhile.
        let changes = work.changes(&order, &[])?;
        match order.state.status().unwrap_or(OrderStatus::Pending) {
            OrderStatus::Confirmed | OrderStatus::Paid => {
                Ok(stock::reserve(work, &order, changes).await?.into())
            }
            // Its units have left already.
            OrderStatus::Shipped | OrderStatus::Delivered | OrderStatus::Refunded => {
                Ok(changes.into())
            }
            status @ (OrderStatus::Pending | OrderStatus::Cancelled) => {
                let needed = OrderStatus::Confirmed;
                Err(OrderError::OtherStatus { status, needed }.into())
            }
        }
    }
}

/// Ends an order that cannot be fulfilled: cancels it unless it is shipped or cancelled already,
/// releases its stock, and records that what was paid was given back. Repeating it changes nothing.
pub struct EndUnfulfilled {
    /// The order's id.
    pub order_id: Uuid,
    /// Why the order is cancelled, and which products that is about.
    pub cancellation: Cancellation,
    /// The note of the refund, if what was paid was given back.
    pub refunded: Option<Note>,
}

impl UseCase for EndUnfulfilled {
    const NAME: &'static str = "end_unfulfilled_order";
    const PERMISSION: Permission = Permission::OrdersFulfil;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.order(self.order_id).await?;
        let mut commands = Vec::new();
        let is_held = match order.state.status().unwrap_or(OrderStatus::Pending) {
            OrderStatus::Pending | OrderStatus::Confirmed | OrderStatus::Paid => {
                commands.push(OrderCommand::Cancel(self.cancellation.clone()));
                true
            }
            OrderStatus::Cancelled => true,
            OrderStatus::Shipped | OrderStatus::Delivered | OrderStatus::Refunded => false,
        };
        let held = order.state.held().filter(|held| is_held && held.minor() > 0);
        if let (Some(amount), Some(Note { reason, evidence })) = (held, self.refunded.clone()) {
            let record = Record { by: work.acting_user, reason, evidence };
            commands.push(OrderCommand::Refund { amount, record });
        }
        let events = order.decide(commands)?;
        Ok(cancelled(work, &order, &events).await?.into())
    }
}
