//! `users`: one row per user, with the totals of their orders, by currency.
//!
//! - `order_count` and `total_spent` (gross): orders that were confirmed and not cancelled
//!   afterwards, and what was agreed to be paid for them.
//! - `total_refunded`: what was refunded of these orders. The net is what was spent less that.
//! - `total_paid` and `total_paid_back`: all payments and all refunds, also of cancelled orders.
//! - `last_order_at`: the latest sale. A cancellation does not take it back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::order::event::OrderEvent;
use domain::user::event::{
    UserAddressAdded, UserAddressChanged, UserEvent, UserPreferencesChanged, UserProfileChanged,
    UserRegistered,
};
use domain::value::{CustomerType, Email, Locale, Money, PersonName, Phone};
use domain::{DomainEvent, Personal};
use event_store::RecordedEvent;
use projection::{Incoming, NoSuchRow, Projection, Reason, Split, TooLarge, add, row};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::daily_sales::COUNTED;
use super::types_of;
use crate::returns::Returns;
use address::Address;

mod address;

/// Sums in minor units, by currency code.
pub(super) type Sums = BTreeMap<String, i64>;

/// The projection of users.
pub struct Users;

/// The events that the projection handles.
pub enum Event {
    /// An event of the user's own stream.
    User(UserEvent),
    /// An event of an order of the user that changes the totals.
    Order {
        /// The user's id.
        user_id: Uuid,
        /// The order's id.
        order_id: Uuid,
        /// What the event changes.
        change: Change,
    },
}

row! {
    /// A row of `users`.
    #[derive(Debug, Clone, Serialize)]
    pub struct UserRow in users by (id: Uuid) {
        email: Option<String>,
        name: Option<String>,
        status: String,
        customer_type: String,
        display_name: Option<String>,
        locale: Option<String>,
        phone: Option<String>,
        language: Option<String>,
        currency: Option<String>,
        newsletter: bool,
        addresses: Json<Vec<Address>>,
        order_count: i64,
        total_spent: Json<Sums>,
        total_paid: Json<Sums>,
        total_refunded: Json<Sums>,
        total_paid_back: Json<Sums>,
        returns: Json<Returns> => private,
        last_order_at: Option<DateTime<Utc>>,
        created_at: DateTime<Utc>,
        updated_at: DateTime<Utc>,
        version: i64,
        position: i64,
    }
}

impl Projection for Users {
    const NAME: &'static str = "users";
    const FOLD_VERSION: i32 = 5;
    const TABLES: &'static str = include_str!("users/tables.sql");
    const INDEXES: &'static str = include_str!("users/indexes.sql");
    const PERSONAL: &'static [&'static str] =
        &["email", "name", "display_name", "locale", "phone", "addresses"];
    const HISTORY: bool = true;
    const SPLIT: Split = Split::ByKey(1);
    type Event = Event;
    type Key = Uuid;
    type Row = UserRow;

    fn handles() -> Vec<&'static str> {
        let mut types = types_of::<UserEvent>();
        types.extend(COUNTED);
        types
    }

    fn read(event: &RecordedEvent) -> Option<Result<Event, Reason>> {
        let (event_type, data) = (event.event_type.as_str(), event.data.get());
        if COUNTED.contains(&event_type) {
            return match OrderEvent::from_parts(event_type, event.schema_version, data)? {
                Ok(event) => order_event(&event).map(Ok),
                Err(unreadable) => Some(Err(unreadable.into())),
            };
        }
        let read = UserEvent::from_parts(event_type, event.schema_version, data)?;
        Some(read.map(Event::User).map_err(Into::into))
    }

    fn keys(event: &Event) -> Vec<Uuid> {
        vec![match event {
            Event::User(event) => event.user_id(),
            Event::Order { user_id, .. } => *user_id,
        }]
    }

    fn fold(_: &Uuid, row: Option<UserRow>, incoming: &Incoming<Event>) -> Result<UserRow, Reason> {
        let mut row = match &incoming.event {
            Event::User(event) => {
                let mut row = fold_user(row, event, incoming.recorded_at)?;
                row.version = incoming.version.0;
                row
            }
            Event::Order { order_id, change, .. } => {
                fold_order(row.ok_or(NoSuchRow)?, *order_id, *change)?
            }
        };
        row.updated_at = incoming.recorded_at;
        row.position = incoming.position.0;
        Ok(row)
    }

    fn rows_of_subject(subject: Uuid) -> Option<Vec<Uuid>> {
        Some(vec![subject])
    }

    fn blank(row: &mut UserRow, erased: &Incoming<Uuid>) {
        if row.id == erased.event {
            (row.email, row.name) = (None, None);
            (row.display_name, row.locale, row.phone) = (None, None, None);
            row.addresses.0.iter_mut().for_each(Address::blank);
            row.updated_at = erased.recorded_at;
            row.position = erased.position.0;
        }
    }
}

