//! The stock that an order takes: reserved at its confirmation, released when it is cancelled, and
//! taken out when it is shipped. Each happens in the same append as the event of the order.

use domain::order::Order;
use domain::product::{Product, ProductCommand, ProductError};
use uuid::Uuid;

use super::Work;
use crate::application::error::{CommandError, ShortLine};
use crate::application::repository::{Changes, Loaded};

/// Adds the reservations of an order that is confirmed. `products` are those of its lines.
///
/// # Errors
/// [`CommandError::OutOfStock`] with each line for which there is not enough.
pub(super) fn reserve(
    work: &Work<'_>,
    order: &Loaded<Order>,
    products: &[Loaded<Product>],
    mut changes: Changes,
) -> Result<Changes, CommandError> {
    let wanted = order.state.units_by_product();
    let mut short = Vec::new();
    for product in products {
        let units = wanted.get(&product.id).copied().unwrap_or_default();
        let command = ProductCommand::ReserveStock { order_id: order.id, units };
        match product.decide([command]) {
            Ok(events) => changes = changes.and(product, &events, &work.metadata)?,
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

/// Releases the reservations of an order that is cancelled.
///
/// # Errors
/// A product could not be loaded.
pub(super) async fn release(
    work: &Work<'_>,
    order: &Loaded<Order>,
    changes: Changes,
) -> Result<Changes, CommandError> {
    each(work, order, changes, ProductCommand::ReleaseStock { order_id: order.id }).await
}

/// Takes the units of an order that is shipped out of the stock.
///
/// # Errors
/// A product could not be loaded, or has no reservation of the order.
pub(super) async fn ship(
    work: &Work<'_>,
    order: &Loaded<Order>,
    changes: Changes,
) -> Result<Changes, CommandError> {
    each(work, order, changes, ProductCommand::ShipStock { order_id: order.id }).await
}

async fn each(
    work: &Work<'_>,
    order: &Loaded<Order>,
    mut changes: Changes,
    command: ProductCommand,
) -> Result<Changes, CommandError> {
    for product in work.products(order.state.units_by_product().into_keys()).await? {
        let events = product.decide([command.clone()])?;
        changes = changes.and(&product, &events, &work.metadata)?;
    }
    Ok(changes)
}
