//! Folds rows in bounded memory, so that a whole log becomes a table without a statement per batch.
//!
//! Rows are in two halves, young and old. A touched row moves to the young half. When that is full,
//! changed rows are written, the old half is dropped, and the young half becomes the old one. A
//! dropped row that is touched again is loaded. A filter in memory tells whether the table may
//! contain it, so new keys, which are the majority, cost no query.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use event_store::Position;
use serde_json::Value;
use sqlx::PgConnection;

use super::batch::{Batch, MAX_ROW_BYTES, Step, Touched, UNMEASURED_ROWS, fold_aside};
use super::copy::{CopyRow, copy_in};
use super::only::Only;
use super::parking::Parking;
use super::past::Past;
use super::{Incoming, Prepared, Projection, Reason, WriteError, guard};

mod blank;
mod refused;
mod stored;

use stored::Stored;

/// The maximum number of rows that one statement loads or saves.
const MAX_STATEMENT_ROWS: usize = 1_000;
/// One in this many folds measures the row's size.
const MEASURED: usize = 64;
/// The memory cost of a row besides its own data, in bytes: the map entry and the allocator's
/// overhead.
const ROW_OVERHEAD: usize = 64;

/// A row after an event.
#[derive(Debug)]
pub struct Traced {
    /// The position of the event.
    pub position: Position,
    /// The index of the event's fragment, if an upcaster splits it.
    pub fragment: u32,
    /// The row as JSON.
    pub row: Value,
}

/// A projection's rows in memory, type-erased.
#[async_trait]
pub trait AnyRows: Send {
    /// Folds a batch. Rows that were dropped from memory are loaded through the connection, whose
    /// current schema must be that of the tables. If `parking` is careful, refused events are left
    /// in it.
    ///
    /// # Errors
    /// [`WriteError`]. The rows are then invalid.
    async fn fold(
        &mut self,
        connection: &mut PgConnection,
        batch: Prepared,
        parking: &mut Parking,
    ) -> Result<(), WriteError>;

    /// Whether the rows must be written before more is folded.
    fn is_full(&self) -> bool;

    /// The number of rows that fit into half of the memory, based on the measured sizes.
    fn capacity(&self) -> usize;

    /// The number of rows changed since they were last written.
    fn unwritten(&self) -> usize;

    /// Declares that the tables may contain rows from an interrupted build that are not known here.
    fn may_be_stored(&mut self);

    /// Writes all changed rows, new ones by COPY. New rows need no constraints; existing ones need
    /// the primary key.
    ///
    /// # Errors
    /// Postgres's error. The rows are then invalid.
    async fn write(&mut self, connection: &mut PgConnection) -> sqlx::Result<()>;

    /// Like [`AnyRows::write`], but keeps refused rows in memory and retries them at the next
    /// write, because a later event may correct them. Returns their number. It requires tables
    /// without constraints between rows.
    ///
    /// # Errors
    /// Postgres's error, except for a refusal. The rows are then invalid.
    async fn write_possible(&mut self, connection: &mut PgConnection) -> sqlx::Result<usize>;

    /// Writes the past of the rows, too, if the projection has a history.
    fn keep_history(&mut self);

    /// Takes the row after each event since the last call. Only for [`Only::Key`].
    fn take_trace(&mut self) -> Vec<serde_json::Result<Traced>>;
}

struct CachedRow<R> {
    row: R,
    /// Whether the table has a row with this key.
    stored: bool,
    changed: bool,
}

type Half<P> = HashMap<<P as Projection>::Key, Box<CachedRow<<P as Projection>::Row>>>;

pub(super) struct Rows<P: Projection> {
    only: Only,
    bytes: usize,
    young: Half<P>,
    old: Half<P>,
    stored: Stored,
    folds: usize,
    measured: usize,
    measured_bytes: usize,
    trace: Vec<serde_json::Result<Traced>>,
    past: Past<P>,
}

impl<P: Projection> Rows<P> {
    pub(super) fn new(only: Only, bytes: usize) -> Self {
        Self {
            only,
            bytes,
            young: HashMap::new(),
            old: HashMap::new(),
            stored: Stored::Nothing,
            folds: 0,
            measured: 0,
            measured_bytes: 0,
            trace: Vec::new(),
            past: Past::none(),
        }
    }

