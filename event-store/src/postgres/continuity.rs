//! Proves that the log behind a connection is the one that this process has read and written
//! before.
//!
//! Three states:
//! - *proved*: every new connection has shown the event that this process knows at its newest
//!   position.
//! - *in doubt*: an answer came from another epoch. Calls wait a moment for a new proof.
//! - *broken*: the server has another history. Every call is refused, and the error names the
//!   command that resolves it.
//!
//! In the last two states a watcher repeats the proof on fresh connections. A process resumes by
//! itself once the right server is back, or once a new epoch has begun that descends from the known
//! one. It does not follow a log that never was in the known epoch.
//!
//! Why a proof is needed: a position means something only within one history. A database restored
//! from a backup, or a standby promoted with commits missing, gives old numbers to new events. A
//! label inside the database cannot show this, since a restored copy has the same label.
//! Checkpoints, tokens, snapshots, the JetStream stream and the newest position that a process
//! knows therefore all carry the *event id at that position* (`EventRef`). A process that
//! reconnects compares the two. Each history has an *epoch*. A standby that has every commit has
//! the same history, so nobody notices the failover.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::PostgresOptions;
use super::connect::prove_on_fresh_connection;
use super::error::read_error;
use crate::error::StoreError;
use crate::event::Head;
use crate::event::{Epoch, EventRef, Position};
use crate::pulse::Pulse;

/// The interval between proofs while the history is not proved.
const PROVE_EVERY: Duration = Duration::from_secs(1);
/// The maximum time that a call waits for a doubt to be settled.
const DOUBT_LIMIT: Duration = Duration::from_secs(2);

/// The state of the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Proved,
    InDoubt,
    Broken(String),
}

/// The newest event and the epoch that this process knows, and the state of the proof.
#[derive(Debug)]
pub(crate) struct Continuity {
    known: Mutex<Known>,
    /// The newest position, for subscribers.
    position: watch::Sender<Position>,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    epoch: Option<Epoch>,
    newest: EventRef,
    /// When the log last said what its newest event is.
    asked_at: Option<Instant>,
}

impl Continuity {
    /// Starts from the head that the process was configured with, if any.
    pub(crate) fn new(head: Option<Head>) -> Self {
        let newest = head.map_or(EventRef::START, |head| head.mark);
        Self {
            known: Mutex::new(Known { epoch: head.map(|head| head.epoch), newest, asked_at: None }),
            position: watch::Sender::new(newest.position),
            state: watch::Sender::new(State::Proved),
        }
    }

    /// Records an event that was read or written.
    pub(crate) fn learn(&self, mark: EventRef) {
        let mut known = self.known();
        if mark.position > known.newest.position {
            known.newest = mark;
            self.position.send_replace(mark.position);
        }
    }

    /// Records the newest event, as the log says it now.
    pub(crate) fn learn_head(&self, head: EventRef) {
        self.learn(head);
        self.known().asked_at = Some(Instant::now());
    }

    /// Returns the newest known position if the log named its newest event within this time.
    /// Without that, the log may have grown by any number of events since.
    pub(crate) fn recent_head(&self, within: Duration) -> Option<Position> {
        let known = *self.known();
        known.asked_at.filter(|at| at.elapsed() <= within).map(|_| known.newest.position)
    }

    /// Returns the newest known event.
    pub(crate) fn newest(&self) -> EventRef {
        self.known().newest
    }

    /// Returns the newest known position.
    pub(crate) fn position(&self) -> Position {
        *self.position.borrow()
    }

    /// Returns a receiver of the newest known position.
    pub(crate) fn positions(&self) -> watch::Receiver<Position> {
        self.position.subscribe()
    }

