//! Snapshots: the state of a stream at some version, kept so that a long stream need not be folded
//! from its first event.
//!
//! A snapshot is never needed for a right answer: any may be lost at any time. One that does not
//! fit, because its shape or its epoch is another, because the log has another event where it was
//! taken or because somebody in it is erased, is passed over and later replaced.

use async_trait::async_trait;
use serde_json::value::RawValue;

use crate::error::StoreError;
use crate::event::{Epoch, EventRef};
use crate::stream::{StreamName, Version};

/// The largest state that is kept, in bytes of JSON.
pub const MAX_SNAPSHOT_BYTES: usize = 1024 * 1024;

/// The state of a stream at a version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The stream's name.
    pub stream: StreamName,
    /// The version of the state's shape, and of all that it is worked out by.
    pub shape: i32,
    /// The history that it belongs to.
    pub epoch: Epoch,
    /// The version of the last event in it.
    pub version: Version,
    /// The last event in the state.
    pub last: EventRef,
    /// The state as JSON; encrypted where personal data stand in it.
    pub state: Box<RawValue>,
}

/// Where snapshots are kept: one a stream, the newest.
#[async_trait]
pub trait SnapshotStore: Send + Sync + 'static {
    /// The snapshot of a stream, if there is one of this shape and epoch and the log has its event
    /// where it was taken.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn snapshot(
        &self,
        stream: &StreamName,
        shape: i32,
        epoch: Epoch,
    ) -> Result<Option<Snapshot>, StoreError>;

    /// Keeps a snapshot in place of an older one, or of one with another shape or epoch.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Invalid`] when the state is larger than
    /// [`MAX_SNAPSHOT_BYTES`].
    async fn keep_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError>;
}

impl Snapshot {
    /// Checks the limits.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let bytes = self.state.get().len();
        if bytes > MAX_SNAPSHOT_BYTES {
            return Err(StoreError::Invalid(format!(
                "a snapshot of {bytes} bytes, {MAX_SNAPSHOT_BYTES} are the most"
            )));
        }
        Ok(())
    }

    /// Whether it replaces `kept`: it never goes back within a shape and an epoch. One of the same
    /// version may not open any more.
    pub(crate) fn replaces(&self, kept: &Self) -> bool {
        (self.shape, self.epoch) != (kept.shape, kept.epoch) || self.version >= kept.version
    }
}
