//! A customer orders at today's prices.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use chrono::{DateTime, Utc};
use domain::order::{Order, OrderCommand, OrderError, OrderLine};
use domain::product::Offer;
use domain::user::{Customer, User};
use domain::value::Quantity;
use uuid::Uuid;

use super::{Decision, Orderer, UseCase, Work};
use crate::application::repository::Loaded;
use crate::http::error::CommandError;

/// The event after which a user orders no more.
const DEACTIVATED: &str = "user.deactivated";

/// Places an order.
pub struct PlaceOrder {
    /// The id made for the order.
    pub order_id: Uuid,
    /// Who orders.
    pub orderer: Orderer,
    /// What is ordered.
    pub lines: Vec<LineRequest>,
}

/// A line as the caller asks for it.
#[derive(Debug, Clone, Copy)]
pub struct LineRequest {
    /// The id made for the line.
    pub line_id: Uuid,
    /// What.
    pub product_id: Uuid,
    /// How many.
    pub quantity: Quantity,
}

impl UseCase for PlaceOrder {
    const NAME: &'static str = "place_order";

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let user = work.customer(self.orderer).await?;
        let mut offers = Offers::default();
        let mut lines = Vec::with_capacity(self.lines.len());
        for (index, line) in self.lines.iter().enumerate() {
            let offer = offers.of(work, index, line.product_id).await?;
            lines.push(OrderLine::of(line.line_id, offer, line.quantity));
        }
        place(work, self.order_id, &user, lines, None)
    }
}

/// What the products of an order are offered as, each loaded once.
#[derive(Default)]
pub(super) struct Offers(HashMap<Uuid, Offer>);

impl Offers {
    /// The offer for the product that the line at `index` names.
    pub(super) async fn of(
        &mut self,
        work: &Work<'_>,
        index: usize,
        product_id: Uuid,
    ) -> Result<&Offer, CommandError> {
        match self.0.entry(product_id) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => {
                let offer = work.offer(product_id, || format!("/lines/{index}/product_id")).await?;
                Ok(unknown.insert(offer))
            }
        }
    }
}

/// Places an order of priced lines, unless its user is deactivated before the append.
///
/// Only the deactivation matters, so that is the condition: a user who is renamed meanwhile does
/// not hold the order up.
pub(super) fn place(
    work: &Work<'_>,
    order_id: Uuid,
    user: &(Loaded<User>, Customer),
    lines: Vec<OrderLine>,
    ordered_at: Option<DateTime<Utc>>,
) -> Result<Decision, CommandError> {
    let (user, customer) = (&user.0, user.1);
    let order = Loaded::<Order>::absent(order_id);
    let command = domain::order::PlaceOrder { order_id, customer, lines, ordered_at };
    let events = order.decide([OrderCommand::Place(command)]).map_err(|error| match error {
        OrderError::Total { line, reason } => {
            CommandError::LineDoesNotAdd { pointer: format!("/lines/{line}"), reason }
        }
        error => error.into(),
    })?;
    Ok(work.changes(&order, &events)?.unless(DEACTIVATED, user)?.into())
}