    fn take(&mut self, key: &P::Key) -> Option<CachedRow<P::Row>> {
        self.young.remove(key).or_else(|| self.old.remove(key)).map(|kept| *kept)
    }

    fn put<E>(&mut self, key: P::Key, row: P::Row, stored: bool, incoming: &Incoming<E>) {
        if matches!(self.only, Only::Key(_)) {
            let (position, fragment) = (incoming.position, incoming.fragment);
            self.trace.push(serde_json::to_value(&row).map(|row| Traced {
                position,
                fragment,
                row,
            }));
        }
        self.keep(key, row, stored);
    }

    fn keep(&mut self, key: P::Key, row: P::Row, stored: bool) {
        self.measure(&row);
        self.young.insert(key, Box::new(CachedRow { row, stored, changed: true }));
    }

    /// The approximate memory use of a row, in bytes.
    fn row_bytes(&self) -> usize {
        let fixed = size_of::<CachedRow<P::Row>>() + size_of::<P::Key>() + ROW_OVERHEAD;
        fixed + self.measured_bytes.checked_div(self.measured).unwrap_or(0)
    }

    /// The number of rows per statement, which copies them.
    fn statement_rows(&self) -> usize {
        if self.is_unmeasured() {
            UNMEASURED_ROWS
        } else {
            (MAX_ROW_BYTES / self.row_bytes()).clamp(1, MAX_STATEMENT_ROWS)
        }
    }

    /// Whether the tables may contain rows but none was measured yet.
    fn is_unmeasured(&self) -> bool {
        self.measured == 0 && self.stored.any()
    }

    fn measure(&mut self, row: &P::Row) {
        self.folds += 1;
        if self.folds % MEASURED == 1 {
            self.measured += 1;
            self.measured_bytes += CopyRow::length_of(row);
        }
    }

    fn young_is_full(&self) -> bool {
        self.young.len().saturating_mul(self.row_bytes()) > self.bytes / 2
    }

    async fn load(
        &mut self,
        connection: &mut PgConnection,
        mut keys: Vec<P::Key>,
    ) -> sqlx::Result<()> {
        keys.retain(|key| !self.is_at_hand(key) && self.stored.may_have(key) && self.only.has(key));
        keys.sort_unstable();
        keys.dedup();
        let mut rest = keys.as_slice();
        while !rest.is_empty() {
            let (some, after) = rest.split_at(self.statement_rows().min(rest.len()));
            for (key, row) in guard::load::<P>(connection, some).await? {
                self.measure(&row);
                self.young.insert(key, Box::new(CachedRow { row, stored: true, changed: false }));
            }
            rest = after;
        }
        Ok(())
    }

    /// Writes the changed rows, except those with these keys.
    async fn write_but(
        &mut self,
        connection: &mut PgConnection,
        but: &HashSet<P::Key>,
    ) -> sqlx::Result<()> {
        let at_once = self.statement_rows();
        let kept = self.young.iter_mut().chain(self.old.iter_mut());
        let changed = kept.filter(|(key, kept)| kept.changed && !but.contains(*key));
        let (again, mut new): (Vec<_>, Vec<_>) = changed.partition(|(_, kept)| kept.stored);
        // Writing in key order makes lookups and index builds faster.
        new.sort_unstable_by_key(|(key, _)| *key);
        if !new.is_empty() {
            copy_in(connection, new.iter().map(|(_, kept)| &kept.row)).await?;
        }
        for rows in again.chunks(at_once) {
            let rows: Vec<P::Row> = rows.iter().map(|(_, kept)| kept.row.clone()).collect();
            guard::save::<P>(connection, &rows).await?;
        }
        for (key, kept) in new.into_iter().chain(again) {
            self.stored.insert(key);
            (kept.stored, kept.changed) = (true, false);
        }
        self.past.copy(connection).await?;
        if self.young_is_full() {
            let forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.young.extend(forgotten.into_iter().filter(|(_, kept)| kept.changed));
        }
        Ok(())
    }

    fn is_at_hand(&self, key: &P::Key) -> bool {
        self.young.contains_key(key) || self.old.contains_key(key)
    }

