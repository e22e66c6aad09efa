//! Fills the log to rebuild with SQL statements, which is faster than appending.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bench::mix::{Event, Mix};

/// The number of events per statement.
const BATCH: usize = 5_000;
/// The seed, so that the log is always the same.
const SEED: u64 = 4;

/// Fills an empty log with this many events.
pub(super) async fn fill(connection: &mut PgConnection, events: usize) -> anyhow::Result<()> {
    let mut mix = Mix::new(SEED);
    let mut filled = 0;
    while filled < events {
        let batch = BATCH.min(events - filled);
        while mix.made.len() < batch {
            mix.decide();
        }
        let rest = mix.made.split_off(batch);
        insert(connection, filled, std::mem::replace(&mut mix.made, rest)).await?;
        filled += batch;
    }
    Ok(())
}

async fn insert(
    connection: &mut PgConnection,
    before: usize,
    events: Vec<Event>,
) -> anyhow::Result<()> {
    let first = i64::try_from(before)? + 1;
    let positions: Vec<i64> = (first..).take(events.len()).collect();
    let ids: Vec<Uuid> = events.iter().map(|_| Uuid::now_v7()).collect();
    let metadata: Vec<String> =
        ids.iter().map(|id| json!({"correlation_id": id}).to_string()).collect();
    sqlx::query(include_str!("fill.sql"))
        .bind(positions)
        .bind(events.iter().map(|event| event.version).collect::<Vec<_>>())
        .bind(ids)
        .bind(events.iter().map(|event| event.stream.clone()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.kind.to_owned()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.data.to_string()).collect::<Vec<_>>())
        .bind(events.into_iter().map(|event| event.tags).collect::<Vec<_>>())
        .bind(metadata)
        .execute(connection)
        .await?;
    Ok(())
}
