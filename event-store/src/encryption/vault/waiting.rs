//! Bounded waiting for the key store, in time and in number of callers.
//!
//! A silent key store blocks every caller that needs a key. These callers must get an answer in
//! time, and must leave room in the process for those that need no key.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use uuid::Uuid;

use super::{MAX_BATCH, Shared};
use crate::error::KeyError;
use crate::pulse::{Pulse, Task};

/// The maximum number of concurrent calls that wait for the key store. One more is rejected.
const MAX_WAITING: usize = 1_024;
/// The maximum time that a call waits.
const LIMIT: Duration = Duration::from_secs(6);

/// The calls that wait for the key store.
pub(super) struct Waiting {
    wanted: mpsc::Sender<Wanted>,
    room: Semaphore,
    pulse: Pulse,
}

/// A call that waits for the keys of these subjects; missing keys are made.
struct Wanted {
    subjects: Vec<Uuid>,
    answer: oneshot::Sender<Result<(), KeyError>>,
}

impl Waiting {
    /// Starts the task that makes keys. It ends when this value is dropped.
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let (wanted, waiting) = mpsc::channel(MAX_WAITING);
        let pulse = Pulse::default();
        tokio::spawn(make_keys(shared, waiting, pulse.clone()));
        Self { wanted, room: Semaphore::new(MAX_WAITING), pulse }
    }

    /// The task that makes keys.
    pub(super) fn task(&self) -> Task {
        Task { name: "subject_key_making", pulse: self.pulse.clone() }
    }

    /// Waits for an answer of the key store, within the limits.
    pub(super) async fn patiently<T>(
        &self,
        work: impl Future<Output = Result<T, KeyError>>,
    ) -> Result<T, KeyError> {
        let _room = self.room.try_acquire().map_err(|_| KeyError::Unavailable(None))?;
        timeout(LIMIT, work).await.unwrap_or(Err(KeyError::Unavailable(None)))
    }

    /// Waits until each of these subjects has a key.
    pub(super) async fn make(&self, subjects: Vec<Uuid>) -> Result<(), KeyError> {
        let making = async {
            let gone = || KeyError::Unavailable(None);
            let (answer, made) = oneshot::channel();
            self.wanted.send(Wanted { subjects, answer }).await.map_err(|_| gone())?;
            made.await.map_err(|_| gone())?
        };
        self.patiently(making).await
    }
}

/// Makes the keys of new subjects. While one batch is being stored, the next one fills.
async fn make_keys(shared: Arc<Shared>, mut waiting: mpsc::Receiver<Wanted>, pulse: Pulse) {
    while let Some(first) = waiting.recv().await {
        if first.answer.is_closed() {
            // The caller has given up.
            continue;
        }
        // Callers that were just answered may send their next append. Let them run first, so one
        // statement serves them all.
        tokio::task::yield_now().await;
        let mut subjects: HashSet<Uuid> = first.subjects.iter().copied().collect();
        let mut batch = vec![first];
        while subjects.len() < MAX_BATCH {
            let Ok(next) = waiting.try_recv() else { break };
            if !next.answer.is_closed() {
                subjects.extend(&next.subjects);
                batch.push(next);
            }
        }
        let subjects: Vec<Uuid> = subjects.into_iter().collect();
        pulse.beat();
        let made = shared.ensure(&subjects).await;
        pulse.rest();
        for wanted in batch {
            if wanted.answer.send(made.clone()).is_err() {
                tracing::trace!("a caller has given up; its keys are made all the same");
            }
        }
    }
}