    /// Refuses every call while the history is another one. Waits a moment while it is in doubt.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        if *self.state.borrow() == State::Proved {
            return Ok(());
        }
        let mut states = self.state.subscribe();
        let settled = timeout(DOUBT_LIMIT, states.wait_for(|state| *state != State::InDoubt)).await;
        match settled {
            Ok(Ok(state)) => match &*state {
                State::Broken(why) => Err(StoreError::OtherHistory(why.clone())),
                State::Proved | State::InDoubt => Ok(()),
            },
            // Not settled in time. The sender cannot be gone: it lives in `self`.
            Ok(Err(_)) | Err(_) => Err(StoreError::Unavailable(None)),
        }
    }

    /// Returns the error if the history is known to be another one.
    pub(crate) fn broken(&self) -> Option<StoreError> {
        match &*self.state.borrow() {
            State::Broken(why) => Some(StoreError::OtherHistory(why.clone())),
            State::Proved | State::InDoubt => None,
        }
    }

    /// Checks the epoch of an answer. A different epoch puts the history in doubt. If it still
    /// differs once the doubt is settled, the answer came from a server that no longer has the log.
    pub(crate) async fn accept(&self, epoch: Epoch) -> Result<(), StoreError> {
        let known = *self.known().epoch.get_or_insert(epoch);
        if known == epoch {
            return Ok(());
        }
        tracing::warn!(%epoch, %known, "the event store answers in another epoch: its history is \
            proved again");
        self.state.send_if_modified(|state| {
            let proved = *state == State::Proved;
            if proved {
                *state = State::InDoubt;
            }
            proved
        });
        self.check().await?;
        if self.known().epoch == Some(epoch) { Ok(()) } else { Err(StoreError::Unavailable(None)) }
    }

    /// Compares the log behind a connection with what this process knows. Follows the log into an
    /// epoch that descends from the known one.
    pub(crate) async fn prove(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let before = *self.known();
        let known_epoch = before.epoch.map(|epoch| epoch.0).unwrap_or_default();
        let row = sqlx::query_file!("sql/continuity.sql", before.newest.position.0, known_epoch)
            .fetch_one(connection)
            .await
            .map_err(read_error)?;
        let epoch = Epoch(row.epoch);
        let same_event = row.event_id == before.newest.event_id;
        match before.epoch {
            Some(known) if known != epoch && !row.descends => {
                Err(self.fail(never_ours(known, epoch)))
            }
            Some(known) if known == epoch && !same_event => {
                Err(self.fail(lost(before.newest, row.event_id)))
            }
            Some(known) if known != epoch => {
                self.follow(before, epoch, same_event);
                Ok(())
            }
            _ => {
                self.known().epoch.get_or_insert(epoch);
                self.proved();
                Ok(())
            }
        }
    }

    /// Switches to another epoch and drops the known events after the fork.
    fn follow(&self, before: Known, epoch: Epoch, shared: bool) {
        let mut known = self.known();
        // Another connection may have switched already.
        if known.epoch == before.epoch {
            known.epoch = Some(epoch);
            if !shared {
                known.newest = EventRef::START;
                known.asked_at = None;
                self.position.send_replace(Position::START);
            }
            tracing::warn!(%epoch, shared, "a new epoch of the log has begun, and this process \
                continues in it");
        }
        drop(known);
        self.proved();
    }

    fn proved(&self) {
        self.state
            .send_if_modified(|state| std::mem::replace(state, State::Proved) != State::Proved);
    }

    fn fail(&self, why: String) -> StoreError {
        let new = State::Broken(why.clone());
        let changed = self.state.send_if_modified(|state| {
            let changed = *state != new;
            *state = new;
            changed
        });
        if changed {
            tracing::error!(
                why,
                "the event store's history is not the one that this process knows"
            );
        }
        StoreError::OtherHistory(why)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Repeats the proof while the history is in doubt or broken. It ends only when it is dropped.
pub(crate) async fn watch(
    continuity: Arc<Continuity>,
    options: Arc<PostgresOptions>,
    pulse: Pulse,
) {
    let mut states = continuity.state.subscribe();
    while states.wait_for(|state| *state != State::Proved).await.is_ok() {
        pulse.beat();
        if let Err(error) = prove_on_fresh_connection(&options, &continuity).await {
            tracing::debug!(%error, "the history is not proved yet");
            sleep(PROVE_EVERY).await;
        }
        pulse.rest();
    }
}

fn never_ours(known: Epoch, epoch: Epoch) -> String {
    format!(
        "it is in epoch {epoch} and never was in {known}, which this process knows: it is another \
            log, or a copy from before that epoch. \
         Name the right server; or, if this log is to go on in its place, run `event-store epoch \
         begin --abandon {known}`"
    )
}

fn lost(newest: EventRef, found: Option<uuid::Uuid>) -> String {
    let found = found.map_or_else(|| "no event".to_owned(), |id| format!("event {id}"));
    let known = newest.event_id.map_or_else(String::new, |id| id.to_string());
    format!(
        "it has {found} at position {}, where this process knows event {known}: the database was \
            restored, or a standby promoted with \
         commits missing. Bring the right server back; or, if this log is to go on as it is, run \
         `event-store epoch begin`",
        newest.position
    )
}