    fn fold_one(
        &mut self,
        incoming: &Incoming<P::Event>,
        keys: &[P::Key],
    ) -> Result<(), WriteError> {
        for key in keys {
            if !self.only.has(key) {
                continue;
            }
            let (before, stored) =
                self.take(key).map_or((None, false), |kept| (Some(kept.row), kept.stored));
            let folded = guard::fold::<P>(key, before, incoming);
            let refused = |reason| WriteError::Fold(incoming.position, reason);
            let folded = folded.map_err(refused)?;
            self.past.record(key, &folded, incoming).map_err(refused)?;
            self.put(key.clone(), folded, stored, incoming);
        }
        Ok(())
    }

    /// Folds and blanks; refused events are set aside.
    async fn fold_all_carefully(
        &mut self,
        connection: &mut PgConnection,
        steps: &[Step<P>],
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        // A traced row must be recorded after each event.
        let together = |a: &Step<P>, b: &Step<P>| {
            !matches!(self.only, Only::Key(_)) || a.position() == b.position()
        };
        let together: Vec<&[Step<P>]> = steps
            .chunk_by(|a, b| matches!((a, b), (Step::Fold(..), Step::Fold(..))) && together(a, b))
            .collect();
        for steps in together {
            if let [Step::Blank(erased, of)] = steps {
                self.blank(connection, (erased, of.as_deref()), parking).await?;
            } else {
                self.fold_carefully(steps, parking)?;
            }
        }
        Ok(())
    }

    /// Folds; refused events are set aside.
    fn fold_carefully(
        &mut self,
        steps: &[Step<P>],
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        let (mut rows, mut stored) = (Touched::<P>::new(), HashSet::new());
        let only = self.only.clone();
        for step in steps {
            let Step::Fold(_, keys) = step else { continue };
            for key in keys.iter().filter(|key| only.has(*key)) {
                if let Some(kept) = self.take(key) {
                    if kept.stored {
                        stored.insert(key.clone());
                    }
                    rows.insert(key.clone(), kept.row);
                }
            }
        }
        let before = parking.found();
        fold_aside::<P>(steps, (&mut rows, &mut self.past), &only, parking)?;
        let took_all = parking.found() == before;
        for (key, row) in rows {
            let stored = stored.contains(&key);
            match (&self.only, steps.last()) {
                (Only::Key(text), Some(Step::Fold(last, _)))
                    if took_all && !parking.skips(last.position, text) =>
                {
                    self.put(key, row, stored, last);
                }
                _ => self.keep(key, row, stored),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl<P: Projection> AnyRows for Rows<P> {
    async fn fold(
        &mut self,
        connection: &mut PgConnection,
        batch: Prepared,
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        // The batch always belongs to this projection.
        let Ok(batch) = batch.writer.into_any().downcast::<Batch<P>>() else { return Ok(()) };
        if self.stored.any() {
            let keys = batch
                .0
                .iter()
                .filter_map(|step| if let Step::Fold(_, keys) = step { Some(keys) } else { None });
            self.load(connection, keys.flatten().cloned().collect()).await?;
        }
        if parking.is_idle() {
            for step in &batch.0 {
                match step {
                    Step::Fold(incoming, keys) => self.fold_one(incoming, keys)?,
                    Step::Blank(erased, of) => {
                        self.blank(connection, (erased, of.as_deref()), parking).await?;
                    }
                }
            }
        } else {
            self.fold_all_carefully(connection, &batch.0, parking).await?;
        }
        if self.young_is_full() && self.old.is_empty() {
            self.old = std::mem::take(&mut self.young);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.young_is_full() || self.past.is_full()
    }

    fn capacity(&self) -> usize {
        if self.is_unmeasured() { UNMEASURED_ROWS } else { self.bytes / 2 / self.row_bytes() }
    }

    fn unwritten(&self) -> usize {
        self.young.values().chain(self.old.values()).filter(|kept| kept.changed).count()
    }

    fn keep_history(&mut self) {
        self.past = Past::keeping(self.bytes / 4);
    }

    fn may_be_stored(&mut self) {
        self.stored = Stored::Anything;
    }

    async fn write(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        self.write_but(connection, &HashSet::new()).await
    }

    async fn write_possible(&mut self, connection: &mut PgConnection) -> sqlx::Result<usize> {
        self.write_all_possible(connection).await
    }

    fn take_trace(&mut self) -> Vec<serde_json::Result<Traced>> {
        std::mem::take(&mut self.trace)
    }
}
