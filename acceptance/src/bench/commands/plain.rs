//! The reference of `bench commands`: handlers as a team would write them without event sourcing.
//!
//! They check the same access token, validate the input, and read and write rows of an ordinary
//! schema: one INSERT for a product, and one transaction for an order and its confirmation.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use clap::Args;
use identity::config::{AUDIENCE, ISSUER};
use identity::{Gate, Revocations, Verifier};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::launched::issuer;

mod rows;
mod schema;

use rows::Refused;

/// The number of connections to the database. More do not make it faster on a few cores.
const CONNECTIONS: u32 = 32;
/// The maximum length of a name, in characters.
const MAX_NAME: usize = 200;
/// The maximum number of lines of an order.
const MAX_LINES: usize = 100;

/// The arguments of the reference's process.
#[derive(Debug, Args)]
pub struct PlainServer {
    /// An empty database.
    #[arg(long, env = "PLAIN_URL", hide_env_values = true)]
    url: String,
    /// The address to listen at.
    #[arg(long, env = "PLAIN_LISTEN")]
    listen: SocketAddr,
}

impl PlainServer {
    /// Serves until a signal ends the process.
    ///
    /// # Errors
    /// The database is away, or the address is taken.
    pub async fn run(self) -> anyhow::Result<()> {
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(&self.url).await?;
        schema::create(&pool).await?;
        let keys = issuer()?;
        let verifier = Verifier::new(ISSUER, AUDIENCE, keys.keys().published());
        let routes = Router::new()
            .route("/api/v1/users", post(register))
            .route("/api/v1/products", post(add))
            .route("/api/v1/orders", post(place))
            .route("/api/v1/orders/{id}/confirm", post(confirm))
            .with_state(pool);
        let gate = Gate::new(Arc::new(verifier), Revocations::default());
        let routes = routes.layer(gate.layer());
        let listener = tokio::net::TcpListener::bind(self.listen).await?;
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            stream.set_nodelay(true).ok();
        });
        axum::serve(listener, routes).await.context("serving")
    }
}

#[derive(Deserialize)]
struct User {
    email: String,
    name: String,
}

#[derive(Deserialize)]
struct Product {
    name: String,
    unit_price: String,
    currency: String,
    stock: i64,
}

#[derive(Deserialize)]
struct Order {
    user_id: Uuid,
    lines: Vec<rows::Line>,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(json!({"error": self.to_string()}))).into_response()
    }
}

async fn register(State(pool): State<PgPool>, Json(user): Json<User>) -> Result<Response, Refused> {
    check_name(&user.name)?;
    if !user.email.contains('@') {
        return Err(Refused::Invalid("email"));
    }
    let id = Uuid::now_v7();
    rows::insert_user(&pool, id, &user.email, &user.name).await?;
    Ok(created(id, 1))
}

async fn add(
    State(pool): State<PgPool>,
    Json(product): Json<Product>,
) -> Result<Response, Refused> {
    check_name(&product.name)?;
    let price = cents(&product.unit_price).ok_or(Refused::Invalid("unit_price"))?;
    let is_currency = product.currency.len() == 3
        && product.currency.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_currency {
        return Err(Refused::Invalid("currency"));
    }
    if product.stock < 0 {
        return Err(Refused::Invalid("stock"));
    }
    let id = Uuid::now_v7();
    rows::insert_product(&pool, id, &product.name, price, &product.currency, product.stock).await?;
    Ok(created(id, 1))
}

async fn place(State(pool): State<PgPool>, Json(order): Json<Order>) -> Result<Response, Refused> {
    let is_quantity = |line: &rows::Line| line.quantity > 0;
    if order.lines.is_empty()
        || order.lines.len() > MAX_LINES
        || !order.lines.iter().all(is_quantity)
    {
        return Err(Refused::Invalid("lines"));
    }
    let id = Uuid::now_v7();
    rows::place(&pool, id, order.user_id, &order.lines).await?;
    Ok(created(id, 1))
}

async fn confirm(State(pool): State<PgPool>, Path(id): Path<Uuid>) -> Result<Response, Refused> {
    rows::confirm(&pool, id).await?;
    Ok(Json(answer(id, 2)).into_response())
}

fn created(id: Uuid, version: i64) -> Response {
    (StatusCode::CREATED, Json(answer(id, version))).into_response()
}

fn answer(id: Uuid, version: i64) -> Value {
    json!({"data": {"id": id, "version": version}})
}

fn check_name(name: &str) -> Result<(), Refused> {
    let is_name = !name.trim().is_empty() && name.chars().count() <= MAX_NAME;
    if is_name { Ok(()) } else { Err(Refused::Invalid("name")) }
}

/// Reads a price with two decimals, in hundredths.
fn cents(text: &str) -> Option<i64> {
    let (whole, decimals) = text.split_once('.')?;
    if decimals.len() != 2 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = whole.parse().ok().filter(|whole| *whole >= 0)?;
    whole.checked_mul(100)?.checked_add(decimals.parse().ok()?)
}
