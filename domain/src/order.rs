//! The order aggregate: pending → confirmed → paid → shipped → delivered.
//!
//! The lines of an order change only while it is pending. It can be cancelled until it is shipped.
//! What was paid can be refunded, in part or in whole.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::{Aggregate, SnapshotCodec};
use crate::value::{Currency, Destination, Evidence, Money};

mod cancellation;
pub mod command;
pub mod error;
pub mod event;
mod fulfilment;
mod price;
mod status;
mod stock;
#[cfg(test)]
mod tests;

pub use cancellation::{CancelReason, Cancellation};
pub use command::{OrderCommand, PlaceOrder, Record, Rules};
pub use error::OrderError;
pub use event::{OrderEvent, OrderLine};
pub use status::OrderStatus;

use event::{OrderConfirmed, OrderLineAdded, OrderLineRemoved, OrderPlaced};

/// The maximum number of lines in an order.
pub const MAX_LINES: usize = 100;

/// The state of an order. The default is an order that was never placed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Order {
    placed: Option<Placed>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Placed {
    order_id: Uuid,
    user_id: Uuid,
    lines: Vec<OrderLine>,
    currency: Currency,
    /// The original date of an imported order.
    ordered_at: Option<DateTime<Utc>>,
    status: OrderStatus,
    destination: Option<Destination>,
    /// The total of the price, if the order was confirmed with one.
    agreed: Option<Money>,
    /// The time of the sale, once the order is confirmed.
    sold_at: Option<DateTime<Utc>>,
    payment_requested: bool,
    paid: Option<Money>,
    /// What proves the payment in another system.
    paid_with: Option<Evidence>,
    refunded: Option<Money>,
}

impl Order {
    /// The id of the user who ordered; `None` for an order that was never placed.
    pub fn user_id(&self) -> Option<Uuid> {
        self.placed.as_ref().map(|placed| placed.user_id)
    }

    /// The status; `None` for an order that was never placed.
    pub fn status(&self) -> Option<OrderStatus> {
        self.placed.as_ref().map(|placed| placed.status)
    }

    /// The country and the region that it goes to, if it has a shipping address.
    pub fn destination(&self) -> Option<&Destination> {
        self.placed.as_ref()?.destination.as_ref()
    }

    /// What was paid and not refunded; `None` if nothing was paid.
    pub fn held(&self) -> Option<Money> {
        let order = self.placed.as_ref()?;
        let (paid, refunded) = (order.paid?, order.refunded().minor());
        Money::from_minor(paid.minor().saturating_sub(refunded), paid.currency()).ok()
    }

    /// What proves the payment in another system; `None` if nothing was paid, or there is no proof.
    pub fn paid_with(&self) -> Option<&Evidence> {
        self.placed.as_ref()?.paid_with.as_ref()
    }

    fn place(&self, command: PlaceOrder) -> Result<OrderPlaced, OrderError> {
        let PlaceOrder { order_id, customer, lines, ordered_at } = command;
        if self.placed.is_some() {
            return Err(OrderError::AlreadyPlaced);
        }
        if lines.len() > MAX_LINES {
            return Err(OrderError::TooManyLines);
        }
        let currency = lines.first().ok_or(OrderError::NoLines)?.unit_price.currency();
        let total = total(currency, &lines)?;
        Ok(OrderPlaced { order_id, user_id: customer.user_id(), lines, total, ordered_at })
    }

    fn known(&self) -> Result<&Placed, OrderError> {
        self.placed.as_ref().ok_or(OrderError::Unknown)
    }

    fn pending(&self) -> Result<&Placed, OrderError> {
        let order = self.known()?;
        if order.status == OrderStatus::Pending {
            Ok(order)
        } else {
            Err(OrderError::NotPending { status: order.status })
        }
    }
}

impl Placed {
    fn of(placed: OrderPlaced) -> Self {
        let OrderPlaced { order_id, user_id, lines, total, ordered_at } = placed;
        Self {
            order_id,
            user_id,
            lines,
            currency: total.currency(),
            ordered_at,
            status: OrderStatus::Pending,
            destination: None,
            agreed: None,
            sold_at: None,
            payment_requested: false,
            paid: None,
            paid_with: None,
            refunded: None,
        }
    }

    fn add_line(&self, line: OrderLine) -> Result<OrderLineAdded, OrderError> {
        if self.lines.len() >= MAX_LINES {
            return Err(OrderError::TooManyLines);
        }
        let total = total(self.currency, self.lines.iter().chain([&line]))?;
        Ok(OrderLineAdded { order_id: self.order_id, line, total })
    }

    fn remove_line(&self, line_id: Uuid) -> Result<OrderLineRemoved, OrderError> {
        if !self.lines.iter().any(|line| line.line_id == line_id) {
            return Err(OrderError::UnknownLine);
        }
        let total = total(self.currency, self.lines.iter().filter(|line| line.line_id != line_id))?;
        Ok(OrderLineRemoved { order_id: self.order_id, line_id, total })
    }

