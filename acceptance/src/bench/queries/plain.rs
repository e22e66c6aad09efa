//! The reference of `bench queries`: the least that a handler with axum and sqlx can do. It checks
//! the same access token, runs one statement and writes the row as JSON.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use clap::Args;
use identity::config::{AUDIENCE, ISSUER};
use identity::{Gate, Revocations, Verifier};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::types::Json as Column;
use sqlx::{AssertSqlSafe, FromRow, PgPool};
use uuid::Uuid;

use crate::launched::issuer;

/// The number of connections to the database, as many as the API has for each kind of question.
const CONNECTIONS: u32 = 16;
const ROW: &str = "SELECT * FROM read_model.orders WHERE id = $1";
const PAGE: &str = "SELECT * FROM read_model.orders ORDER BY created_at DESC, id DESC LIMIT 20";
const USERS: &str = "SELECT id, email, name FROM read_model.users
    ORDER BY created_at DESC, id DESC LIMIT 20";
const ORDERS: &str = "SELECT id, user_id, status, created_at, total_minor, currency
    FROM unnest($1::uuid[]) AS asked (asked_user)
    CROSS JOIN LATERAL (SELECT * FROM read_model.orders WHERE user_id = asked_user
        ORDER BY created_at DESC, id DESC LIMIT 5) AS last";
/// The number of rows that the API reads for a page of 20, to know whether more follow.
const LIMIT: i64 = 21;
/// The number of rows that are shown of them.
const SHOWN: usize = 20;

/// The arguments of the reference's process.
#[derive(Debug, Args)]
pub struct PlainReads {
    /// The database of the API.
    #[arg(long, env = "PLAIN_URL", hide_env_values = true)]
    url: String,
    /// The address to listen at.
    #[arg(long, env = "PLAIN_LISTEN")]
    listen: SocketAddr,
    /// The statement by which the API finds an order by its id.
    #[arg(long, env = "SAME_ROW")]
    row: String,
    /// The statement by which the API reads the first page of orders.
    #[arg(long, env = "SAME_PAGE")]
    page: String,
}

/// The planner settings of the API for these statements: they are planned once.
const PLANNED_ONCE: [(&str, &str); 3] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
];

/// The state of the handlers.
struct Plain {
    pool: PgPool,
    same: PgPool,
    row: Arc<str>,
    page: Arc<str>,
}

type Shared = State<Arc<Plain>>;
type Answer<T> = Result<Json<T>, StatusCode>;

impl PlainReads {
    /// Serves until a signal ends the process.
    ///
    /// # Errors
    /// The database is away, or the address is taken.
    pub async fn run(self) -> anyhow::Result<()> {
        // As in the API, a connection is not tested before it is used.
        let pool = || PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
        let options: PgConnectOptions = self.url.parse()?;
        let same = pool().connect_with(options.clone().options(PLANNED_ONCE)).await?;
        let pool = pool().connect_with(options).await?;
        let keys = issuer()?;
        let verifier = Verifier::new(ISSUER, AUDIENCE, keys.keys().published());
        let plain = Plain { pool, same, row: self.row.into(), page: self.page.into() };
        let routes = Router::new()
            .route("/plain/orders/{id}", get(plain_row))
            .route("/plain/orders", get(plain_page))
            .route("/plain/users", get(plain_users))
            .route("/same/orders/{id}", get(same_row))
            .route("/same/orders", get(same_page))
            .with_state(Arc::new(plain));
        let gate = Gate::new(Arc::new(verifier), Revocations::default());
        let routes = routes.layer(gate.layer());
        let listener = tokio::net::TcpListener::bind(self.listen).await?;
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            stream.set_nodelay(true).ok();
        });
        axum::serve(listener, routes).await.context("serving")
    }
}

/// A row of `read_model.orders`.
#[derive(FromRow, Serialize)]
struct Order {
    id: Uuid,
    user_id: Uuid,
    status: String,
    currency: String,
    total_minor: i64,
    discount_minor: i64,
    tax_minor: i64,
    shipping_country: Option<String>,
    shipping_region: Option<String>,
    units: i64,
    paid_minor: i64,
    refunded_minor: i64,
    lines: Column<Vec<Line>>,
    cancel_reason: Option<String>,
    cancel_products: Column<Vec<Uuid>>,
    ordered_at: Option<DateTime<Utc>>,
    confirmed_at: Option<DateTime<Utc>>,
    payment_requested_at: Option<DateTime<Utc>>,
    paid_at: Option<DateTime<Utc>>,
    shipped_at: Option<DateTime<Utc>>,
    delivered_at: Option<DateTime<Utc>>,
    cancelled_at: Option<DateTime<Utc>>,
    refunded_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
    position: i64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(rename = "line_id")]
    id: Uuid,
    product_id: Uuid,
    product_name: String,
    quantity: i64,
    unit_price_minor: i64,
}

