//! `customers_at_risk`: one row per user, with recency (the latest sale), frequency (the number of
//! orders and the usual time between two sales) and value (gross and refunded, by currency).
//!
//! `due_at` is when the next sale would be usual: the latest one plus the mean time between sales.
//! A customer is at risk from then on. What that says today is worked out by queries.

use chrono::{DateTime, TimeDelta, Utc};
use domain::DomainEvent;
use domain::order::event::OrderEvent;
use event_store::RecordedEvent;
use projection::{Incoming, Projection, Reason, Split, add, row};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use uuid::Uuid;

use super::daily_sales::COUNTED;
use super::users::{Change, Sums, change_of, count};
use crate::returns::Returns;

/// What is assumed to be usual after a single sale.
const FIRST_INTERVAL: TimeDelta = TimeDelta::days(90);
const REGISTERED: &str = "user.registered";
const DEACTIVATED: &str = "user.deactivated";
const REACTIVATED: &str = "user.reactivated";

/// The projection of customers at risk.
pub struct CustomersAtRisk;

/// An event about a customer.
#[derive(Debug, Clone)]
pub struct Event {
    user_id: Uuid,
    what: What,
}

/// What happened to a customer.
#[derive(Debug, Clone, Copy)]
enum What {
    /// They can order, or not any more.
    Active(bool),
    /// One of their orders changed their figures.
    Order(Uuid, Change),
}

/// What this projection reads of an event of a user: nothing personal.
#[derive(Deserialize)]
struct OfUser {
    user_id: Uuid,
}

row! {
    /// A row of `customers_at_risk`.
    #[derive(Debug, Clone, Serialize)]
    pub struct CustomerRow in customers_at_risk by (id: Uuid) {
        is_active: bool,
        order_count: i64,
        total_spent: Json<Sums>,
        total_refunded: Json<Sums>,
        sales: i64,
        returns: Json<Returns>,
        first_order_at: Option<DateTime<Utc>>,
        last_order_at: Option<DateTime<Utc>>,
        due_at: Option<DateTime<Utc>>,
        position: i64,
    }
}

impl Projection for CustomersAtRisk {
    const NAME: &'static str = "customers_at_risk";
    const FOLD_VERSION: i32 = 2;
    const TABLES: &'static str = include_str!("customers_at_risk/tables.sql");
    const INDEXES: &'static str = include_str!("customers_at_risk/indexes.sql");
    const SPLIT: Split = Split::ByKey(1);
    type Event = Event;
    type Key = Uuid;
    type Row = CustomerRow;

    fn handles() -> Vec<&'static str> {
        [REGISTERED, DEACTIVATED, REACTIVATED].into_iter().chain(COUNTED).collect()
    }

    fn read(event: &RecordedEvent) -> Option<Result<Event, Reason>> {
        let event_type = event.event_type.as_str();
        if COUNTED.contains(&event_type) {
            let read = OrderEvent::from_parts(event_type, event.schema_version, event.data.get())?;
            return match read {
                Ok(event) => order_event(&event).map(Ok),
                Err(unreadable) => Some(Err(unreadable.into())),
            };
        }
        let what = What::Active(event_type != DEACTIVATED);
        let read = event.decode::<OfUser>().map(|OfUser { user_id }| Event { user_id, what });
        Some(read.map_err(Into::into))
    }

    fn keys(event: &Event) -> Vec<Uuid> {
        vec![event.user_id]
    }

    /// It refuses nothing: whether there is such a user is for the projection of users to say.
    fn fold(
        id: &Uuid,
        row: Option<CustomerRow>,
        incoming: &Incoming<Event>,
    ) -> Result<CustomerRow, Reason> {
        let mut row = row.unwrap_or_else(|| CustomerRow::new(*id));
        match incoming.event.what {
            What::Active(is_active) => row.is_active = is_active,
            What::Order(order_id, change) => row.apply(order_id, change)?,
        }
        row.position = incoming.position.0;
        Ok(row)
    }
}

fn order_event(event: &OrderEvent) -> Option<Event> {
    let (user_id, change) = change_of(event)?;
    Some(Event { user_id, what: What::Order(event.order_id(), change) })
}

impl CustomerRow {
    fn new(id: Uuid) -> Self {
        Self {
            id,
            is_active: true,
            order_count: 0,
            total_spent: Json(Sums::new()),
            total_refunded: Json(Sums::new()),
            sales: 0,
            returns: Json(Returns::default()),
            first_order_at: None,
            last_order_at: None,
            due_at: None,
            position: 0,
        }
    }

    fn apply(&mut self, order_id: Uuid, change: Change) -> Result<(), Reason> {
        match change {
            Change::Confirmed(total, ordered_at) => {
                self.order_count = add(self.order_count, 1)?;
                self.sales = add(self.sales, 1)?;
                count(&mut self.total_spent, total, total.minor())?;
                let first = self.first_order_at.map_or(ordered_at, |first| first.min(ordered_at));
                let last = self.last_order_at.map_or(ordered_at, |last| last.max(ordered_at));
                self.due_at = Some(due_after(first, last, self.sales));
                (self.first_order_at, self.last_order_at) = (Some(first), Some(last));
            }
            Change::SaleCancelled(total) => {
                self.order_count = add(self.order_count, -1)?;
                count(&mut self.total_spent, total, -total.minor())?;
                let no_longer = self.returns.0.cancel(order_id);
                if no_longer != 0 {
                    count(&mut self.total_refunded, total, -no_longer)?;
                }
            }
            Change::Paid(_) => {}
            Change::Refunded(amount) => {
                let counts = self.returns.0.refund(order_id, amount.minor())?;
                if counts != 0 {
                    count(&mut self.total_refunded, amount, counts)?;
                }
            }
        }
        Ok(())
    }
}

/// When the next sale would be usual, to the second. Beyond the range of times it is the last sale.
fn due_after(first: DateTime<Utc>, last: DateTime<Utc>, sales: i64) -> DateTime<Utc> {
    let between = (last - first).num_seconds().checked_div(sales - 1);
    let usual = between.map_or(FIRST_INTERVAL, TimeDelta::seconds);
    last.checked_add_signed(usual).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(number)
    }

    #[test]
    fn the_next_sale_is_due_after_the_mean_time_between_sales() {
        assert_eq!(due_after(day(5), day(5), 1), day(95));
        assert_eq!(due_after(day(0), day(10), 2), day(20));
        assert_eq!(due_after(day(0), day(10), 3), day(15));
        assert_eq!(due_after(day(7), day(7), 2), day(7));
    }

    #[test]
    fn a_time_beyond_all_times_is_never_due() {
        let last = DateTime::<Utc>::MAX_UTC;
        assert_eq!(due_after(last, last, 1), last);
    }
}
