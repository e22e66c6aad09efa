//! The API on a separate database. The tests write the rows that the projector would write.

pub(crate) mod described;
mod routers;
pub(crate) mod rows;
pub(crate) mod setup;
pub(crate) mod tokens;

pub(crate) use routers::{
    deprecating, exporting, limited, private, router, sharing_exports, with_graphql,
};
pub(crate) use setup::{LIVE, Setup, follow};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use chrono::{DateTime, Duration, Utc};
use http_body_util::BodyExt as _;
use identity::Revocations;
use local_servers::TestDatabase;
use postgres_kit::PoolLimits;
use query_api::database::Pools;
use query_api::live::Live;
use query_api::position::{self, Watcher};
use query_api::read::{ALL_PROJECTIONS, Reader};
use secrecy::SecretString;
use serde_json::Value;
use service_kit::consistency::{ConsistencyToken, TokenKey};
use service_kit::health::Health;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;
use uuid::Uuid;

/// The API, its database, and the handles that a test needs.
pub(crate) struct App {
    pub(crate) router: Router,
    /// The connections of the superuser. They write what the projector would write.
    pub(crate) writer: PgPool,
    /// The connections of the API.
    pub(crate) pools: Pools,
    pub(crate) watcher: Watcher,
    /// What is revoked.
    pub(crate) revocations: Revocations,
    pub(crate) epoch: Uuid,
    pub(crate) database: TestDatabase,
    _stop: DropGuard,
}

/// An answer with its complete body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.body["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl App {
    /// Starts the API with a few connections, and with the poller for waiting queries.
    pub(crate) async fn start() -> Self {
        let app = Self::silent(4).await;
        app.polls();
        app
    }

    /// Starts the poller for waiting queries.
    pub(crate) fn polls(&self) {
        let pulse = Health::new().pulse("polling", position::POLL_SILENCE);
        tokio::spawn(position::poll(
            self.watcher.clone(),
            self.pools.clone().into(),
            query_api::read::ALL_PROJECTIONS,
            pulse,
            CancellationToken::new(),
        ));
    }

    /// Starts the API without a poller: only the test reports checkpoints. Each kind of question
    /// has so many connections.
    pub(crate) async fn silent(connections: u32) -> Self {
        let database =
            TestDatabase::create("query_api", &projector::schema_fingerprint(), migrate).await;
        let writer = PgPoolOptions::new().max_connections(4).connect(database.url()).await.unwrap();
        // Two pools, each with one more for readiness.
        let connections = 2 * (connections + 1);
        let limits = PoolLimits::of(connections, connections);
        let pools = Pools::new(&SecretString::from(database.url()), limits).unwrap();
        let stop = CancellationToken::new();
        let watcher = Watcher::default();
        let epoch = Uuid::now_v7();
        let revocations = Revocations::default();
        let live = Live::new(LIVE, stop.clone());
        let setup =
            Setup { revocations: revocations.clone(), live: live.clone(), ..Setup::new(&pools) };
        let router = setup.router(pools.clone(), watcher.clone());
        follow(live, Reader::new(pools.clone(), watcher.clone()), stop.clone());
        let app = Self {
            router,
            writer,
            pools,
            watcher,
            revocations,
            epoch,
            database,
            _stop: stop.drop_guard(),
        };
        for projection in ALL_PROJECTIONS {
            app.move_to(projection, 100).await;
        }
        app
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        get(&self.router, path, headers).await
    }

    /// A command's token for this position in the current epoch.
    pub(crate) fn token(&self, position: i64) -> String {
        ConsistencyToken { epoch: self.epoch, position, event_id: event_at(position) }
            .sign(&token_key())
    }

    /// Moves the checkpoint of a projection, as the projector would.
    pub(crate) async fn move_to(&self, projection: &str, position: i64) {
        sqlx::query(
            "UPDATE read_model.checkpoints SET epoch = $2, position = $3, event_id = $4 WHERE \
                projection = $1 AND generation = 1",
        )
        .bind(projection)
        .bind(self.epoch)
        .bind(position)
        .bind(event_at(position))
        .execute(&self.writer)
        .await
        .unwrap();
    }

    /// Moves the checkpoint of one partition, as its owner would.
    pub(crate) async fn move_partition(&self, projection: &str, partition: i32, position: i64) {
        let moved = sqlx::query(
            "UPDATE read_model.checkpoints SET epoch = $3, position = $4, event_id = $5
             WHERE projection = $1 AND generation = 1 AND partition = $2",
        );
        let moved = moved
            .bind(projection)
            .bind(partition)
            .bind(self.epoch)
            .bind(position)
            .bind(event_at(position));
        assert_eq!(
            moved.execute(&self.writer).await.unwrap().rows_affected(),
            1,
            "{projection}/{partition}"
        );
    }

    /// Gives the projection's live generation this many partitions, all at the position of the
    /// first one, as after a switch.
    pub(crate) async fn split(&self, projection: &str, partitions: i32) {
        let mut switch = self.writer.begin().await.unwrap();
        for statement in [
            "UPDATE read_model.generations SET partitions = $2 WHERE projection = $1",
            "DELETE FROM read_model.checkpoints WHERE projection = $1 AND partition >= $2",
            "INSERT INTO read_model.checkpoints (projection, generation, partition, fold_version, \
                epoch, position, event_id)
             SELECT projection, generation, number, fold_version, epoch, position, event_id
             FROM read_model.checkpoints CROSS JOIN generate_series(1, $2 - 1) AS number WHERE \
             projection = $1 AND partition = 0",
        ] {
            sqlx::query(statement)
                .bind(projection)
                .bind(partitions)
                .execute(&mut *switch)
                .await
                .unwrap();
        }
        switch.commit().await.unwrap();
    }

    pub(crate) async fn add_user(&self, user: &UserSeed) -> Uuid {
        sqlx::query(
            "INSERT INTO users_g1.users (id, email, name, status, customer_type, newsletter, \
                addresses, order_count, total_spent, total_paid, total_refunded, \
                total_paid_back, returns, last_order_at, created_at, updated_at, version, position)
             VALUES ($1, $2, $3, $4, 'consumer', false, '[]', $5, $6, $11, '{\"USD\": 1467}', \
                '{\"USD\": 2467}', '{}', $7, $8, $8, $9, $10)",
        )
        .bind(user.id)
        .bind(&user.email)
        .bind("Ada Lovelace")
        .bind(user.status)
        .bind(user.order_count)
        .bind(serde_json::json!({"USD": 8715}))
        .bind(user.created_at)
        .bind(user.created_at)
        .bind(3_i64)
        .bind(17_i64)
        .bind(serde_json::json!({"USD": 8000}))
        .execute(&self.writer)
        .await
        .unwrap();
        user.id
    }

    pub(crate) async fn add_product(&self, number: i64) -> Uuid {
        let id = Uuid::now_v7();
        sqlx::query(
            "INSERT INTO products_g1.products (id, name, currency, unit_price_minor, \
                rate_class, stock, reserved, created_at, updated_at, version, position)
             VALUES ($1, $2, 'USD', 1467, 'reduced', 10, 3, $3, $3, 1, 5)",
        )
        .bind(id)
        // Each group of three shares a name and a time, so the id must break the tie.
        .bind(format!("product {:03}", number / 3))
        .bind(moment(number / 3))
        .execute(&self.writer)
        .await
        .unwrap();
        id
    }

    pub(crate) async fn add_order(&self, user_id: Uuid, status: &str, number: i64) -> Uuid {
        let id = Uuid::now_v7();
        let lines = serde_json::json!([{"line_id": Uuid::from_u128(1),
            "product_id": Uuid::from_u128(2), "product_name": "cd",
            "quantity": 2, "unit_price_minor": 1467}]);
        sqlx::query(
            "INSERT INTO orders_g1.orders (id, user_id, status, currency, total_minor,
                discount_minor, tax_minor, shipping_country, units, paid_minor, refunded_minor,
                lines, cancel_products, ordered_at, confirmed_at, created_at, updated_at, version,
                position)
             VALUES ($1, $2, $3, 'USD', 2934, 200, 200, 'US', 2, 2934, 1467, $4, '[]', $5, $5, $5,
                $5, 2, 9)",
        )
        .bind(id)
        .bind(user_id)
        .bind(status)
        .bind(lines)
        .bind(moment(number / 3))
        .execute(&self.writer)
        .await
        .unwrap();
        id
    }

    pub(crate) async fn add_day(&self, day: &str, currency: &str, revenue_minor: i64) {
        sqlx::query(
            "INSERT INTO daily_sales_g1.daily_sales (day, currency, orders, units, revenue_minor, \
                paid_minor, refunded_minor, paid_back_minor, returns, position)
             VALUES ($1::date, $2, 1, 2, $3, $3, 15, 115, '{}', 9)",
        )
        .bind(day.parse::<chrono::NaiveDate>().unwrap())
        .bind(currency)
        .bind(revenue_minor)
        .execute(&self.writer)
        .await
        .unwrap();
    }
}

