//! Measures the lag of live projection: the announced checkpoints, compared with the times at which
//! events were recorded.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::StreamExt as _;
use serde::Deserialize;
use sqlx::PgConnection;
use tokio::task::JoinHandle;

use super::system::System;

/// How long the last checkpoints of a round may take to be announced.
const LAST_LIMIT: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);

type Partition = (String, i32, i32);

/// A checkpoint as the projector announces it.
#[derive(Deserialize)]
struct Announced {
    projection: String,
    generation: i32,
    partition: i32,
    position: i64,
}

#[derive(Default)]
struct Heard {
    /// For each partition, the announced positions and when they came.
    partitions: BTreeMap<Partition, Vec<(i64, Instant)>>,
}

/// Listens for checkpoints until it is dropped.
pub(super) struct LagMeter {
    heard: Arc<Mutex<Heard>>,
    least: Arc<AtomicI64>,
    task: JoinHandle<()>,
    connection: PgConnection,
}

/// The lag of a round's events, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lag {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl Drop for LagMeter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LagMeter {
    /// Starts listening. Every live projection must be at the head.
    pub(super) async fn start(system: &System) -> anyhow::Result<Self> {
        let mut connection = system.database.connect().await?;
        let partitions: Vec<(String, i32, i32, i64)> = sqlx::query_as(
            "SELECT projection, generation, partition, position FROM read_model.checkpoints JOIN \
                read_model.generations USING (projection, generation) WHERE live",
        )
        .fetch_all(&mut connection)
        .await?;
        let least = Arc::new(AtomicI64::new(
            partitions.iter().map(|(.., position)| *position).min().context("a projection")?,
        ));
        let now = Instant::now();
        let known = partitions.into_iter().map(|(projection, generation, partition, at)| {
            ((projection, generation, partition), vec![(at, now)])
        });
        let heard = Arc::new(Mutex::new(Heard { partitions: known.collect() }));
        let client = async_nats::connect(system.nats()).await?;
        let mut messages = client.subscribe("checkpoints.*").await?;
        client.flush().await?;
        let task = tokio::spawn({
            let (heard, least) = (Arc::clone(&heard), Arc::clone(&least));
            async move {
                while let Some(message) = messages.next().await {
                    let at = Instant::now();
                    let Ok(announced) = serde_json::from_slice::<Announced>(&message.payload)
                    else {
                        continue;
                    };
                    let lowest =
                        heard.lock().unwrap_or_else(PoisonError::into_inner).hear(announced, at);
                    least.store(lowest, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { heard, least, task, connection })
    }

    /// The position that all live projections have reached, according to the announcements.
    pub(super) fn least(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.least)
    }

    /// The lag of the events between these positions: from the recording of each event to the last
    /// projection's announcement of it.
    pub(super) async fn of(&mut self, (after, upto): (i64, i64)) -> anyhow::Result<Lag> {
        let deadline = Instant::now() + LAST_LIMIT;
        while self.least.load(Ordering::Relaxed) < upto {
            ensure!(Instant::now() < deadline, "the checkpoint of {upto} was not announced");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // The difference between the server's clock and ours.
        let before = Instant::now();
        let now: f64 = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::float8")
            .fetch_one(&mut self.connection)
            .await?;
        let here = before + before.elapsed() / 2;
        let recorded: Vec<(i64, f64)> = sqlx::query_as(
            "SELECT position, extract(epoch FROM recorded_at)::float8 FROM event_store.events
             WHERE position > $1 AND position <= $2 ORDER BY position",
        )
        .bind(after)
        .bind(upto)
        .fetch_all(&mut self.connection)
        .await?;
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lags = Vec::with_capacity(recorded.len());
        for (position, at) in recorded {
            let reached: Option<Vec<Instant>> =
                heard.partitions.values().map(|partition| reached(partition, position)).collect();
            let last = reached
                .and_then(|reached| reached.into_iter().max())
                .context("a checkpoint was not announced")?;
            let age = here.saturating_duration_since(last).as_secs_f64()
                - last.saturating_duration_since(here).as_secs_f64();
            lags.push(((now - age - at) * 1_000.0).max(0.0));
        }
        lags.sort_by(f64::total_cmp);
        let percentile =
            |hundredths: usize| lags.get(lags.len().saturating_sub(1) * hundredths / 100).copied();
        Ok(Lag {
            p50: percentile(50).context("no event")?,
            p99: percentile(99).context("no event")?,
        })
    }
}

impl Heard {
    fn hear(&mut self, announced: Announced, at: Instant) -> i64 {
        let partition = (announced.projection, announced.generation, announced.partition);
        // Generations that are not live are not announced.
        let heard = self.partitions.entry(partition).or_default();
        if heard.last().is_none_or(|(position, _)| *position < announced.position) {
            heard.push((announced.position, at));
        }
        self.partitions
            .values()
            .filter_map(|heard| heard.last())
            .map(|(position, _)| *position)
            .min()
            .unwrap_or(0)
    }
}

/// When a partition reached the position.
fn reached(partition: &[(i64, Instant)], position: i64) -> Option<Instant> {
    partition.get(partition.partition_point(|(at, _)| *at < position)).map(|(_, at)| *at)
}
