//! Keeps snapshots, in a task of its own: whoever loads a state only hands it over, and never waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, error::TrySendError};

use super::{Current, SnapshotPolicy, StreamState};
use crate::event::Epoch;
use crate::snapshot::{Snapshot, SnapshotStore};
use crate::stream::StreamName;
use crate::telemetry;

/// The most states that wait to be kept; one more is passed over, and is handed in again with its next events.
const MAX_WAITING: usize = 64;
/// How a personal value begins in JSON, whoever writes it: nothing with one is kept.
const PERSONAL: &str = "\"$personal\"";

pub(super) struct Keeper {
    policy: SnapshotPolicy,
    waiting: mpsc::Sender<Waiting>,
}

/// A state on its way: it is written as JSON by the task, not by who loaded it.
type Waiting = Box<dyn FnOnce() -> Option<Snapshot> + Send>;

impl Keeper {
    /// Starts the task, which ends with the keeper once all that waited is kept.
    pub(super) fn start(store: Arc<dyn SnapshotStore>, policy: SnapshotPolicy) -> Self {
        let (waiting, mut states) = mpsc::channel::<Waiting>(MAX_WAITING);
        tokio::spawn(async move {
            while let Some(state) = states.recv().await {
                let Some(snapshot) = state() else { continue };
                let stream = snapshot.stream.clone();
                match store.keep_snapshot(snapshot).await {
                    Ok(()) => telemetry::snapshot("taken"),
                    Err(error) => {
                        telemetry::snapshot("failed");
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(error, %stream, "a snapshot could not be kept");
                    }
                }
            }
        });
        Self { policy, waiting }
    }

    /// Hands the state in if it is time to.
    pub(super) fn consider<S: StreamState>(&self, stream: &StreamName, epoch: Epoch, current: &mut Current<S>, took: Duration) {
        let Some(shape) = S::SHAPE else { return };
        let since = current.version.0 - current.kept.0;
        if since < self.policy.every && !(took >= self.policy.slow && since >= self.policy.least) {
            return;
        }
        let (stream, version, last, state) = (stream.clone(), current.version, current.last, current.state.clone());
        let write = move || {
            let state = state.write().inspect_err(|error| tracing::error!(%error, %stream, "a state cannot be written")).ok()?;
            if state.get().contains(PERSONAL) {
                tracing::error!(%stream, "a state with personal data says that it may be kept: it is not");
                return None;
            }
            Some(Snapshot { stream, shape, epoch, version, last, state })
        };
        match self.waiting.try_send(Box::new(write)) {
            Ok(()) => current.kept = current.version,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => telemetry::snapshot("passed_over"),
        }
    }
}
