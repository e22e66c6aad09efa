//! Asking the database for checkpoints, only while somebody waits.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::{Said, Watcher};
use crate::read::ALL_PROJECTIONS;

/// How often the database is asked while somebody waits.
pub const POLL_EVERY: Duration = Duration::from_millis(50);
/// How long the loop rests after the database did not answer.
const REST: Duration = Duration::from_millis(500);

/// Asks until cancelled.
pub async fn poll(watcher: Watcher, pool: PgPool, stop: CancellationToken) {
    let rounds = async {
        loop {
            watcher.somebody_waits().await;
            tokio::time::sleep(POLL_EVERY).await;
            if let Err(error) = ask(&watcher, &pool).await {
                tracing::debug!(%error, "the checkpoints could not be read");
                tokio::time::sleep(REST).await;
            }
        }
    };
    stop.run_until_cancelled(rounds).await;
}

async fn ask(watcher: &Watcher, pool: &PgPool) -> Result<(), sqlx::Error> {
    let checkpoints = sqlx::query_file!("sql/checkpoints/live.sql").fetch_all(pool).await?;
    for row in checkpoints.iter().filter(|row| ALL_PROJECTIONS.contains(&row.projection.as_str())) {
        watcher.moved(&row.projection, Said { part: row.part, parts: row.parts, epoch: row.epoch, position: row.position });
    }
    Ok(())
}
