//! Snapshots in Postgres, one row per stream, next to the log.

use async_trait::async_trait;
use futures::FutureExt as _;
use serde_json::value::RawValue;

use super::current::on_current;
use super::{PostgresStore, connect};
use crate::error::StoreError;
use crate::event::{Epoch, EventRef, Position};
use crate::snapshot::{Snapshot, SnapshotStore};
use crate::stream::{StreamName, Version};

#[async_trait]
impl SnapshotStore for PostgresStore {
    async fn snapshot(
        &self,
        stream: &StreamName,
        shape: i32,
        epoch: Epoch,
    ) -> Result<Option<Snapshot>, StoreError> {
        let inner = &self.inner;
        inner.continuity.check().await?;
        let row = on_current!(
            inner.lookup,
            fetch_optional,
            sqlx::query_file!("sql/read_snapshot.sql", stream.as_str(), shape, epoch.0)
        );
        let Some(row) = row? else { return Ok(None) };
        let unreadable = |error| {
            StoreError::Unusable(format!("the snapshot of {stream} cannot be read: {error}"))
        };
        Ok(Some(Snapshot {
            stream: stream.clone(),
            shape,
            epoch,
            version: Version(row.version),
            last: EventRef { position: Position(row.position), event_id: Some(row.event_id) },
            state: RawValue::from_string(row.state).map_err(unreadable)?,
        }))
    }

    async fn keep_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        snapshot.check()?;
        self.inner.continuity.check().await?;
        let Some(event_id) = snapshot.last.event_id else {
            return Err(StoreError::Invalid("a snapshot of a stream without events".to_owned()));
        };
        connect::write(&self.inner.scan, move |connection| {
            async move {
                let Snapshot { stream, shape, epoch, version, last, state } = &snapshot;
                let (stream, version, position) = (stream.as_str(), version.0, last.position.0);
                sqlx::query_file!(
                    "sql/keep_snapshot.sql",
                    stream,
                    shape,
                    epoch.0,
                    version,
                    position,
                    event_id,
                    state.get()
                )
                .execute(connection)
                .await
            }
            .boxed()
        })
        .await
        .map(drop)
    }
}
