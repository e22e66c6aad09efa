//! Moving parts over a batch that has nothing for them: all of a process's together, by one statement, since most parts have nothing to
//! do with most events.

use std::io;
use std::sync::Arc;

use sqlx::PgConnection;

use super::checkpoint::{self, Checkpoint, Seen};
use super::partition::{Applied, Outcome, Owned};
use super::{Job, database};

/// A part, and how many events it is to pass over: up to the batch's last.
pub(crate) struct Passing {
    pub(super) part: Box<Owned>,
    pub(super) events: usize,
}

/// Moves the parts to the end of the batch, each fenced by its own term; what became of them is told in their order.
pub(crate) async fn over(mut parts: Vec<Passing>, job: Arc<Job>) -> Vec<Applied> {
    let Some(last) = job.events.last() else {
        return parts.into_iter().map(Passing::kept).collect();
    };
    let (epoch, mark) = (job.head.epoch, last.mark());
    let seen = Seen { mode: job.mode, head: job.head.mark.position };
    let from: Vec<_> =
        parts.iter().map(|of| (Arc::clone(&of.part.key), of.part.checkpoint, of.events)).collect();
    let Some(first) = parts.first_mut() else { return Vec::new() };
    let moving =
        async |raw: &mut PgConnection| checkpoint::pass(raw, &from, (epoch, mark), seen).await;
    match first.part.connection.run(moving).await {
        Ok(moved) => {
            let end = |Passing { mut part, events }: Passing| {
                let key = (part.key.projection.name(), part.key.generation, part.key.part);
                if !moved
                    .iter()
                    .any(|(name, generation, number)| (name.as_str(), *generation, *number) == key)
                {
                    return Applied {
                        handled: 0,
                        passed_over: 0,
                        parked: 0,
                        outcome: Outcome::Lost,
                    };
                }
                part.checkpoint = Checkpoint { epoch: Some(epoch), mark, ..part.checkpoint };
                part.seen = seen;
                Passing { part, events }.kept()
            };
            parts.into_iter().map(end).collect()
        }
        Err(error) => fail(parts, &error, &job).await,
    }
}

impl Passing {
    fn kept(self) -> Applied {
        Applied {
            handled: 0,
            passed_over: self.events,
            parked: 0,
            outcome: Outcome::Owned(self.part),
        }
    }
}

/// None was moved: one statement moves all or none.
async fn fail(parts: Vec<Passing>, error: &sqlx::Error, job: &Job) -> Vec<Applied> {
    let is_transient = database::is_transient(error);
    let mut ended = Vec::with_capacity(parts.len());
    for Passing { part, .. } in parts {
        let outcome = if is_transient {
            Outcome::Failed(sqlx::Error::Io(io::Error::other(error.to_string())))
        } else {
            let at = part.checkpoint.mark.position;
            part.refused(error, job.events.iter().find(|event| event.position > at)).await
        };
        ended.push(Applied { handled: 0, passed_over: 0, parked: 0, outcome });
    }
    ended
}