    fn confirm(
        &self,
        at: DateTime<Utc>,
        rules: Option<&Rules>,
    ) -> Result<Vec<OrderEvent>, OrderError> {
        if self.lines.is_empty() {
            return Err(OrderError::Empty);
        }
        let priced = rules.map(|rules| self.price(at, rules)).transpose()?.flatten();
        let confirmed = OrderConfirmed {
            order_id: self.order_id,
            user_id: self.user_id,
            total: priced.as_ref().map_or_else(|| self.total(), |priced| Ok(priced.price.total))?,
            units: self.units(),
            ordered_at: self.ordered_at.unwrap_or(at),
            to_fulfil: self.ordered_at.is_none(),
        };
        let priced = priced.map(OrderEvent::Priced);
        Ok(priced.into_iter().chain([OrderEvent::Confirmed(confirmed)]).collect())
    }

    fn units(&self) -> u64 {
        self.lines.iter().map(|line| u64::from(line.quantity.get())).sum()
    }

    /// The time of the sale.
    fn sold_at(&self) -> Result<DateTime<Utc>, OrderError> {
        let (status, needed) = (self.status, OrderStatus::Confirmed);
        self.sold_at.ok_or(OrderError::OtherStatus { status, needed })
    }
}

fn total<'a>(
    currency: Currency,
    lines: impl IntoIterator<Item = &'a OrderLine>,
) -> Result<Money, OrderError> {
    lines.into_iter().enumerate().try_fold(Money::zero(currency), |sum, (index, line)| {
        let amount = line.unit_price.times(line.quantity);
        amount
            .and_then(|amount| sum.plus(amount))
            .map_err(|reason| OrderError::Total { line: index, reason })
    })
}

impl Aggregate for Order {
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Error = OrderError;
    const SNAPSHOT: Option<SnapshotCodec<Self>> = Some(SnapshotCodec::with_shape(4));

    fn heap_bytes(&self) -> usize {
        let Some(order) = &self.placed else { return 0 };
        let line = |line: &OrderLine| size_of::<OrderLine>() + line.product_name.as_str().len();
        let proof = order.paid_with.as_ref().map_or(0, |proof| proof.as_str().len());
        order.lines.iter().map(line).sum::<usize>() + proof
    }

    fn decide(&self, command: OrderCommand) -> Result<Vec<OrderEvent>, OrderError> {
        use {OrderCommand as Command, OrderEvent as Event};
        let event = match command {
            Command::Place(place) => Event::Placed(self.place(place)?),
            Command::AddLine { line } => Event::LineAdded(self.pending()?.add_line(line)?),
            Command::RemoveLine { line_id } => {
                Event::LineRemoved(self.pending()?.remove_line(line_id)?)
            }
            Command::SetShippingAddress { postal, destination } => {
                Event::ShippingAddressSet(self.pending()?.set_shipping_address(postal, destination))
            }
            Command::Confirm { at, rules } => return self.pending()?.confirm(at, rules.as_ref()),
            Command::Cancel(cancellation) => self.known()?.cancel(cancellation)?,
            Command::RequestPayment => match self.known()?.request_payment()? {
                Some(requested) => Event::PaymentRequested(requested),
                None => return Ok(Vec::new()),
            },
            Command::RecordPayment(record) => Event::Paid(self.known()?.record_payment(record)?),
            Command::Ship(record) => Event::Shipped(self.known()?.ship(record)?),
            Command::Deliver(record) => Event::Delivered(self.known()?.deliver(record)?),
            Command::Refund { amount, record } => {
                Event::Refunded(self.known()?.refund(amount, record)?)
            }
        };
        Ok(vec![event])
    }

    fn evolve(mut self, event: OrderEvent) -> Self {
        use OrderEvent as Event;
        match (event, &mut self.placed) {
            (Event::Placed(placed), _) => self.placed = Some(Placed::of(placed)),
            (Event::LineAdded(added), Some(order)) => order.lines.push(added.line),
            (Event::LineRemoved(removed), Some(order)) => {
                order.lines.retain(|line| line.line_id != removed.line_id);
            }
            (Event::ShippingAddressSet(set), Some(order)) => {
                order.destination = Some(set.destination);
            }
            (Event::Priced(priced), Some(order)) => order.agreed = Some(priced.price.total),
            (Event::Confirmed(confirmed), Some(order)) => {
                order.status = OrderStatus::Confirmed;
                order.sold_at = Some(confirmed.ordered_at);
            }
            (Event::Cancelled(_) | Event::SaleCancelled(_), Some(order)) => {
                order.status = OrderStatus::Cancelled;
            }
            (Event::PaymentRequested(_), Some(order)) => order.payment_requested = true,
            (Event::Paid(paid), Some(order)) => {
                order.status = OrderStatus::Paid;
                order.paid = Some(paid.amount);
                order.paid_with = paid.evidence;
            }
            (Event::Shipped(_), Some(order)) => order.status = OrderStatus::Shipped,
            (Event::Delivered(_), Some(order)) => order.status = OrderStatus::Delivered,
            (Event::Refunded(refunded), Some(order)) => order.follow_refund(&refunded),
            // A stream begins with the placement, so no other event can come before it.
            (
                Event::LineAdded(_)
                | Event::LineRemoved(_)
                | Event::ShippingAddressSet(_)
                | Event::Priced(_)
                | Event::Confirmed(_)
                | Event::Cancelled(_)
                | Event::SaleCancelled(_)
                | Event::PaymentRequested(_)
                | Event::Paid(_)
                | Event::Shipped(_)
                | Event::Delivered(_)
                | Event::Refunded(_),
                None,
            ) => {}
        }
        self
    }
}
