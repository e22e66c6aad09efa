//! Readiness: the schema is known, the read tables can be reached, and every projection has live
//! tables.
//!
//! The process waits for a database that is away, and refuses one with an unknown schema.

use std::time::Duration;

use postgres_kit::{Pool, SchemaError, is_silent};
use service_kit::Pulse;
use service_kit::health::Component;
use tokio_util::sync::CancellationToken;

use crate::read::ALL_PROJECTIONS;
use crate::replica::Servers;
use crate::schema;

/// The interval between two checks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The time limit of one check.
///
/// After a silent connection there is a second check. With it and the pause before both, the
/// process reports a silent database within 10 s.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// After this time without progress, the check is considered hung. Every round ends sooner,
/// whatever the database does.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(12);

/// Checks until cancelled, through the connections that answer queries.
///
/// # Errors
/// [`SchemaError`] if the database can be reached but has an unknown schema.
pub async fn watch(
    servers: Servers,
    component: Component,
    pulse: Pulse,
    stop: CancellationToken,
) -> Result<(), SchemaError> {
    describe();
    stop.run_until_cancelled(rounds(&servers, &component, &pulse)).await.unwrap_or(Ok(()))
}

async fn rounds(
    servers: &Servers,
    component: &Component,
    pulse: &Pulse,
) -> Result<(), SchemaError> {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut known = false;
    loop {
        ticks.tick().await;
        pulse.beat();
        // The check skips the queue: many waiting queries mean that the database is busy, not that
        // it is away.
        let pools = servers.choose().pools;
        let [lookup, scan] =
            [&pools.lookup, &pools.scan].map(|pool| pool.past_the_queue().with_limit(LOOK_LIMIT));
        if !known {
            match schema::check(&scan).await {
                Ok(()) => known = true,
                Err(SchemaError::Database(cause)) => {
                    component.not_ready(format!("the read tables cannot be reached: {cause}"));
                    continue;
                }
                Err(refused) => return Err(refused),
            }
        }
        match tokio::try_join!(look_twice(&scan), look_twice(&lookup)) {
            Ok((None, None)) => component.ready(),
            Ok((Some(missing), _) | (_, Some(missing))) => {
                component.not_ready(format!(
                    "there are no tables of {missing}: run `projector migrate`, of a program whose \
                        `projections::all()` lists them"
                ));
            }
            Err(error) => component.not_ready(error.to_string()),
        }
        for (name, pool) in [("lookup", &lookup), ("scan", &scan)] {
            let connections = |state: &'static str| {
                metrics::gauge!("db_pool_connections",
                "pool" => name, "state" => state)
            };
            connections("idle").set(f64::from(pool.idle()));
            connections("open").set(f64::from(pool.size()));
        }
    }
}

/// Checks twice if the first connection is silent: only that connection may be broken.
async fn look_twice(pool: &Pool) -> Result<Option<String>, sqlx::Error> {
    match look(pool).await {
        Err(error) if is_silent(&error) => look(pool).await,
        looked => looked,
    }
}

fn describe() {
    metrics::describe_gauge!(
        "db_pool_connections",
        "Connections to the read tables, by kind of question and state"
    );
    metrics::describe_gauge!("query_waiters", "Queries that wait for a position");
    metrics::describe_histogram!(
        "query_wait_duration_seconds",
        metrics::Unit::Seconds,
        "How long queries waited for a position, by outcome"
    );
    metrics::describe_histogram!(
        "query_wakeup_duration_seconds",
        metrics::Unit::Seconds,
        "Time from the checkpoint update that a query waits for until the query goes on"
    );
}

/// The names of the projections without live tables.
async fn look(pool: &Pool) -> Result<Option<String>, sqlx::Error> {
    let checkpoints = sqlx::query_file!("sql/checkpoints/live.sql").fetch_all(pool).await?;
    let is_missing = |name: &&str| !checkpoints.iter().any(|row| row.projection == *name);
    let missing: Vec<&str> = ALL_PROJECTIONS.iter().copied().filter(is_missing).collect();
    Ok(if missing.is_empty() { None } else { Some(missing.join(", ")) })
}
