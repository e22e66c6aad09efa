//! The stock that an order takes: reserved when it is fulfilled, released when it is cancelled, and
//! taken out when it is shipped. Release and shipment happen in the same append as the event of the
//! order.

use domain::order::Order;
use domain::product::{ProductCommand, ProductError};
use uuid::Uuid;

use super::Work;
use crate::application::error::{CommandError, ShortLine};
use crate::application::repository::{Changes, Loaded};

/// Adds the reservations of a confirmed order.
///
/// # Errors
/// [`CommandError::OutOfStock`] with each line for which there is not enough.
pub(super) async fn reserve(
    work: &Work<'_>,
    order: &Loaded<Order>,
    changes: Changes,
) -> Result<Changes, CommandError> {
    let order_id = order.id;
    each(work, order, changes, |units| ProductCommand::ReserveStock { order_id, units }).await
}

/// Releases the reservations of an order that is cancelled.
///
/// # Errors
/// A product could not be loaded.
pub(super) async fn release(
    work: &Work<'_>,
    order: &Loaded<Order>,
    changes: Changes,
) -> Result<Changes, CommandError> {
    let order_id = order.id;
    each(work, order, changes, |_| ProductCommand::ReleaseStock { order_id }).await
}

/// Takes the units of an order that is shipped out of the stock.
///
/// # Errors
/// [`CommandError::OutOfStock`] with each line for which nothing is reserved and there is not
/// enough.
pub(super) async fn ship(
    work: &Work<'_>,
    order: &Loaded<Order>,
    changes: Changes,
) -> Result<Changes, CommandError> {
    let order_id = order.id;
    each(work, order, changes, |units| ProductCommand::ShipStock { order_id, units }).await
}

/// Adds what a command with the ordered units decides for each product of the order.
async fn each(
    work: &Work<'_>,
    order: &Loaded<Order>,
    mut changes: Changes,
    command: impl Fn(i64) -> ProductCommand + Send,
) -> Result<Changes, CommandError> {
    let wanted = order.state.units_by_product();
    let mut short = Vec::new();
    for product in work.products(wanted.keys().copied()).await? {
        let units = wanted.get(&product.id).copied().unwrap_or_default();
        match product.decide([command(units)]) {
            Ok(events) => changes = changes.and(&product, &events, &work.metadata)?,
            Err(ProductError::NotEnoughStock { available }) => {
                short.extend(short_line(&order.state, product.id, units, available));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if short.is_empty() { Ok(changes) } else { Err(CommandError::OutOfStock(short)) }
}

fn short_line(order: &Order, product_id: Uuid, wanted: i64, available: i64) -> Option<ShortLine> {
    let (index, line_id) = order.line_beyond(product_id, available)?;
    Some(ShortLine { index, line_id, product_id, wanted, available })
}
