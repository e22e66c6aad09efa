//! Rows folded in memory, in bounded memory: how a whole log becomes a table without a statement
//! per batch.
//!
//! Rows are in two halves, young and old. A row that is touched goes to the young half; when that
//! is full, the old half is forgotten and the young one becomes the old. What was touched since it
//! was last written is written first. A row that was forgotten and is touched again is loaded;
//! whether there may be one is asked of a filter in memory, so that new keys, which are most, cost
//! no question.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use event_store::Position;
use serde_json::Value;
use sqlx::PgConnection;

use super::batch::{Batch, MAX_ROW_BYTES, Step, Touched, UNMEASURED_ROWS, fold_aside};
use super::copy::{CopyRow, copy_in};
use super::only::Only;
use super::parking::Parking;
use super::{Incoming, Prepared, Projection, Reason, WriteError, guard};

mod blank;
mod refused;
mod stored;

use stored::Stored;

/// The most rows that one statement loads or saves.
const MAX_STATEMENT_ROWS: usize = 1_000;
/// Of so many folds one is measured for the row's size.
const MEASURED: usize = 64;
/// What a row costs besides itself and what it points to: its place in the map, and the allocator's
/// share.
const ROW_OVERHEAD: usize = 64;

/// A row after an event.
#[derive(Debug)]
pub struct Traced {
    /// Where the event is.
    pub position: Position,
    /// Which fragment of what an older event has become.
    pub fragment: u32,
    /// The row.
    pub row: Value,
}

/// A projection's rows in memory, without their types.
#[async_trait]
pub trait AnyRows: Send {
    /// Folds a batch. Rows that were written and forgotten are loaded through the connection, which
    /// works in the tables' schema. What is refused is left in `parking`, if that is careful.
    ///
    /// # Errors
    /// [`WriteError`]; the rows are then of no more use.
    async fn fold(
        &mut self,
        connection: &mut PgConnection,
        batch: Prepared,
        parking: &mut Parking,
    ) -> Result<(), WriteError>;

    /// Whether they must be written before more is folded.
    fn is_full(&self) -> bool;

    /// Into how many rows the half of the memory that is filled goes, as far as rows were measured.
    fn capacity(&self) -> usize;

    /// How many rows were changed since they were last written.
    fn unwritten(&self) -> usize;

    /// There may be rows in the tables that these do not know of: those of a build that was
    /// interrupted.
    fn may_be_stored(&mut self);

    /// Writes every row that was changed, new ones by COPY. Those need no constraint; rows that
    /// stand there already need the primary key.
    ///
    /// # Errors
    /// As Postgres says; the rows are then of no more use.
    async fn write(&mut self, connection: &mut PgConnection) -> sqlx::Result<()>;

    /// [`AnyRows::write`], but rows that Postgres refuses stay in memory, and are tried again the
    /// next time: a later event may make them possible. Returns how many they are. For tables
    /// without constraints that compare rows.
    ///
    /// # Errors
    /// As Postgres says about anything else; the rows are then of no more use.
    async fn write_possible(&mut self, connection: &mut PgConnection) -> sqlx::Result<usize>;

    /// The row after each event since this was last asked; for [`Only::Key`].
    fn take_trace(&mut self) -> Vec<serde_json::Result<Traced>>;
}

struct CachedRow<R> {
    row: R,
    /// Whether the table has a row of this key.
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

    /// About what a row takes.
    fn row_bytes(&self) -> usize {
        let fixed = size_of::<CachedRow<P::Row>>() + size_of::<P::Key>() + ROW_OVERHEAD;
        fixed + self.measured_bytes.checked_div(self.measured).unwrap_or(0)
    }

    /// How many rows one statement takes: they are copied for it.
    fn statement_rows(&self) -> usize {
        if self.is_unmeasured() {
            UNMEASURED_ROWS
        } else {
            (MAX_ROW_BYTES / self.row_bytes()).clamp(1, MAX_STATEMENT_ROWS)
        }
    }

    /// Whether rows may stand in the tables of which none was seen yet.
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

    /// Writes the rows that were changed, without those of these keys, which stay as they are.
    async fn write_but(
        &mut self,
        connection: &mut PgConnection,
        but: &HashSet<P::Key>,
    ) -> sqlx::Result<()> {
        let at_once = self.statement_rows();
        let kept = self.young.iter_mut().chain(self.old.iter_mut());
        let changed = kept.filter(|(key, kept)| kept.changed && !but.contains(*key));
        let (again, mut new): (Vec<_>, Vec<_>) = changed.partition(|(_, kept)| kept.stored);
        // The order of the keys is the order in which they are looked for, and indexes are built.
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
            let folded = folded.map_err(|reason| WriteError::Fold(incoming.position, reason))?;
            self.put(key.clone(), folded, stored, incoming);
        }
        Ok(())
    }

    /// Folds and blanks, and sets aside what is refused.
    async fn fold_all_carefully(
        &mut self,
        connection: &mut PgConnection,
        steps: &[Step<P>],
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        // A row that is traced is looked at after each event.
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

    /// Folds, and sets aside what is refused.
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
        fold_aside::<P>(steps, &mut rows, &only, parking)?;
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
        // Only this projection's own batches come here.
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
        self.young_is_full()
    }

    fn capacity(&self) -> usize {
        if self.is_unmeasured() { UNMEASURED_ROWS } else { self.bytes / 2 / self.row_bytes() }
    }

    fn unwritten(&self) -> usize {
        self.young.values().chain(self.old.values()).filter(|kept| kept.changed).count()
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
