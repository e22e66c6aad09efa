//! The count of a user's open orders: an order is opened in the append that places it, and closed
//! in the append that ends it.
//!
//! Orders of one user do not compete with each other: what they add holds in any sequence. Only the
//! end of all orders competes with each of them. It requires the version that it was decided on,
//! and a new order requires that the end has not come.

use domain::order::Order;
use domain::user_orders::UserOrdersCommand;
use uuid::Uuid;

use super::Work;
use crate::application::error::CommandError;
use crate::application::repository::Changes;

/// The event after which a user places no more orders.
const ENDED: &str = "user_orders.ended";

/// Adds that an order of the user was opened.
///
/// # Errors
/// The user places no more orders, or has too many open ones.
pub(super) async fn open(
    work: &Work<'_>,
    (user_id, order_id): (Uuid, Uuid),
    changes: Changes,
) -> Result<Changes, CommandError> {
    let orders = work.user_orders(user_id).await?;
    let events = orders.decide([UserOrdersCommand::Open { user_id, order_id }])?;
    let changes = changes.and_at_any_version(&orders, &events, &work.metadata)?;
    Ok(changes.unless(ENDED, &orders)?)
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
pub(super) async fn unless_ended(
    work: &Work<'_>,
    user_id: Uuid,
    changes: Changes,
) -> Result<Changes, CommandError> {
    let orders = work.user_orders(user_id).await?;
    orders.state.check_not_ended()?;
    Ok(changes.unless(ENDED, &orders)?)
}