fn fold_user(
    row: Option<UserRow>,
    event: &UserEvent,
    recorded_at: DateTime<Utc>,
) -> Result<UserRow, NoSuchRow> {
    if let UserEvent::Registered(registered) = event {
        return Ok(new_row(registered, recorded_at));
    }
    let mut row = row.ok_or(NoSuchRow)?;
    match event {
        UserEvent::Registered(_) => {}
        UserEvent::Renamed(renamed) => {
            row.name = text(Some(&renamed.name), PersonName::as_str);
        }
        UserEvent::EmailChanged(changed) => {
            row.email = text(Some(&changed.email), Email::as_str);
        }
        UserEvent::ProfileChanged(UserProfileChanged { profile, .. }) => {
            row.display_name = text(profile.display_name.as_ref(), PersonName::as_str);
            row.locale = text(profile.locale.as_ref(), Locale::as_str);
            row.phone = text(profile.phone.as_ref(), Phone::as_str);
        }
        UserEvent::PreferencesChanged(UserPreferencesChanged { preferences, .. }) => {
            row.language = preferences.language.as_ref().map(|code| code.as_str().to_owned());
            row.currency = preferences.currency.map(|currency| currency.code().to_owned());
            row.newsletter = preferences.newsletter;
        }
        UserEvent::Classified(classified) => {
            classified.customer_type.as_str().clone_into(&mut row.customer_type);
        }
        UserEvent::AddressAdded(UserAddressAdded { address, .. })
        | UserEvent::AddressChanged(UserAddressChanged { address, .. }) => {
            Address::from(address).put_into(&mut row.addresses.0);
        }
        UserEvent::AddressRemoved(removed) => {
            row.addresses.0.retain(|address| !address.is(removed.address_id));
        }
        UserEvent::Deactivated(_) => "deactivated".clone_into(&mut row.status),
        UserEvent::Reactivated(_) => "active".clone_into(&mut row.status),
    }
    Ok(row)
}

fn new_row(registered: &UserRegistered, recorded_at: DateTime<Utc>) -> UserRow {
    UserRow {
        id: registered.user_id,
        email: text(Some(&registered.email), Email::as_str),
        name: text(Some(&registered.name), PersonName::as_str),
        status: "active".to_owned(),
        customer_type: CustomerType::default().as_str().to_owned(),
        display_name: None,
        locale: None,
        phone: None,
        language: None,
        currency: None,
        newsletter: false,
        addresses: Json(Vec::new()),
        order_count: 0,
        total_spent: Json(Sums::new()),
        total_paid: Json(Sums::new()),
        total_refunded: Json(Sums::new()),
        total_paid_back: Json(Sums::new()),
        returns: Json(Returns::default()),
        last_order_at: None,
        created_at: recorded_at,
        updated_at: recorded_at,
        version: 0,
        position: 0,
    }
}

/// The text of a personal field, or `None` if it is empty or erased.
pub(super) fn text<T>(field: Option<&Personal<T>>, as_str: fn(&T) -> &str) -> Option<String> {
    field.and_then(Personal::value).map(|value| as_str(value).to_owned())
}

/// What an event of an order changes in the totals of its user.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// A sale counts.
    Confirmed(Money, DateTime<Utc>),
    /// A sale no longer counts.
    SaleCancelled(Money),
    /// Money came.
    Paid(Money),
    /// Money was given back.
    Refunded(Money),
}

/// The event as this projection handles it, if it changes totals.
fn order_event(event: &OrderEvent) -> Option<Event> {
    let (user_id, change) = change_of(event)?;
    Some(Event::Order { user_id, order_id: event.order_id(), change })
}

/// The user whose totals an event changes, and how.
pub(super) fn change_of(event: &OrderEvent) -> Option<(Uuid, Change)> {
    Some(match event {
        OrderEvent::Confirmed(confirmed) => {
            (confirmed.user_id, Change::Confirmed(confirmed.total, confirmed.ordered_at))
        }
        OrderEvent::SaleCancelled(cancelled) => {
            (cancelled.user_id, Change::SaleCancelled(cancelled.total))
        }
        OrderEvent::Paid(paid) => (paid.user_id, Change::Paid(paid.amount)),
        OrderEvent::Refunded(refunded) => (refunded.user_id, Change::Refunded(refunded.amount)),
        OrderEvent::Placed(_)
        | OrderEvent::ShippingAddressSet(_)
        | OrderEvent::Priced(_)
        | OrderEvent::LineAdded(_)
        | OrderEvent::LineRemoved(_)
        | OrderEvent::Cancelled(_)
        | OrderEvent::PaymentRequested(_)
        | OrderEvent::Shipped(_)
        | OrderEvent::Delivered(_) => return None,
    })
}

fn fold_order(mut row: UserRow, order_id: Uuid, change: Change) -> Result<UserRow, Reason> {
    match change {
        Change::Confirmed(total, ordered_at) => {
            row.order_count = add(row.order_count, 1)?;
            count(&mut row.total_spent, total, total.minor())?;
            row.last_order_at = row.last_order_at.max(Some(ordered_at));
        }
        Change::SaleCancelled(total) => {
            row.order_count = add(row.order_count, -1)?;
            count(&mut row.total_spent, total, -total.minor())?;
            let no_longer = row.returns.0.cancel(order_id);
            if no_longer != 0 {
                count(&mut row.total_refunded, total, -no_longer)?;
            }
        }
        Change::Paid(amount) => count(&mut row.total_paid, amount, amount.minor())?,
        Change::Refunded(amount) => {
            count(&mut row.total_paid_back, amount, amount.minor())?;
            let counts = row.returns.0.refund(order_id, amount.minor())?;
            if counts != 0 {
                count(&mut row.total_refunded, amount, counts)?;
            }
        }
    }
    Ok(row)
}

/// Adds minor units to the sum in the currency of `amount`.
pub(super) fn count(sums: &mut Sums, amount: Money, minor: i64) -> Result<(), TooLarge> {
    let sum = sums.entry(amount.currency().code().to_owned()).or_default();
    *sum = add(*sum, minor)?;
    Ok(())
}
