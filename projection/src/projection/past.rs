//! The past of a projection's rows: the table `<projection>_history` has each row as it was after
//! each event that changed it, and which event that was.
//!
//! It is how the query side answers as of an earlier moment. Queries may read `read_model` and
//! nothing else, and go on while the event store is away, so they cannot replay the log. A replay
//! of a sum would also have to read all events that it counts. Instead the fold that makes the row
//! writes its past too: there is no second fold, and a past row is what `projector explain --as-of`
//! makes. It costs one row per event and key, and one lookup per question, however long the log is.
//!
//! - The table belongs to its generation. A rebuild, a switch and a drop treat it like the others.
//! - A past row is written in the transaction of its event, under the event's position.
//! - An erasure blanks the past rows of its subject with [`Projection::blank`], as if each had been
//!   folded from events without the erased values. So a replay afterwards makes the same rows. A
//!   past may be too long for one transaction, so the runner blanks it ahead (`runner/erasing.rs`).
//! - Private state that only the fold needs is left out (`=> private` in [`row!`](crate::row!)).
//!   It may grow with the number of events, and would be copied and stored again for each.
//! - A fold whose parked events take effect late (`COMMUTES`) would change past states. It cannot
//!   have a history.
//!
//! A past row that Postgres refuses, between two that it takes, is left out and logged.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use event_store::{Position, Version};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::batch::{MAX_ROW_BYTES, Touched};
use super::{CopyRow, Incoming, Origin, Projection, ProjectionRow as _, Reason, apart, guard};

/// The maximum number of past rows that one statement loads or saves.
pub(crate) const MAX_STATEMENT_ROWS: usize = 500;
/// One in this many past rows is measured.
const MEASURED: usize = 16;

/// A row as it was after an event.
#[derive(Debug, Clone)]
pub(super) struct PastRow<R> {
    pub(super) row: R,
    /// The position of the event.
    pub(super) position: Position,
    pub(super) event: PastEvent,
}

/// The event that made a past row.
#[derive(Debug, Clone)]
pub(super) struct PastEvent {
    pub(super) origin: Origin,
    pub(super) version: Version,
    pub(super) recorded_at: DateTime<Utc>,
}

/// What the tables have of the past of rows from which a batch erases a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoredPast {
    /// It may have values of the subject. The batch blanks it.
    AsFolded,
    /// It has none, because it was blanked ahead of the batch ([`Prepared::blank_past`]).
    ///
    /// [`Prepared::blank_past`]: super::Prepared::blank_past
    Blanked,
}

/// A row from whose stored past a batch erases a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PastErasure {
    /// The text of the row's key.
    pub(crate) key: String,
    pub(crate) subject: Uuid,
    /// The position of the erasure.
    pub(crate) position: Position,
}

/// Stored past rows that were blanked together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    /// The number of rows. Fewer than asked for are the last ones.
    pub(crate) rows: usize,
    /// The position of the last one; if there is none, the one to start after.
    pub(crate) last: Position,
    /// The approximate size of the largest one, in bytes.
    pub(crate) largest: usize,
}

/// The past rows that were folded and not saved yet.
pub(super) struct Past<P: Projection> {
    rows: BTreeMap<(P::Key, Position), PastRow<P::Row>>,
    /// The keys whose stored past rows a subject is erased from.
    erased: Vec<(P::Key, Uuid)>,
    /// What the tables had before anything was saved.
    stored: StoredPast,
    /// The lowest position of the rows that were saved.
    saved_from: Option<Position>,
    /// The approximate number of bytes to hold; `None` if no history is kept.
    limit: Option<usize>,
    recorded: usize,
    measured: usize,
    measured_bytes: usize,
}

impl<P: Projection> Past<P> {
    /// Keeps no history, for folds whose rows no query sees.
    pub(super) const fn none() -> Self {
        Self {
            rows: BTreeMap::new(),
            erased: Vec::new(),
            stored: StoredPast::AsFolded,
            saved_from: None,
            limit: None,
            recorded: 0,
            measured: 0,
            measured_bytes: 0,
        }
    }

    /// Keeps the history, if the projection has one, and is full at about `limit` bytes.
    pub(super) fn keeping(limit: usize) -> Self {
        let mut past = Self::none();
        past.limit = P::HISTORY.then_some(limit);
        past
    }

    /// The same for a batch of the runner.
    pub(super) fn of_batch(stored: StoredPast) -> Self {
        Self { stored, ..Self::keeping(MAX_ROW_BYTES) }
    }

    /// Records the row after an event. The last fragment of a stored event counts.
    pub(super) fn record<E>(
        &mut self,
        key: &P::Key,
        row: &P::Row,
        incoming: &Incoming<E>,
    ) -> Result<(), Reason> {
        if self.limit.is_none() {
            return Ok(());
        }
        let row = guard::guarded("leaving out private state", || Ok(row.abridged()))?;
        if self.recorded.is_multiple_of(MEASURED) {
            self.measured += 1;
            self.measured_bytes += CopyRow::length_of(&row);
        }
        self.recorded += 1;
        let Incoming { position, version, recorded_at, ref origin, .. } = *incoming;
        let event = PastEvent { origin: origin.clone(), version, recorded_at };
        self.rows.insert((key.clone(), position), PastRow { row, position, event });
        Ok(())
    }

    /// Records that a subject is erased from the rows of these keys, also from their past.
    pub(super) fn erase(
        &mut self,
        erased: &Incoming<Uuid>,
        keys: Option<&[P::Key]>,
        rows: &Touched<P>,
    ) -> Result<(), Reason> {
        for key in keys.unwrap_or_default() {
            if let Some(row) = rows.get(key) {
                self.erase_one(erased, key, row)?;
            }
        }
        Ok(())
    }