#[derive(Serialize)]
struct User {
    id: Uuid,
    email: Option<String>,
    name: Option<String>,
    orders: Vec<OrderOfUser>,
}

#[derive(FromRow, Serialize)]
struct OrderOfUser {
    id: Uuid,
    #[serde(skip)]
    user_id: Uuid,
    status: String,
    created_at: DateTime<Utc>,
    total_minor: i64,
    currency: String,
}

#[derive(Serialize)]
struct Data<T> {
    data: T,
}

/// The data with the checkpoint that the same statement has read.
#[derive(Serialize)]
struct Placed<T> {
    data: T,
    meta: Checkpoint,
}

#[derive(FromRow, Serialize)]
struct Checkpoint {
    #[sqlx(rename = "cp_projection")]
    projection: String,
    #[sqlx(rename = "cp_generation")]
    generation: i32,
    #[sqlx(rename = "cp_partition")]
    partition: i32,
    #[sqlx(rename = "cp_partitions")]
    partitions: i32,
    #[sqlx(rename = "cp_epoch")]
    epoch: Option<Uuid>,
    #[sqlx(rename = "cp_position")]
    position: i64,
    #[sqlx(rename = "cp_event_id")]
    event_id: Option<Uuid>,
    #[sqlx(rename = "cp_stale")]
    stale: bool,
    #[sqlx(rename = "cp_lag")]
    lag: Option<f64>,
}

async fn plain_row(State(plain): Shared, Path(id): Path<Uuid>) -> Answer<Data<Order>> {
    let found = sqlx::query_as(ROW).bind(id).fetch_optional(&plain.pool).await.map_err(failed)?;
    found.map(|data| Json(Data { data })).ok_or(StatusCode::NOT_FOUND)
}

async fn plain_page(State(plain): Shared) -> Answer<Data<Vec<Order>>> {
    let data = sqlx::query_as(PAGE).fetch_all(&plain.pool).await.map_err(failed)?;
    Ok(Json(Data { data }))
}

async fn plain_users(State(plain): Shared) -> Answer<Data<Vec<User>>> {
    let users: Vec<(Uuid, Option<String>, Option<String>)> =
        sqlx::query_as(USERS).fetch_all(&plain.pool).await.map_err(failed)?;
    let user = |(id, email, name)| User { id, email, name, orders: Vec::new() };
    let mut users: Vec<User> = users.into_iter().map(user).collect();
    let ids: Vec<Uuid> = users.iter().map(|user| user.id).collect();
    let orders: Vec<OrderOfUser> =
        sqlx::query_as(ORDERS).bind(ids).fetch_all(&plain.pool).await.map_err(failed)?;
    for order in orders {
        if let Some(user) = users.iter_mut().find(|user| user.id == order.user_id) {
            user.orders.push(order);
        }
    }
    Ok(Json(Data { data: users }))
}

async fn same_row(State(plain): Shared, Path(id): Path<Uuid>) -> Answer<Placed<Order>> {
    let row = sqlx::query(AssertSqlSafe(Arc::clone(&plain.row))).bind(id).bind(None::<Uuid>);
    let row = row.fetch_one(&plain.same).await.map_err(failed)?;
    placed(&row, Order::from_row(&row).map_err(failed)?)
}

async fn same_page(State(plain): Shared) -> Answer<Placed<Vec<Order>>> {
    let page = sqlx::query(AssertSqlSafe(Arc::clone(&plain.page)))
        .bind(None::<Uuid>)
        .bind(None::<String>)
        .bind(None::<Uuid>)
        .bind(None::<DateTime<Utc>>)
        .bind(None::<Uuid>)
        .bind(LIMIT)
        .bind(0_i64);
    let lines = page.fetch_all(&plain.same).await.map_err(failed)?;
    // The checkpoint has a line of its own.
    let [first, rows @ ..] = lines.as_slice() else { return Err(StatusCode::NOT_FOUND) };
    let shown = rows.iter().take(SHOWN).map(Order::from_row);
    placed(first, shown.collect::<Result<_, _>>().map_err(failed)?)
}

fn placed<T>(row: &PgRow, data: T) -> Answer<Placed<T>> {
    Ok(Json(Placed { data, meta: Checkpoint::from_row(row).map_err(failed)? }))
}

/// The reference is not meant to fail. Its log says why it does.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` passes it by value")]
fn failed(error: sqlx::Error) -> StatusCode {
    eprintln!("plain handlers: {error}");
    StatusCode::INTERNAL_SERVER_ERROR
}
