//! Readiness: the schema is the one that this program knows, the read tables can be reached, and every projection has
//! live ones. A database that is away is waited for; one with another schema is refused.

use std::time::Duration;

use service_kit::health::Component;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::read::ALL_PROJECTIONS;
use crate::schema::{self, SchemaError};

/// How often it is looked whether the tables are there.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks until cancelled.
///
/// # Errors
/// [`SchemaError`]: the database can be reached and has a schema that this program does not know.
pub async fn watch(pool: PgPool, component: Component, stop: CancellationToken) -> Result<(), SchemaError> {
    describe();
    stop.run_until_cancelled(rounds(&pool, &component)).await.unwrap_or(Ok(()))
}

async fn rounds(pool: &PgPool, component: &Component) -> Result<(), SchemaError> {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut known = false;
    loop {
        ticks.tick().await;
        if !known {
            match schema::check(pool).await {
                Ok(()) => known = true,
                Err(SchemaError::Away(cause)) => {
                    component.not_ready(format!("the read tables cannot be reached: {cause}"));
                    continue;
                }
                Err(refused) => return Err(refused),
            }
        }
        match look(pool).await {
            Ok(None) => component.ready(),
            Ok(Some(missing)) => component.not_ready(format!("no live tables yet: {missing}; is the projector running?")),
            Err(error) => component.not_ready(error.to_string()),
        }
        metrics::gauge!("db_pool_connections", "state" => "idle").set(as_gauge(pool.num_idle()));
        metrics::gauge!("db_pool_connections", "state" => "open").set(f64::from(pool.size()));
    }
}

fn describe() {
    metrics::describe_gauge!("db_pool_connections", "Connections to the read tables, by state");
    metrics::describe_gauge!("query_waiters", "Queries that wait for a position");
    metrics::describe_histogram!(
        "query_wait_duration_seconds",
        metrics::Unit::Seconds,
        "How long queries waited for a position, by outcome"
    );
}

/// The projections that have no live tables.
async fn look(pool: &PgPool) -> Result<Option<String>, sqlx::Error> {
    let checkpoints = sqlx::query_file!("sql/checkpoints/live.sql").fetch_all(pool).await?;
    let is_missing = |name: &&str| !checkpoints.iter().any(|row| row.projection == *name);
    let missing: Vec<&str> = ALL_PROJECTIONS.iter().copied().filter(is_missing).collect();
    Ok(if missing.is_empty() { None } else { Some(missing.join(", ")) })
}

fn as_gauge(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
