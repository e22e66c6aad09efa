//! Cancels an order that is not shipped, and releases its stock. It is then closed.

use access::Permission;
use domain::order::{CancelReason, Order, OrderCommand, OrderEvent};
use uuid::Uuid;

use super::{Decision, UseCase, Work, open_orders, stock};
use crate::application::error::CommandError;
use crate::application::repository::{Changes, Loaded};

/// Cancels an order.
pub struct CancelOrder {
    /// The order's id.
    pub order_id: Uuid,
    /// Why it is cancelled. `None` if the caller asks for it: the user who ordered, or staff.
    pub reason: Option<CancelReason>,
}

impl CancelOrder {
    /// The cancellation that the caller asks for.
    pub const fn asked(order_id: Uuid) -> Self {
        Self { order_id, reason: None }
    }

    fn reason(&self, work: &Work<'_>, order: &Order) -> CancelReason {
        self.reason.unwrap_or_else(|| {
            let is_own = work.acting_user.is_some() && work.acting_user == order.user_id();
            if is_own { CancelReason::Customer } else { CancelReason::Staff }
        })
    }
}

impl UseCase for CancelOrder {
    const NAME: &'static str = "cancel_order";
    const PERMISSION: Permission = Permission::OrdersWrite;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.order(self.order_id).await?;
        let cancel = OrderCommand::Cancel(self.reason(work, &order.state).into());
        let events = order.decide([cancel])?;
        Ok(cancelled(work, &order, &events).await?.into())
    }
}

/// The changes that belong to the cancellation of an order: the order is closed, and what is
/// reserved for it is released.
///
/// # Errors
/// A product or the open orders of its user could not be loaded.
pub(super) async fn cancelled(
    work: &Work<'_>,
    order: &Loaded<Order>,
    events: &[OrderEvent],
) -> Result<Changes, CommandError> {
    let changes = work.changes(order, events)?;
    let changes = open_orders::close(work, (order.id, &order.state), changes).await?;
    // A pending order has reserved nothing.
    if events.iter().any(|event| matches!(event, OrderEvent::SaleCancelled(_))) {
        stock::release(work, order, changes).await
    } else {
        Ok(changes)
    }
}
