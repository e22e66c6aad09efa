//! Finds out which statement the API runs for a query, so that the reference runs the same one.

use anyhow::{Context as _, ensure};
use sqlx::Connection as _;

use super::load::{Load, Query};
use crate::bench::server::BenchDatabase;

/// The latest statement of the API about orders. `pg_stat_activity` shows what a connection ran
/// last.
const LATEST: &str = "SELECT query, octet_length(query)
        >= pg_size_bytes(current_setting('track_activity_query_size')) - 1
    FROM pg_stat_activity
    WHERE application_name = 'query-api' AND datname = current_database()
        AND query LIKE '%read_model.orders%'
    ORDER BY query_start DESC LIMIT 1";

/// The statement that the API runs for this query, which is about orders.
pub(super) async fn statement_of(
    load: &Load,
    database: &BenchDatabase,
    query: &Query,
) -> anyhow::Result<String> {
    load.checked(query).await?;
    let mut connection = database.connect().await?;
    let latest = sqlx::query_as(LATEST).fetch_optional(&mut connection).await?;
    let (statement, is_cut): (String, bool) =
        latest.context("the API has run no statement about orders")?;
    connection.close().await?;
    ensure!(!is_cut, "the server cuts statements: set track_activity_query_size to 16384");
    Ok(statement)
}
