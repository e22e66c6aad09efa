//! Readiness: the read tables can be reached and every projection has live ones.

use std::time::Duration;

use service_kit::health::Component;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::read::ALL_PROJECTIONS;

/// How often it is looked whether the tables are there.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks until cancelled.
pub async fn watch(pool: PgPool, component: Component, stop: CancellationToken) {
    let rounds = async {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match look(&pool).await {
                Ok(None) => component.ready(),
                Ok(Some(missing)) => component.not_ready(format!("no live tables yet: {missing}; is the projector running?")),
                Err(error) => component.not_ready(error.to_string()),
            }
            metrics::gauge!("db_pool_connections", "state" => "idle").set(as_gauge(pool.num_idle()));
            metrics::gauge!("db_pool_connections", "state" => "open").set(f64::from(pool.size()));
        }
    };
    stop.run_until_cancelled(rounds).await;
}

/// The projections that have no live tables.
async fn look(pool: &PgPool) -> Result<Option<String>, sqlx::Error> {
    let names: Vec<String> = ALL_PROJECTIONS.iter().map(|&name| name.to_owned()).collect();
    let checkpoints = sqlx::query_file!("sql/checkpoints/live.sql", &names).fetch_all(pool).await?;
    let missing: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !checkpoints.iter().any(|row| row.projection == *name)).collect();
    Ok(if missing.is_empty() { None } else { Some(missing.join(", ")) })
}

fn as_gauge(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
