//! The count of a user's open orders: an order is opened in the append that places it, and closed
//! in the append that ends it.
//!
//! Orders of one user do not compete with each other: what they add holds in any sequence. Only the
//! end of all orders competes with each of them. It requires the version that it was decided on,
//! and a new order requires that the end has not come.

use domain::order::Order;
use domain::user_orders::{UserOrders, UserOrdersCommand};
use uuid::Uuid;

use super::Work;
use crate::application::error::CommandError;
use crate::application::repository::{Changes, Loaded};

/// The event after which a user places no more orders.
const ENDED: &str = "user_orders.ended";

/// Adds that an order was opened to the orders of its user.
///
/// # Errors
/// The user places no more orders, or has too many open ones.
pub(super) fn open(
    work: &Work<'_>,
    orders: &Loaded<UserOrders>,
    order_id: Uuid,
    changes: Changes,
) -> Result<Changes, CommandError> {
    let events = orders.decide([UserOrdersCommand::Open { user_id: orders.id, order_id }])?;
    let changes = changes.and_at_any_version(orders, &events, &work.metadata)?;
    Ok(changes.unless(ENDED, orders)?)
}

/// Adds that the order was closed. An order that is not open adds nothing.
///
/// # Errors
/// The open orders of its user could not be loaded.
pub(super) async fn close(
    work: &Work<'_>,
    (order_id, order): (Uuid, &Order),
    changes: Changes,
) -> Result<Changes, CommandError> {
    let Some(user_id) = order.user_id() else { return Ok(changes) };
    let orders = work.user_orders(user_id).await?;
    let events = orders.decide([UserOrdersCommand::Close { user_id, order_id }])?;
    Ok(changes.and_at_any_version(&orders, &events, &work.metadata)?)
}

/// Adds the condition that the user may still have orders. It is for an order that is not counted.
///
/// # Errors
/// The user places no more orders.
pub(super) fn unless_ended(
    orders: &Loaded<UserOrders>,
    changes: Changes,
) -> Result<Changes, CommandError> {
    orders.state.check_not_ended()?;
    Ok(changes.unless(ENDED, orders)?)
}
