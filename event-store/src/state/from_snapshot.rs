//! Starts a load from a snapshot instead of from the stream's first event.

use super::{Current, StateLoader, StreamState};
use crate::encryption::vault::held::{self, OpenedState, Personal, StatePlace};
use crate::error::StoreError;
use crate::event::Epoch;
use crate::snapshot::{Snapshot, SnapshotStore};
use crate::stream::StreamName;

impl StateLoader {
    /// Returns the snapshot of a stream if a usable one exists. A missing snapshot is never an
    /// error.
    pub(super) async fn snapshot<S: StreamState>(
        &self,
        stream: &StreamName,
        epoch: Epoch,
    ) -> Option<Current<S>> {
        let (store, _) = self.snapshots.as_ref()?;
        let found = match self.found_and_opened(store.as_ref(), stream, S::SHAPE?, epoch).await {
            Ok(found) => found,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, %stream, "a snapshot could not be read: the stream is read \
                    instead");
                None
            }
        };
        let (found, personal) = found?;
        // The serde error is not logged because it repeats values.
        let Ok(state) = S::read(&found.state) else {
            tracing::warn!(%stream, version = found.version.0, "a snapshot does not have the \
                shape of its version: the stream is read instead");
            return None;
        };
        Some(Current {
            state,
            version: found.version,
            last: found.last,
            seen: found.last.position,
            kept: found.version,
            personal,
        })
    }

    /// Returns the snapshot with its state decrypted; `None` also when it can no longer be
    /// decrypted.
    async fn found_and_opened(
        &self,
        store: &dyn SnapshotStore,
        stream: &StreamName,
        shape: i32,
        epoch: Epoch,
    ) -> Result<Option<(Snapshot, Personal)>, StoreError> {
        let Some(found) = store.snapshot(stream, shape, epoch).await? else { return Ok(None) };
        if !held::is_encrypted(&found.state) {
            return Ok(Some((found, Personal::default())));
        }
        let Some(vault) = self.vault() else { return Ok(None) };
        let place = StatePlace { stream, shape, epoch, version: found.version, last: found.last };
        let opened = vault.decrypt_state(place, &found.state).await?;
        Ok(opened.map(|OpenedState { json, subjects }| {
            (Snapshot { state: json, ..found }, Personal::of(subjects))
        }))
    }
}
