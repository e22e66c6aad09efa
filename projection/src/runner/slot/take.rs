//! Takes a partition: an attempt in a separate task, and its result.

use std::sync::Arc;

use event_store::EventStore;
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::{ACQUIRE_EVERY, Slot, State, waiting};
use crate::runner::acquire::{AcquireError, Acquired, Acquisition};

impl Slot {
    /// Starts an attempt to acquire the partition, if it is due.
    pub(crate) fn begin_acquire(
        &mut self,
        options: &Arc<PgConnectOptions>,
        owner: Uuid,
        store: &Arc<dyn EventStore>,
    ) {
        if self.is_paused {
            return;
        }
        let now = Instant::now();
        let (connection, stopped) = match &mut self.state {
            State::Waiting { due, connection } if *due <= now && self.may_acquire => {
                (connection.take(), None)
            }
            State::Stopped { stopped, due } if *due <= now && stopped.generation.is_some() => {
                (None, Some(stopped.clone()))
            }
            _ => return,
        };
        // It counts only if the attempt succeeds.
        self.held.kept(now);
        let (projection, standby, partition) =
            (Arc::clone(&self.projection), self.standby, self.partition);
        let (options, store, from) =
            (Arc::clone(options), Some(Arc::clone(store)), stopped.clone());
        let acquire = Acquisition {
            options,
            owner,
            projection,
            standby,
            partition,
            store,
            connection,
            stopped,
        };
        self.state = State::Acquiring {
            task: AbortOnDropHandle::new(tokio::spawn(acquire.attempt())),
            from,
        };
    }

    /// Waits for the end of the attempt, if one is running. Dropping the future loses nothing.
    pub(crate) async fn end_acquire(&mut self) {
        let State::Acquiring { task, from } = &mut self.state else { return };
        let (acquired, from) = (task.await, from.take());
        // The slot is in its earlier state again, until the result is applied.
        self.state = match from {
            Some(stopped) => State::Stopped { stopped, due: Instant::now() },
            None => waiting(ACQUIRE_EVERY, None),
        };
        self.acquired(acquired);
    }

    fn acquired(&mut self, result: Result<Result<Acquired, AcquireError>, JoinError>) {
        self.is_known = true;
        match result {
            Ok(Ok(Acquired::Owned(owned))) => {
                tracing::info!(
                    projection = self.title(),
                    position = owned.checkpoint.mark.position.0,
                    "owned"
                );
                if self.failures == 0 {
                    self.progress.moved_at = Instant::now();
                }
                self.own(owned);
            }
            Ok(Ok(Acquired::Elsewhere(connection))) => {
                self.not_ours();
                self.state = waiting(ACQUIRE_EVERY, Some(connection));
            }
            Ok(Ok(Acquired::Stopped(stopped))) => self.stop(stopped, None),
            Ok(Ok(Acquired::StillStopped)) => self.look_again_later(),
            Ok(Err(AcquireError::Database(error))) => self.failed(error.into()),
            Ok(Err(AcquireError::Store(error))) => self.failed(error.into()),
            Err(panic) => self.panicked(&panic),
        }
    }
}
