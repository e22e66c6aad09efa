//! Checkpoints polled from the database, only while a query waits.

use std::time::Duration;

use postgres_kit::Pool;
use service_kit::Pulse;
use tokio_util::sync::CancellationToken;

use super::{CheckpointUpdate, Watcher};
use crate::replica::Servers;
use crate::scope::Projection;

/// The interval between polls while a query waits.
pub const POLL_EVERY: Duration = Duration::from_millis(50);
/// The pause after a poll that the database did not answer.
const REST: Duration = Duration::from_millis(500);

/// The time limit of one poll.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// After this time without progress, the polling loop is considered hung. One round waits for a
/// connection, waits for the answer, and pauses.
pub const POLL_SILENCE: Duration = Duration::from_secs(8);

/// Polls the checkpoints of these projections until cancelled.
pub async fn poll(
    watcher: Watcher,
    servers: Servers,
    projections: &[Projection],
    pulse: Pulse,
    stop: CancellationToken,
) {
    let rounds = async {
        loop {
            pulse.rest();
            watcher.somebody_waits().await;
            pulse.beat();
            tokio::time::sleep(POLL_EVERY).await;
            // The server whose rows the waiting queries read.
            let pool = servers.choose().pools.lookup.with_limit(ASK_LIMIT);
            if let Err(error) = ask(&watcher, &pool, projections).await {
                tracing::debug!(%error, "the checkpoints could not be read");
                tokio::time::sleep(REST).await;
            }
        }
    };
    stop.run_until_cancelled(rounds).await;
}

async fn ask(
    watcher: &Watcher,
    pool: &Pool,
    projections: &[Projection],
) -> Result<(), sqlx::Error> {
    let checkpoints = sqlx::query_file!("sql/checkpoints/live.sql").fetch_all(pool).await?;
    for row in checkpoints.iter().filter(|row| projections.contains(&row.projection.as_str())) {
        watcher.moved(
            &row.projection,
            CheckpointUpdate {
                partition: row.partition,
                partitions: row.partitions,
                epoch: row.epoch,
                position: row.position,
            },
        );
    }
    Ok(())
}
