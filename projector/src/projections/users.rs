//! `users`: one row per user, with the totals of their confirmed orders.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::DomainEvent;
use domain::order::event::{OrderConfirmed, OrderEvent};
use domain::user::event::UserEvent;
use event_store::RecordedEvent;
use projection::{Incoming, NoSuchRow, Projection, Reason, Split, add, row};
use serde::Serialize;
use sqlx::types::Json;
use uuid::Uuid;

use super::types_of;

/// The type of the counted order event.
const CONFIRMED: &str = "order.confirmed";

/// The projection of users.
pub struct Users;

/// The events that the projection handles.
pub enum Event {
    /// An event of the user's own stream.
    User(UserEvent),
    /// An order of the user was confirmed.
    OrderConfirmed(OrderConfirmed),
}

row! {
    /// A row of `users`.
    #[derive(Debug, Clone, Serialize)]
    pub struct UserRow in users by (id: Uuid) {
        email: Option<String>,
        name: Option<String>,
        status: String,
        order_count: i64,
        total_spent: Json<BTreeMap<String, i64>>,
        last_order_at: Option<DateTime<Utc>>,
        created_at: DateTime<Utc>,
        updated_at: DateTime<Utc>,
        version: i64,
        position: i64,
    }
}

impl Projection for Users {
    const NAME: &'static str = "users";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = include_str!("users/tables.sql");
    const INDEXES: &'static str = include_str!("users/indexes.sql");
    const PERSONAL: &'static [&'static str] = &["email", "name"];
    const SPLIT: Split = Split::ByKey(1);
    type Event = Event;
    type Key = Uuid;
    type Row = UserRow;

    fn handles() -> Vec<&'static str> {
        let mut types = types_of::<UserEvent>();
        types.push(CONFIRMED);
        types
    }

    fn read(event: &RecordedEvent) -> Option<Result<Event, Reason>> {
        let (event_type, data) = (event.event_type.as_str(), event.data.get());
        if event_type == CONFIRMED {
            return match OrderEvent::from_parts(event_type, event.schema_version, data)? {
                Ok(OrderEvent::Confirmed(confirmed)) => Some(Ok(Event::OrderConfirmed(confirmed))),
                Ok(_) => None,
                Err(unreadable) => Some(Err(unreadable.into())),
            };
        }
        let read = UserEvent::from_parts(event_type, event.schema_version, data)?;
        Some(read.map(Event::User).map_err(Into::into))
    }

    fn keys(event: &Event) -> Vec<Uuid> {
        vec![match event {
            Event::User(event) => event.user_id(),
            Event::OrderConfirmed(confirmed) => confirmed.user_id,
        }]
    }

    fn fold(_: &Uuid, row: Option<UserRow>, incoming: &Incoming<Event>) -> Result<UserRow, Reason> {
        let mut row = match &incoming.event {
            Event::User(event) => {
                let mut row = fold_user(row, event, incoming.recorded_at)?;
                row.version = incoming.version.0;
                row
            }
            Event::OrderConfirmed(confirmed) => fold_confirmed(row.ok_or(NoSuchRow)?, confirmed)?,
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
        return Ok(UserRow {
            id: registered.user_id,
            email: registered.email.value().map(|email| email.as_str().to_owned()),
            name: registered.name.value().map(|name| name.as_str().to_owned()),
            status: "active".to_owned(),
            order_count: 0,
            total_spent: Json(BTreeMap::new()),
            last_order_at: None,
            created_at: recorded_at,
            updated_at: recorded_at,
            version: 0,
            position: 0,
        });
    }
    let mut row = row.ok_or(NoSuchRow)?;
    match event {
        UserEvent::Registered(_) => {}
        UserEvent::Renamed(renamed) => {
            row.name = renamed.name.value().map(|name| name.as_str().to_owned());
        }
        UserEvent::EmailChanged(changed) => {
            row.email = changed.email.value().map(|email| email.as_str().to_owned());
        }
        UserEvent::Deactivated(_) => "deactivated".clone_into(&mut row.status),
    }
    Ok(row)
}

fn fold_confirmed(mut row: UserRow, confirmed: &OrderConfirmed) -> Result<UserRow, Reason> {
    row.order_count = add(row.order_count, 1)?;
    let spent = row.total_spent.0.entry(confirmed.total.currency().code().to_owned()).or_default();
    *spent = add(*spent, confirmed.total.minor())?;
    row.last_order_at = row.last_order_at.max(Some(confirmed.ordered_at));
    Ok(row)
}
