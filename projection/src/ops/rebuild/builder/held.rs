//! The partitions of a generation that one builder holds.

use std::sync::Arc;

use postgres_kit::Term;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::generation::Generation;
use crate::projection::AnyProjection;
use crate::runner::checkpoint::{self, Checkpoint, Passed};
use crate::runner::{PartitionKey, lease};

/// A held partition.
pub(super) struct Held {
    pub(super) key: PartitionKey,
    pub(super) checkpoint: Checkpoint,
    /// The events since the checkpoint.
    pub(super) passed: Passed,
}

/// Takes all partitions of a generation. `None` if another process holds one.
pub(super) async fn take_partitions(
    connection: &mut PgConnection,
    owner: Uuid,
    projection: &Arc<dyn AnyProjection>,
    generation: &Generation,
) -> sqlx::Result<Option<Vec<Held>>> {
    let mut partitions = Vec::new();
    for partition in 0..generation.partitions {
        let key = PartitionKey::new(Arc::clone(projection), generation, partition);
        let term = lease::of(&key, owner).take(connection).await?;
        let checkpoint = match term {
            Some(Term(term)) => checkpoint::take(connection, &key, term).await?,
            None => None,
        };
        let Some(checkpoint) = checkpoint else {
            give_up(connection, owner, &partitions).await?;
            return Ok(None);
        };
        partitions.push(Held { key, checkpoint, passed: Passed::default() });
    }
    Ok(Some(partitions))
}

pub(super) async fn give_up(
    connection: &mut PgConnection,
    owner: Uuid,
    partitions: &[Held],
) -> sqlx::Result<()> {
    for held in partitions {
        lease::of(&held.key, owner).give_up(connection, Term(held.checkpoint.term)).await?;
    }
    Ok(())
}
