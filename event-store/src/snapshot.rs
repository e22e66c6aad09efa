//! Snapshots of a stream's state at a version. With one, a load of a long stream need not fold it
//! from its first event.
//!
//! Snapshots are an optimisation: losing one never changes an answer. A snapshot that does not fit
//! is ignored and later replaced, for example if its shape or its epoch differs, the log has
//! another event at its position, or a subject in it is erased.

use async_trait::async_trait;
use serde_json::value::RawValue;

use crate::error::StoreError;
use crate::event::{Epoch, EventRef};
use crate::stream::{StreamName, Version};

/// The maximum size of a stored state, in bytes of JSON.
pub const MAX_SNAPSHOT_BYTES: usize = 1024 * 1024;

/// The state of a stream at one version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The stream's name.
    pub stream: StreamName,
    /// The version of the state's shape and of the code that computes it.
    pub shape: i32,
    /// The epoch of the history that the state belongs to.
    pub epoch: Epoch,
    /// The stream version of the last event in the state.
    pub version: Version,
    /// The last event in the state.
    pub last: EventRef,
    /// The state as JSON, encrypted if it holds personal data.
    pub state: Box<RawValue>,
}

/// A store of snapshots. It keeps the newest one of each stream.
#[async_trait]
pub trait SnapshotStore: Send + Sync + 'static {
    /// Returns the snapshot of a stream if its shape and epoch match and the log still has its last
    /// event at that position.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn snapshot(
        &self,
        stream: &StreamName,
        shape: i32,
        epoch: Epoch,
    ) -> Result<Option<Snapshot>, StoreError>;

    /// Stores a snapshot. It replaces an older one, or one with another shape or epoch.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Invalid`] when the state is larger than
    /// [`MAX_SNAPSHOT_BYTES`].
    async fn keep_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError>;
}

impl Snapshot {
    /// Checks the size limit.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let bytes = self.state.get().len();
        if bytes > MAX_SNAPSHOT_BYTES {
            return Err(StoreError::Invalid(format!(
                "a snapshot of {bytes} bytes exceeds the maximum of {MAX_SNAPSHOT_BYTES}"
            )));
        }
        Ok(())
    }

    /// Whether this snapshot replaces `kept`. The version never goes back within a shape and an
    /// epoch. A snapshot of the same version does replace, because the old one may no longer
    /// decrypt.
    pub(crate) fn replaces(&self, kept: &Self) -> bool {
        (self.shape, self.epoch) != (kept.shape, kept.epoch) || self.version >= kept.version
    }
}
