//! Stores snapshots in a background task. A load only hands its state over and never waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, error::TrySendError};

use super::{Current, SnapshotPolicy, StreamState};
use crate::encryption::Vault;
use crate::encryption::vault::held::{Personal, StatePlace};
use crate::error::StoreError;
use crate::event::Epoch;
use crate::pulse::{Pulse, Task};
use crate::snapshot::{Snapshot, SnapshotStore};
use crate::stream::StreamName;
use crate::telemetry;

/// The maximum number of states waiting to be stored. A state beyond it is dropped and submitted
/// again with its stream's next events.
const MAX_WAITING: usize = 64;

#[derive(Clone)]
pub(super) struct Keeper {
    policy: SnapshotPolicy,
    waiting: mpsc::Sender<Waiting>,
    pulse: Pulse,
}

/// A state in the queue. The task, not the loader, writes it as JSON.
type Waiting = Box<dyn FnOnce() -> Option<Written> + Send>;

/// A state as JSON, and the subjects whose values are readable in it.
struct Written {
    snapshot: Snapshot,
    personal: Personal,
}

impl Keeper {
    /// Starts the task. It ends after the keeper is dropped and the queue is empty.
    pub(super) fn start(
        store: Arc<dyn SnapshotStore>,
        vault: Option<Arc<Vault>>,
        policy: SnapshotPolicy,
    ) -> Self {
        let (waiting, mut states) = mpsc::channel::<Waiting>(MAX_WAITING);
        let pulse = Pulse::default();
        let beating = pulse.clone();
        tokio::spawn(async move {
            while let Some(state) = states.recv().await {
                let Some(written) = state() else { continue };
                beating.beat();
                let stream = written.snapshot.stream.clone();
                match keep(store.as_ref(), vault.as_deref(), written).await {
                    Ok(true) => telemetry::snapshot("taken"),
                    Ok(false) => {
                        tracing::debug!(%stream, "a subject in a state was erased before it \
                            could be stored");
                    }
                    Err(error) => {
                        telemetry::snapshot("failed");
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(error, %stream, "a snapshot could not be stored");
                    }
                }
                beating.rest();
            }
        });
        Self { policy, waiting, pulse }
    }

    pub(super) fn task(&self) -> Task {
        Task { name: "snapshots", pulse: self.pulse.clone() }
    }

    /// Submits the state if the policy asks for a snapshot.
    pub(super) fn consider<S: StreamState>(
        &self,
        stream: &StreamName,
        epoch: Epoch,
        current: &mut Current<S>,
        took: Duration,
    ) {
        let Some(shape) = S::SHAPE else { return };
        let since = current.version.0 - current.kept.0;
        if since < self.policy.every && !(took >= self.policy.slow && since >= self.policy.least) {
            return;
        }
        let (stream, version, last) = (stream.clone(), current.version, current.last);
        let (state, personal) = (current.state.clone(), current.personal.clone());
        let write = move || {
            let state = state
                .write()
                .inspect_err(|error| tracing::error!(%error, %stream, "a state cannot be written"))
                .ok()?;
            let mut found = Personal::default();
            found.add(state.get());
            if !personal.covers(&found) {
                tracing::error!(%stream, "a state has personal data that its events have not: it \
                    is not kept");
                return None;
            }
            Some(Written {
                snapshot: Snapshot { stream, shape, epoch, version, last, state },
                personal,
            })
        };
        match self.waiting.try_send(Box::new(write)) {
            Ok(()) => current.kept = current.version,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                telemetry::snapshot("passed_over");
            }
        }
    }
}

/// Stores a snapshot. Returns false if it cannot be encrypted because a subject is erased.
async fn keep(
    store: &dyn SnapshotStore,
    vault: Option<&Vault>,
    written: Written,
) -> Result<bool, StoreError> {
    let Written { snapshot, personal } = written;
    let subjects = personal.subjects().unwrap_or_default();
    if subjects.is_empty() {
        store.keep_snapshot(snapshot).await?;
        return Ok(true);
    }
    // Without a vault, the loader submits no state with personal values.
    let Some(vault) = vault else { return Ok(false) };
    let Snapshot { stream, shape, epoch, version, last, .. } = &snapshot;
    let place = StatePlace { stream, shape: *shape, epoch: *epoch, version: *version, last: *last };
    let Some(state) = vault.encrypt_state(place, subjects, &snapshot.state).await? else {
        return Ok(false);
    };
    store.keep_snapshot(Snapshot { state, ..snapshot }).await?;
    Ok(true)
}