/// A user for a test to add.
#[derive(Debug, Clone)]
pub(crate) struct UserSeed {
    pub(crate) id: Uuid,
    pub(crate) email: Option<String>,
    pub(crate) status: &'static str,
    pub(crate) order_count: i64,
    pub(crate) created_at: DateTime<Utc>,
}

impl UserSeed {
    /// Each group of three shares a time and a count, so only the id breaks the tie.
    pub(crate) fn number(number: i64) -> Self {
        Self {
            id: Uuid::now_v7(),
            email: Some(format!("user-{number}@example.com")),
            status: "active",
            order_count: number / 3,
            created_at: moment(number / 3),
        }
    }
}

pub(crate) async fn get(router: &Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path).header("x-request-id", "test-request");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(router, request.body(Body::empty()).unwrap()).await
}

/// Sends a request of the administrator, unless it has a token of its own.
pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let token = (!request.headers().contains_key("authorization")).then(tokens::admin);
    send_as(router, token.as_deref(), request).await
}

/// Sends a request with this token, or as it is.
pub(crate) async fn send_as(
    router: &Router,
    token: Option<&str>,
    mut request: Request<Body>,
) -> Answer {
    if let Some(token) = token {
        let credentials = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", credentials);
    }
    let response = router.clone().oneshot(request).await.unwrap();
    let (partitions, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Answer { status: partitions.status, headers: partitions.headers, body }
}

pub(crate) fn token_key() -> TokenKey {
    TokenKey::from_secret(&SecretString::from("T".repeat(44))).unwrap()
}

pub(crate) fn event_at(position: i64) -> Uuid {
    Uuid::from_u128(u128::try_from(position).unwrap())
}

pub(crate) fn moment(seconds: i64) -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + Duration::seconds(seconds)
}

/// Migrates a read model as the projector does, so the two cannot differ.
pub(crate) async fn migrate(url: String) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    projector::migrate(&url).await
}
