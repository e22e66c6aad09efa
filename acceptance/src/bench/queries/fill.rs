//! The rows of the benchmark, written straight into the read tables: the projector would make the
//! same from events, much later.

use std::time::Instant;

use anyhow::ensure;
use sqlx::Connection as _;
use uuid::Uuid;

use crate::bench::say;
use crate::bench::server::BenchDatabase;

/// The number of orders of each user.
pub(super) const ORDERS_OF_USER: i64 = 10;
/// The position that all tables show.
pub(in crate::bench) const POSITION: i64 = 1_000_000;
/// The id of the first order. The others count up from it, as ids by time do.
const FIRST_ORDER: Uuid = Uuid::from_u128(0x019b_0000_0000_7000_8000_0000_0000_0000);
/// The id of the first user.
const FIRST_USER: Uuid = Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0000);

/// What the tables have.
pub(super) struct Filled {
    /// The number of orders that [`super::load::FILTERED`] lets through.
    pub(super) paid: i64,
}

/// The id of an order by its number.
pub(in crate::bench) fn order_id(number: i64) -> Uuid {
    Uuid::from_u128(FIRST_ORDER.as_u128() + u128::from(number.unsigned_abs()))
}

/// The id of a user by its number.
pub(in crate::bench) fn user_id(number: i64) -> Uuid {
    Uuid::from_u128(FIRST_USER.as_u128() + u128::from(number.unsigned_abs()))
}

impl Filled {
    /// Writes this many orders, with their users and the checkpoints.
    pub(super) async fn write(database: &BenchDatabase, rows: i64) -> anyhow::Result<Self> {
        write(database, rows, rows / ORDERS_OF_USER).await?;
        let mut connection = database.connect().await?;
        let paid =
            sqlx::query_scalar("SELECT count(*) FROM read_model.orders WHERE status = 'paid'");
        let paid = paid.fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(Self { paid })
    }
}

/// Writes this many orders of this many users, and the checkpoints.
pub(in crate::bench) async fn write(
    database: &BenchDatabase,
    orders: i64,
    users: i64,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut connection = database.connect().await?;
    sqlx::query(include_str!("fill/users.sql")).bind(users).execute(&mut connection).await?;
    let written = sqlx::query(include_str!("fill/orders.sql")).bind(orders).bind(users);
    let written = written.execute(&mut connection).await?.rows_affected();
    ensure!(written == orders.unsigned_abs(), "not all orders were written");
    sqlx::query("UPDATE read_model.checkpoints SET epoch = $1, position = $2, event_id = $3")
        .bind(Uuid::now_v7())
        .bind(POSITION)
        .bind(Uuid::now_v7())
        .execute(&mut connection)
        .await?;
    sqlx::raw_sql("VACUUM (ANALYZE)").execute(&mut connection).await?;
    connection.close().await?;
    database.settle().await?;
    say(&format!("{orders} orders in {:.0} s\n", started.elapsed().as_secs_f64()))?;
    Ok(())
}
