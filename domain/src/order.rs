//! The order aggregate. An order is pending until it is confirmed or cancelled, and its lines
//! change only while it is pending.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::{Aggregate, SnapshotCodec};
use crate::value::{Currency, Money};

pub mod command;
pub mod error;
pub mod event;
#[cfg(test)]
mod tests;

pub use command::{OrderCommand, PlaceOrder};
pub use error::OrderError;
pub use event::{OrderEvent, OrderLine};

use event::{OrderCancelled, OrderConfirmed, OrderLineAdded, OrderLineRemoved, OrderPlaced};

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
    ordered_at: Option<DateTime<Utc>>,
    status: OrderStatus,
}

/// The status of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// The order is open: its lines can change.
    Pending,
    /// The order is confirmed and counts as a sale.
    Confirmed,
    /// The order is cancelled and never counts as a sale.
    Cancelled,
}

impl OrderStatus {
    /// The status as a word, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Order {
    /// The id of the user who ordered; `None` for an order that was never placed.
    pub fn user_id(&self) -> Option<Uuid> {
        self.placed.as_ref().map(|placed| placed.user_id)
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

    fn pending(&self) -> Result<&Placed, OrderError> {
        let order = self.placed.as_ref().ok_or(OrderError::Unknown)?;
        if order.status == OrderStatus::Pending {
            Ok(order)
        } else {
            Err(OrderError::NotPending { status: order.status })
        }
    }
}

impl Placed {
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

    fn confirm(&self, at: DateTime<Utc>) -> Result<OrderConfirmed, OrderError> {
        if self.lines.is_empty() {
            return Err(OrderError::Empty);
        }
        Ok(OrderConfirmed {
            order_id: self.order_id,
            user_id: self.user_id,
            total: total(self.currency, &self.lines)?,
            units: self.lines.iter().map(|line| u64::from(line.quantity.get())).sum(),
            ordered_at: self.ordered_at.unwrap_or(at),
        })
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
    const SNAPSHOT: Option<SnapshotCodec<Self>> = Some(SnapshotCodec::with_shape(1));

    fn heap_bytes(&self) -> usize {
        let lines = self.placed.as_ref().map_or(&[][..], |order| &order.lines);
        lines.iter().map(|line| size_of::<OrderLine>() + line.product_name.as_str().len()).sum()
    }

    fn decide(&self, command: OrderCommand) -> Result<Vec<OrderEvent>, OrderError> {
        let event = match command {
            OrderCommand::Place(place) => OrderEvent::Placed(self.place(place)?),
            OrderCommand::AddLine { line } => {
                OrderEvent::LineAdded(self.pending()?.add_line(line)?)
            }
            OrderCommand::RemoveLine { line_id } => {
                OrderEvent::LineRemoved(self.pending()?.remove_line(line_id)?)
            }
            OrderCommand::Confirm { at } => OrderEvent::Confirmed(self.pending()?.confirm(at)?),
            OrderCommand::Cancel => {
                let Placed { order_id, user_id, .. } = *self.pending()?;
                OrderEvent::Cancelled(OrderCancelled { order_id, user_id })
            }
        };
        Ok(vec![event])
    }

    fn evolve(mut self, event: OrderEvent) -> Self {
        match (event, &mut self.placed) {
            (
                OrderEvent::Placed(OrderPlaced { order_id, user_id, lines, total, ordered_at }),
                _,
            ) => {
                let (currency, status) = (total.currency(), OrderStatus::Pending);
                self.placed =
                    Some(Placed { order_id, user_id, lines, currency, ordered_at, status });
            }
            (OrderEvent::LineAdded(added), Some(order)) => order.lines.push(added.line),
            (OrderEvent::LineRemoved(removed), Some(order)) => {
                order.lines.retain(|line| line.line_id != removed.line_id);
            }
            (OrderEvent::Confirmed(_), Some(order)) => order.status = OrderStatus::Confirmed,
            (OrderEvent::Cancelled(_), Some(order)) => order.status = OrderStatus::Cancelled,
            // A stream begins with the placement, so no other event can come before it.
            (
                OrderEvent::LineAdded(_)
                | OrderEvent::LineRemoved(_)
                | OrderEvent::Confirmed(_)
                | OrderEvent::Cancelled(_),
                None,
            ) => {}
        }
        self
    }
}
