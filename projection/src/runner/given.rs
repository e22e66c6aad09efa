//! Projects events of the caller, without a log, for tests of programs that read the tables.

use std::error::Error;
use std::sync::Arc;

use event_store::{Epoch, Head, RecordedEvent, Registry};
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use super::acquire::{Acquired, Acquisition};
use super::partition::{Applied, Folded, Outcome};
use super::{Job, MAX_BATCH, passing};
use crate::projection::AnyProjection;

/// Projects these events with these projections. The events must follow directly after the
/// checkpoints. The history is not proved.
///
/// # Errors
/// An error if Postgres failed, or if a projection stopped or belongs to another process.
pub async fn project(
    options: PgConnectOptions,
    (registry, projections): (Registry, Vec<Arc<dyn AnyProjection>>),
    epoch: Epoch,
    events: Vec<RecordedEvent>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Some(last) = events.last() else { return Ok(()) };
    let registry = Arc::new(registry);
    let job = Arc::new(Job {
        head: Head { epoch, mark: last.mark() },
        registry,
        mode: "live",
        events,
        complete_at: None,
    });
    let (options, owner) = (Arc::new(options), Uuid::now_v7());
    for projection in projections {
        let (mut partition, mut of) = (0, 1);
        while partition < of {
            of = project_partition(&options, owner, (&projection, partition), &job).await?;
            partition += 1;
        }
    }
    Ok(())
}

/// Projects into one partition. Returns the number of partitions of the projection.
async fn project_partition(
    options: &Arc<PgConnectOptions>,
    owner: Uuid,
    (projection, partition): (&Arc<dyn AnyProjection>, i32),
    job: &Arc<Job>,
) -> Result<i32, Box<dyn Error + Send + Sync>> {
    let (name, options, projection) =
        (projection.name(), Arc::clone(options), Arc::clone(projection));
    let acquire = Acquisition {
        options,
        owner,
        projection,
        standby: None,
        partition,
        store: None,
        connection: None,
        stopped: None,
    };
    match acquire.attempt().await? {
        Acquired::Owned(mut owned) => {
            let of = owned.key.of;
            let ended = loop {
                match owned.apply(Arc::clone(job), MAX_BATCH).await {
                    Folded::Done(Applied { outcome: Outcome::Erasing(again), .. }) => owned = again,
                    Folded::Done(applied) => break vec![applied],
                    Folded::Passes(passing) => {
                        break passing::over(vec![passing], Arc::clone(job)).await;
                    }
                }
            };
            for applied in ended {
                match applied.outcome {
                    Outcome::Owned(owned) | Outcome::Erasing(owned) => owned.give_up(None).await?,
                    Outcome::Stopped { stopped, .. } => return Err(stopped.reason.into()),
                    Outcome::Lost => return Err(format!("another process took {name} over").into()),
                    Outcome::Failed(error) => return Err(error.into()),
                }
            }
            Ok(of)
        }
        Acquired::Elsewhere(_) | Acquired::StillStopped => {
            Err(format!("another process projects {name}").into())
        }
        Acquired::Stopped(stopped) => Err(stopped.reason.into()),
    }
}
