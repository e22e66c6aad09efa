//! The hub's work: reads what changed once per checkpoint step, and hands it out.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use access::Scope;
use service_kit::Pulse;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::frame::{Kind, Place, State};
use super::hub::{Change, Hub};
use super::row::Followed;
use crate::position::Moves;
use crate::read::changes::{Changes, StaleRows};
use crate::read::table::{FindMany, MAX_IDS};
use crate::read::{ReadError, Reader, Seen};

/// The maximum number of changed rows that one statement reads.
pub(super) const PAGE_ROWS: i64 = 200;
/// The least time between two steps, so that a fast projector does not cost a step per commit.
const STEP_EVERY: Duration = Duration::from_millis(20);
/// How often the hub looks for changes while no update of the checkpoint comes.
const POLL_EVERY: Duration = Duration::from_millis(100);
/// The time limit of one step.
const STEP_LIMIT: Duration = Duration::from_secs(5);
/// The pause after a step that failed.
const REST: Duration = Duration::from_millis(500);
/// After this time without progress, the task is considered hung. A step ends sooner.
pub const SILENCE: Duration = Duration::from_secs(10);

/// What a hub knows of its projection next to its state.
#[derive(Debug, Default)]
struct Known {
    /// The rows that lack events.
    stale: BTreeSet<Uuid>,
    /// Rows that were handed out ahead of the state, with the positions of their changes.
    ahead: HashMap<Uuid, i64>,
}

impl<R: Followed> Hub<R> {
    /// Reads and hands out while somebody follows, for ever.
    pub(super) async fn run(&self, reader: &Reader, pulse: Pulse) {
        let mut moves = reader.watcher.moves(R::PROJECTIONS[0]);
        let mut known = Known::default();
        loop {
            if self.known().is_none() {
                pulse.rest();
                self.somebody_follows().await;
            }
            pulse.beat();
            let began = Instant::now();
            match timeout(STEP_LIMIT, Box::pin(self.step(reader, &mut known))).await {
                // There is more, which is read at once.
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => self.pause(&mut moves, began).await,
                Ok(Err(error)) => {
                    tracing::debug!(%error, projection = R::PROJECTIONS[0], "changes not read");
                    tokio::time::sleep(REST).await;
                }
                Err(_) => {
                    tracing::debug!(projection = R::PROJECTIONS[0], "changes not read in time");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Waits until there may be something new.
    async fn pause(&self, moves: &mut Moves, began: Instant) {
        tokio::time::sleep_until(began + STEP_EVERY).await;
        if let Some(state) = self.known() {
            // Without an update of the checkpoint, it looks anyway.
            drop(timeout_at(began + POLL_EVERY, moves.beyond(state.place.position)).await);
        }
    }

    /// Reads one page of changes and hands it out. Returns whether there may be more.
    async fn step(&self, reader: &Reader, known: &mut Known) -> Result<bool, ReadError> {
        let Some(mut state) = self.known() else {
            self.begin(reader, known).await?;
            return Ok(false);
        };
        let question = Changes::<R>::new(state.place.key(), None, PAGE_ROWS);
        let view = reader.read(question).await?;
        let seen = view.seen;
        if !state.is_of(&state_at(&seen)) {
            self.begin(reader, known).await?;
            self.reset();
            return Ok(false);
        }
        // Before anything is handed out: an id with this mark does not resume past such rows.
        state.stale |= seen.stale;
        // A crash of the database may take the position back. The same rows follow again.
        let reached = Place::end_of(seen.position).max(state.place);
        let is_full = view.data.len() == usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
        let mut place = state.place;
        // Partitions that are ahead wait for the others.
        let rows = view.data.into_iter().filter(|row| row.position() <= seen.position);
        for row in rows {
            place = Place { position: row.position(), id: row.id() };
            let sent = known.ahead.get(&place.id);
            if sent.is_none_or(|at| *at < place.position) {
                let stale = known.stale.contains(&place.id);
                let kind = Kind::of_change(row.is_erased());
                let state = &state;
                let seen = &seen;
                self.hand_out(&Change { row, state, place, seen, always: false, stale, kind });
            }
        }
        let has_more = is_full && place < reached && place > state.place;
        state.place = if has_more { place } else { reached };
        known.ahead.retain(|_, at| *at > state.place.position);
        self.reached(state);
        if seen.stale || !known.stale.is_empty() {
            self.compare_stale(reader, known, &mut state, &seen).await?;
            self.reached(state);
        }
        metrics::gauge!("live_position", "projection" => R::PROJECTIONS[0])
            .set(precise(state.place.position));
        Ok(has_more)
    }

    /// Starts at the current position of the tables.
    async fn begin(&self, reader: &Reader, known: &mut Known) -> Result<(), ReadError> {
        *known = Known::default();
        let nothing = Changes::<R>::new((i64::MAX, Uuid::max()), None, 1);
        let state = state_at(&reader.read(nothing).await?.seen);
        if state.stale {
            known.stale = reader.read(StaleRows::<R>::default()).await?.data.into_iter().collect();
        }
        self.reached(state);
        Ok(())
    }

    /// Hands out the rows that lack events now and did not before, and those that no longer do.
    async fn compare_stale(
        &self,
        reader: &Reader,
        known: &mut Known,
        state: &mut State,
        seen: &Seen,
    ) -> Result<(), ReadError> {
        let now: BTreeSet<Uuid> = if seen.stale {
            reader.read(StaleRows::<R>::default()).await?.data.into_iter().collect()
        } else {
            BTreeSet::new()
        };
        state.stale = !now.is_empty();
        let differing: Vec<Uuid> = known.stale.symmetric_difference(&now).copied().collect();
        for ids in differing.chunks(MAX_IDS) {
            // The limit of the question is that of the chunks.
            let Ok(question) = FindMany::<R>::new(ids.to_vec(), Scope::All) else { continue };
            // A row that does not exist yet is no one's.
            for row in reader.read(question).await?.data.into_iter().flatten() {
                let (id, position) = (row.id(), row.position());
                let stale = now.contains(&id);
                let kind = if stale { Kind::Stale } else { Kind::of_change(row.is_erased()) };
                if position > state.place.position {
                    known.ahead.insert(id, position);
                }
                let place = state.place;
                self.hand_out(&Change { row, state, place, seen, always: true, stale, kind });
            }
        }
        known.stale = now;
        Ok(())
    }
}

/// The state that a snapshot shows.
pub(super) fn state_at(seen: &Seen) -> State {
    State {
        epoch: seen.epoch,
        generation: seen.generations.first().copied().unwrap_or_default(),
        place: Place::end_of(seen.position),
        stale: seen.any_stale,
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
const fn precise(position: i64) -> f64 {
    position as f64
}