    /// The same for one row, as it is now.
    pub(super) fn erase_one(
        &mut self,
        erased: &Incoming<Uuid>,
        key: &P::Key,
        row: &P::Row,
    ) -> Result<(), Reason> {
        if self.limit.is_none() {
            return Ok(());
        }
        let range = (key.clone(), Position::START)..(key.clone(), erased.position);
        for (_, past) in self.rows.range_mut(range) {
            past.row = blanked::<P>(past, erased.event)?;
        }
        self.erased.push((key.clone(), erased.event));
        self.record(key, row, erased)
    }

    /// Forgets what was recorded of a key.
    pub(super) fn forget(&mut self, key: &P::Key) {
        self.rows.retain(|(of, _), _| of != key);
    }

    /// Forgets that the event at this position changed a key's row.
    pub(super) fn forget_at(&mut self, key: &P::Key, position: Position) {
        self.rows.remove(&(key.clone(), position));
    }

    /// Whether it must be saved before more is recorded.
    pub(super) fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.rows.len().saturating_mul(self.row_bytes()) > limit)
    }

    fn row_bytes(&self) -> usize {
        size_of::<PastRow<P::Row>>()
            + self.measured_bytes.checked_div(self.measured).unwrap_or_default()
    }

    /// The number of rows per statement.
    fn statement_rows(&self) -> usize {
        (MAX_ROW_BYTES / self.row_bytes()).clamp(1, MAX_STATEMENT_ROWS)
    }

    fn take(&mut self) -> Vec<PastRow<P::Row>> {
        let rows: Vec<_> = std::mem::take(&mut self.rows).into_values().collect();
        let first = rows.iter().map(|past| past.position).min();
        self.saved_from = self.saved_from.into_iter().chain(first).min();
        rows
    }

    /// Saves what was recorded. Rows that are there already are replaced.
    pub(super) async fn save(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        self.erase_stored(connection).await?;
        let at_once = self.statement_rows();
        for rows in self.take().chunks(at_once) {
            guard::save_past::<P>(connection, rows).await?;
        }
        Ok(())
    }

    /// Saves what was recorded by COPY. None of the rows may be there already.
    pub(super) async fn copy(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        self.erase_stored(connection).await?;
        let rows = self.take();
        if !rows.is_empty() {
            super::row::copy_past(connection, &rows).await?;
        }
        Ok(())
    }

    /// Saves what Postgres takes. Call it inside a transaction.
    pub(super) async fn save_possible(
        &mut self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        self.erase_stored(connection).await?;
        let rows = self.take();
        let mut waiting = if rows.is_empty() { Vec::new() } else { vec![rows] };
        while let Some(mut rows) = waiting.pop() {
            let mut attempt = connection.begin().await?;
            match guard::save_past::<P>(&mut attempt, &rows).await {
                Ok(()) => attempt.commit().await?,
                Err(error) if apart::is_refusal(&error) => {
                    attempt.rollback().await?;
                    if let [row] = rows.as_slice() {
                        let (projection, position) = (P::NAME, row.position.0);
                        let why = apart::why(&error);
                        tracing::warn!(projection, position, %why, "a past row cannot be stored");
                    } else {
                        waiting.push(rows.split_off(rows.len() / 2));
                        waiting.push(rows);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Blanks the stored past rows of erased subjects, before more rows are saved: those are
    /// blanked already. A rebuild fills empty tables without their keys, which this would need if
    /// it found a row.
    async fn erase_stored(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let erased = std::mem::take(&mut self.erased);
        let from = match self.stored {
            StoredPast::AsFolded => Some(Position::START),
            StoredPast::Blanked => self.saved_from.map(|first| Position(first.0 - 1)),
        };
        let (Some(from), at_once) = (from, self.statement_rows()) else { return Ok(()) };
        for (key, subject) in erased {
            let mut after = from;
            loop {
                let of = (&key, subject);
                let piece = blank_some::<P>(connection, of, (after, at_once)).await?;
                if piece.rows < at_once {
                    break;
                }
                after = piece.last;
            }
        }
        Ok(())
    }
}

/// Blanks stored past rows of a key, in order, after a position and at most this many.
pub(super) async fn blank_some<P: Projection>(
    connection: &mut PgConnection,
    (key, subject): (&P::Key, Uuid),
    (after, limit): (Position, usize),
) -> sqlx::Result<Piece> {
    let mut rows = guard::load_past::<P>(connection, key, (after, limit)).await?;
    let Some(last) = rows.last() else { return Ok(Piece { rows: 0, last: after, largest: 0 }) };
    let lengths = rows.iter().step_by(MEASURED).map(|past| CopyRow::length_of(&past.row));
    let largest = lengths.max().unwrap_or_default();
    let piece = Piece { rows: rows.len(), last: last.position, largest };
    for past in &mut rows {
        past.row = blanked::<P>(past, subject).map_err(sqlx::Error::Encode)?;
    }
    guard::save_past::<P>(connection, &rows).await?;
    Ok(piece)
}

/// A past row without the personal values of a subject, as if its own event had left none.
fn blanked<P: Projection>(past: &PastRow<P::Row>, subject: Uuid) -> Result<P::Row, Reason> {
    let PastEvent { origin, version, recorded_at } = &past.event;
    let as_of_then = Incoming {
        event: subject,
        position: past.position,
        version: *version,
        fragment: 0,
        recorded_at: *recorded_at,
        origin: origin.clone(),
    };
    guard::blank::<P>(&past.row, &as_of_then)
}
