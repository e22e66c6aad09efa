//! Moves the partitions of a process over a batch that is irrelevant to them. One statement moves
//! all of them, because most events are irrelevant to most partitions.

use std::sync::Arc;

use sqlx::PgConnection;

use super::checkpoint::{self, Checkpoint, Seen};
use super::partition::{Applied, Outcome, Owned};
use super::{Job, RunError};

/// A partition, and the number of irrelevant events up to the end of the batch.
pub(crate) struct Passing {
    pub(super) partition: Box<Owned>,
    pub(super) events: usize,
}

/// Moves the partitions to the end of the batch, each fenced by its own term. Returns the results
/// in the order of the partitions.
pub(crate) async fn over(mut partitions: Vec<Passing>, job: Arc<Job>) -> Vec<Applied> {
    let Some(last) = job.events.last() else {
        return partitions.into_iter().map(Passing::kept).collect();
    };
    let (epoch, mark) = (job.head.epoch, last.mark());
    let target = (epoch, mark, last.recorded_at);
    let seen = Seen { mode: job.mode, head: job.head.mark.position };
    let from: Vec<_> = partitions
        .iter()
        .map(|of| (Arc::clone(&of.partition.key), of.partition.checkpoint, of.events))
        .collect();
    let Some(first) = partitions.first_mut() else { return Vec::new() };
    let moving = async |raw: &mut PgConnection| checkpoint::pass(raw, &from, target, seen).await;
    match first.partition.connection.run(moving).await {
        Ok(moved) => {
            let end = |Passing { mut partition, events }: Passing| {
                let key = (
                    partition.key.projection.name(),
                    partition.key.generation,
                    partition.key.partition,
                );
                if !moved
                    .iter()
                    .any(|(name, generation, number)| (name.as_str(), *generation, *number) == key)
                {
                    return Applied { handled: 0, ignored: 0, parked: 0, outcome: Outcome::Lost };
                }
                partition.checkpoint =
                    Checkpoint { epoch: Some(epoch), mark, ..partition.checkpoint };
                partition.seen = seen;
                Passing { partition, events }.kept()
            };
            partitions.into_iter().map(end).collect()
        }
        Err(error) => fail(partitions, error, &job).await,
    }
}

impl Passing {
    /// Leaves the partition where it is.
    pub(super) fn kept(self) -> Applied {
        Applied {
            handled: 0,
            ignored: self.events,
            parked: 0,
            outcome: Outcome::Owned(self.partition),
        }
    }
}

/// Ends a statement that failed. It moved no partition, because one statement moves all or none.
async fn fail(partitions: Vec<Passing>, error: sqlx::Error, job: &Job) -> Vec<Applied> {
    let error = Arc::new(error);
    let is_transient = postgres_kit::is_transient(&error);
    let mut ended = Vec::with_capacity(partitions.len());
    for Passing { partition, .. } in partitions {
        let outcome = if is_transient {
            Outcome::Failed(RunError::Together(Arc::clone(&error)))
        } else {
            let at = partition.checkpoint.mark.position;
            partition.refused(&error, job.events.iter().find(|event| event.position > at)).await
        };
        ended.push(Applied { handled: 0, ignored: 0, parked: 0, outcome });
    }
    ended
}
