//! `orders`: one row an order, with its lines.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::DomainEvent;
use domain::order::event::{OrderEvent, OrderLine, OrderPlaced};
use domain::value::Money;
use event_store::RecordedEvent;
use projection::{CopyRow, Incoming, NoSuchRow, Projection, Reason, Split, add, column};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::types_of;

/// The projection.
pub struct Orders;

/// A row of `orders`.
#[derive(Debug, Clone, Serialize)]
pub struct OrderRow {
    id: Uuid,
    user_id: Uuid,
    status: String,
    currency: String,
    total_minor: i64,
    units: i64,
    lines: Json<Vec<Line>>,
    ordered_at: Option<DateTime<Utc>>,
    confirmed_at: Option<DateTime<Utc>>,
    cancelled_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
    position: i64,
}

/// A line, as the column `lines` holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(clippy::struct_field_names, reason = "the column's own names")]
pub struct Line {
    line_id: Uuid,
    product_id: Uuid,
    product_name: String,
    quantity: u32,
    unit_price_minor: i64,
}

impl From<&OrderLine> for Line {
    fn from(line: &OrderLine) -> Self {
        Self {
            line_id: line.line_id,
            product_id: line.product_id,
            product_name: line.product_name.as_str().to_owned(),
            quantity: line.quantity.get(),
            unit_price_minor: line.unit_price.minor(),
        }
    }
}

#[async_trait]
impl Projection for Orders {
    const NAME: &'static str = "orders";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = include_str!("orders/tables.sql");
    const INDEXES: &'static str = include_str!("orders/indexes.sql");
    const COPY: &'static str = "COPY orders FROM STDIN (FORMAT binary)";
    const SPLIT: Split = Split::ByKey(1);
    type Event = OrderEvent;
    type Key = Uuid;
    type Row = OrderRow;

    fn handles() -> Vec<&'static str> {
        types_of::<OrderEvent>()
    }

    fn read(event: &RecordedEvent) -> Option<Result<OrderEvent, Reason>> {
        let read = OrderEvent::from_parts(
            event.event_type.as_str(),
            event.schema_version,
            event.data.get(),
        )?;
        Some(read.map_err(Into::into))
    }

    fn keys(event: &OrderEvent) -> Vec<Uuid> {
        vec![event.order_id()]
    }

    fn fold(
        _: &Uuid,
        row: Option<OrderRow>,
        incoming: &Incoming<OrderEvent>,
    ) -> Result<OrderRow, Reason> {
        let at = incoming.recorded_at;
        let mut row = match &incoming.event {
            OrderEvent::Placed(placed) => new_row(placed, at),
            _ => row.ok_or(NoSuchRow)?,
        };
        match &incoming.event {
            OrderEvent::Placed(_) => {}
            OrderEvent::LineAdded(added) => {
                row.lines.0.push(Line::from(&added.line));
                row.set_total(added.total);
            }
            OrderEvent::LineRemoved(removed) => {
                row.lines.0.retain(|line| line.line_id != removed.line_id);
                row.set_total(removed.total);
            }
            OrderEvent::Confirmed(confirmed) => {
                "confirmed".clone_into(&mut row.status);
                row.ordered_at = Some(confirmed.ordered_at);
                row.confirmed_at = Some(at);
                row.set_total(confirmed.total);
            }
            OrderEvent::Cancelled(_) => {
                "cancelled".clone_into(&mut row.status);
                row.cancelled_at = Some(at);
            }
        }
        row.units =
            row.lines.0.iter().try_fold(0, |sum, line| add(sum, i64::from(line.quantity)))?;
        row.updated_at = at;
        row.version = incoming.version.0;
        row.position = incoming.position.0;
        Ok(row)
    }

    async fn load(
        connection: &mut PgConnection,
        keys: &[Uuid],
    ) -> sqlx::Result<Vec<(Uuid, OrderRow)>> {
        let rows = sqlx::query_as!(
            OrderRow,
            r#"SELECT id, user_id, status, currency, total_minor, units, lines AS "lines:
                Json<Vec<Line>>",
                      ordered_at, confirmed_at, cancelled_at, created_at, updated_at, version, position
               FROM orders WHERE id = ANY($1)"#,
            keys
        )
        .fetch_all(connection)
        .await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    async fn save(connection: &mut PgConnection, rows: &[OrderRow]) -> sqlx::Result<()> {
        sqlx::query_file!(
            "src/projections/orders/save.sql",
            &column(rows, |r| r.id),
            &column(rows, |r| r.user_id),
            &column(rows, |r| r.status.clone()),
            &column(rows, |r| r.currency.clone()),
            &column(rows, |r| r.total_minor),
            &column(rows, |r| r.units),
            &column(rows, |r| r.lines.clone()) as &[Json<Vec<Line>>],
            &column(rows, |r| r.ordered_at) as &[Option<DateTime<Utc>>],
            &column(rows, |r| r.confirmed_at) as &[Option<DateTime<Utc>>],
            &column(rows, |r| r.cancelled_at) as &[Option<DateTime<Utc>>],
            &column(rows, |r| r.created_at),
            &column(rows, |r| r.updated_at),
            &column(rows, |r| r.version),
            &column(rows, |r| r.position),
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    fn copy(row: &OrderRow, to: &mut CopyRow) {
        to.column(&row.id).column(&row.user_id).column(&row.status).column(&row.currency);
        to.column(&row.total_minor).column(&row.units).column(&row.lines);
        to.column(&row.ordered_at).column(&row.confirmed_at).column(&row.cancelled_at);
        to.column(&row.created_at)
            .column(&row.updated_at)
            .column(&row.version)
            .column(&row.position);
    }
}

impl OrderRow {
    fn set_total(&mut self, total: Money) {
        self.total_minor = total.minor();
        total.currency().code().clone_into(&mut self.currency);
    }
}

fn new_row(placed: &OrderPlaced, recorded_at: DateTime<Utc>) -> OrderRow {
    OrderRow {
        id: placed.order_id,
        user_id: placed.user_id,
        status: "pending".to_owned(),
        currency: placed.total.currency().code().to_owned(),
        total_minor: placed.total.minor(),
        units: 0,
        lines: Json(placed.lines.iter().map(Line::from).collect()),
        ordered_at: placed.ordered_at,
        confirmed_at: None,
        cancelled_at: None,
        created_at: recorded_at,
        updated_at: recorded_at,
        version: 0,
        position: 0,
    }
}
