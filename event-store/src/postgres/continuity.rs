//! The proof that the log behind a new connection is the one that this process has read and written before.

use std::sync::{Mutex, OnceLock, PoisonError};

use sqlx::postgres::PgConnection;
use tokio::sync::watch;

use super::error::read_error;
use crate::error::StoreError;
use crate::event::{Epoch, Mark, Position};

/// The newest mark and the epoch that this process knows.
#[derive(Debug)]
pub(crate) struct Continuity {
    epoch: OnceLock<Epoch>,
    newest: Mutex<Mark>,
    /// The newest position, for those who wait for events.
    position: watch::Sender<Position>,
    broken: OnceLock<String>,
}

impl Continuity {
    pub(crate) fn new() -> Self {
        Self {
            epoch: OnceLock::new(),
            newest: Mutex::new(Mark::START),
            position: watch::Sender::new(Position::START),
            broken: OnceLock::new(),
        }
    }

    /// Takes note of a mark that was read or written.
    pub(crate) fn learn(&self, mark: Mark) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if mark.position > newest.position {
            *newest = mark;
            self.position.send_replace(mark.position);
        }
    }

    pub(crate) fn newest(&self) -> Mark {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the newest known position.
    pub(crate) fn positions(&self) -> watch::Receiver<Position> {
        self.position.subscribe()
    }

    /// Refuses everything once the proof has failed.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.broken.get().map_or(Ok(()), |why| Err(StoreError::Unusable(why.clone())))
    }

    /// Takes note of the epoch that an answer came from; another one than before ends this process's work on the log.
    pub(crate) fn learn_epoch(&self, epoch: Epoch) -> Result<(), StoreError> {
        let known = *self.epoch.get_or_init(|| epoch);
        if known == epoch {
            return Ok(());
        }
        self.fail(format!("its epoch is {epoch} and was {known}: restart this process, which then reads the new history"))
    }

    /// Compares the log behind a new connection with what this process knows.
    pub(crate) async fn prove(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        self.check()?;
        let newest = self.newest();
        let row = sqlx::query_file!("sql/continuity.sql", newest.position.0).fetch_one(connection).await.map_err(read_error)?;
        self.learn_epoch(Epoch(row.epoch))?;
        if newest.event_id == row.event_id {
            return Ok(());
        }
        let found = row.event_id.map_or_else(|| "no event".to_owned(), |id| format!("event {id}"));
        let known = newest.event_id.map_or_else(String::new, |id| id.to_string());
        self.fail(format!(
            "it has {found} at position {}, where this process knows event {known}: the database was restored or promoted with commits \
             missing, and a new epoch must begin before anything is appended",
            newest.position
        ))
    }

    fn fail(&self, why: String) -> Result<(), StoreError> {
        tracing::error!(why, "the event store's history is not the one that this process knows");
        Err(StoreError::Unusable(self.broken.get_or_init(|| why).clone()))
    }
}
