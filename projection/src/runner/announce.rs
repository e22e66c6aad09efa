//! Announces on NATS that a projection has reached a position. Announcements may be lost; processes
//! that wait for one also poll.

use std::time::Duration;

use event_feed::NatsHandle;
use event_store::{Epoch, EventRef, Position};
use serde::Serialize;
use uuid::Uuid;

use super::PartitionKey;

/// How long an announcement may delay the next batch.
const ANNOUNCE_LIMIT: Duration = Duration::from_millis(100);

#[derive(Serialize)]
struct Announcement<'a> {
    projection: &'a str,
    generation: i32,
    partition: i32,
    partitions: i32,
    epoch: Epoch,
    position: Position,
    event_id: Option<Uuid>,
}

/// Flushes the published announcements, so that they do not wait for the work that follows.
pub(crate) async fn sent(nats: &NatsHandle) {
    if !nats.is_connected() {
        return;
    }
    match tokio::time::timeout(ANNOUNCE_LIMIT, nats.client().flush()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "announcements may not be sent"),
        Err(_) => tracing::debug!("NATS took too long to take the announcements"),
    }
}

/// Publishes a checkpoint on the core subject `checkpoints.<projection>`.
pub(crate) async fn checkpoint(
    nats: &NatsHandle,
    key: &PartitionKey,
    epoch: Epoch,
    mark: EventRef,
) {
    if !nats.is_connected() {
        return;
    }
    let projection = key.projection.name();
    let announcement = Announcement {
        projection,
        generation: key.generation,
        partition: key.partition,
        partitions: key.of,
        epoch,
        position: mark.position,
        event_id: mark.event_id,
    };
    let sent = async {
        let body = serde_json::to_vec(&announcement).map_err(|error| error.to_string())?;
        let subject = format!("checkpoints.{projection}");
        let published =
            tokio::time::timeout(ANNOUNCE_LIMIT, nats.client().publish(subject, body.into())).await;
        published.map_err(|_| "NATS took too long".to_owned())?.map_err(|error| error.to_string())
    };
    if let Err(error) = sent.await {
        tracing::debug!(projection, error, "checkpoint not announced");
    }
}
