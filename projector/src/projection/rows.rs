//! Rows folded in memory, in bounded memory: how a whole log becomes a table without a statement per batch.
//!
//! Rows are in two halves, young and old. A row that is touched goes to the young half; when that is full, the old half is
//! forgotten and the young one becomes the old. What was touched since it was last written is written first. A row that was
//! forgotten and is touched again is loaded; whether there may be one is asked of a filter in memory, so that new keys,
//! which are most, cost no question.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use async_trait::async_trait;
use event_store::Position;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::batch::{Batch, Step, Touched, fold_aside};
use super::copy::{CopyRow, copy_in};
use super::parking::Parking;
use super::split::Parts;
use super::{Incoming, Prepared, Projection, RowKey, WriteError};

/// The most rows that one statement loads or saves.
const MAX_STATEMENT_ROWS: usize = 1_000;
/// Of so many folds one is measured for the row's size.
const MEASURED: usize = 64;
/// Bits of the filter that tells which keys may have been written: 16 MiB.
const FILTER_BITS: u64 = 1 << 27;
/// Bits that each key sets in it.
const FILTER_HASHES: u64 = 4;
/// What a row costs besides itself and what it points to: its place in the map, and the allocator's share.
const ROW_OVERHEAD: usize = 64;

/// Which keys are folded; the others are passed over.
#[derive(Debug, Clone)]
pub enum Only {
    /// All of them.
    All,
    /// Those that a hash of seed and key chooses. `read_model.is_sampled` says the same.
    Sample {
        /// Another one chooses other keys.
        seed: String,
        /// The share of the keys, of 2^32.
        below: i64,
    },
    /// This one alone, as text.
    Key(String),
    /// Those of some parts of a generation.
    Parts(Parts),
}

impl Only {
    pub(super) fn has(&self, key: &impl RowKey) -> bool {
        match self {
            Self::All => true,
            Self::Key(only) => *only == key.text(),
            Self::Parts(parts) => parts.has(key),
            Self::Sample { seed, below } => {
                let digest = Sha256::new().chain_update(seed).chain_update(key.text()).finalize();
                digest.first_chunk().is_some_and(|first| i64::from(u32::from_be_bytes(*first)) < *below)
            }
        }
    }
}

/// A row after an event.
#[derive(Debug)]
pub struct Traced {
    /// Where the event is.
    pub position: Position,
    /// Which part of what an older event has become.
    pub part: u32,
    /// The row.
    pub row: Value,
}

/// A projection's rows in memory, without their types.
#[async_trait]
pub trait AnyRows: Send {
    /// Folds a batch. Rows that were written and forgotten are loaded through the connection, which works in the tables' schema.
    /// What is refused is left in `parking`, if that is careful.
    ///
    /// # Errors
    /// [`WriteError`]; the rows are then of no more use.
    async fn fold(&mut self, connection: &mut PgConnection, batch: Prepared, parking: &mut Parking) -> Result<(), WriteError>;

    /// Whether they must be written before more is folded.
    fn is_full(&self) -> bool;

    /// How many rows were changed since they were last written.
    fn unwritten(&self) -> usize;

    /// There may be rows in the tables that these do not know of: those of a build that was interrupted.
    fn may_be_stored(&mut self);

    /// Writes every row that was changed, new ones by COPY. Those need no constraint; rows that stand there already need the
    /// primary key.
    ///
    /// # Errors
    /// As Postgres says; the rows are then of no more use.
    async fn write(&mut self, connection: &mut PgConnection) -> sqlx::Result<()>;

    /// The row after each event since this was last asked; for [`Only::Key`].
    fn take_trace(&mut self) -> Vec<serde_json::Result<Traced>>;
}

struct Kept<R> {
    row: R,
    /// Whether the table has a row of this key.
    stored: bool,
    changed: bool,
}

type Half<P> = HashMap<<P as Projection>::Key, Box<Kept<<P as Projection>::Row>>>;

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
        let (young, old) = (HashMap::new(), HashMap::new());
        Self { only, bytes, young, old, stored: Stored::Nothing, folds: 0, measured: 0, measured_bytes: 0, trace: Vec::new() }
    }

    fn take(&mut self, key: &P::Key) -> Option<Kept<P::Row>> {
        self.young.remove(key).or_else(|| self.old.remove(key)).map(|kept| *kept)
    }

    fn put<E>(&mut self, key: P::Key, row: P::Row, stored: bool, incoming: &Incoming<E>) {
        if matches!(self.only, Only::Key(_)) {
            let (position, part) = (incoming.position, incoming.part);
            self.trace.push(serde_json::to_value(&row).map(|row| Traced { position, part, row }));
        }
        self.keep(key, row, stored);
    }

    fn keep(&mut self, key: P::Key, row: P::Row, stored: bool) {
        self.folds += 1;
        if self.folds % MEASURED == 1 {
            self.measured += 1;
            self.measured_bytes += CopyRow::length_of(&row, P::copy);
        }
        self.young.insert(key, Box::new(Kept { row, stored, changed: true }));
    }

    /// About what a row takes.
    fn row_bytes(&self) -> usize {
        let fixed = size_of::<Kept<P::Row>>() + size_of::<P::Key>() + ROW_OVERHEAD;
        fixed + self.measured_bytes.checked_div(self.measured).unwrap_or(0)
    }

    fn young_is_full(&self) -> bool {
        self.young.len().saturating_mul(self.row_bytes()) > self.bytes / 2
    }

    async fn load(&mut self, connection: &mut PgConnection, mut keys: Vec<P::Key>) -> sqlx::Result<()> {
        keys.retain(|key| {
            let at_hand = self.young.contains_key(key) || self.old.contains_key(key);
            !at_hand && self.stored.may_have(key) && self.only.has(key)
        });
        keys.sort_unstable();
        keys.dedup();
        for keys in keys.chunks(MAX_STATEMENT_ROWS) {
            let rows = P::load(connection, keys).await?.into_iter();
            self.young.extend(rows.map(|(key, row)| (key, Box::new(Kept { row, stored: true, changed: false }))));
        }
        Ok(())
    }

    fn fold_one(&mut self, incoming: &Incoming<P::Event>) -> Result<(), WriteError> {
        for key in P::keys(&incoming.event) {
            if !self.only.has(&key) {
                continue;
            }
            let (before, stored) = self.take(&key).map_or((None, false), |kept| (Some(kept.row), kept.stored));
            let folded = P::fold(&key, before, incoming).map_err(|reason| WriteError::Fold(incoming.position, reason))?;
            self.put(key, folded, stored, incoming);
        }
        Ok(())
    }

    /// Folds, and sets aside what is refused.
    fn fold_carefully(&mut self, steps: &[Step<P::Event>], parking: &mut Parking) -> Result<(), WriteError> {
        let (mut rows, mut stored) = (Touched::<P>::new(), HashSet::new());
        for step in steps {
            let Step::Fold(incoming) = step else { continue };
            for key in P::keys(&incoming.event) {
                if let Some(kept) = self.take(&key) {
                    if kept.stored {
                        stored.insert(key.clone());
                    }
                    rows.insert(key, kept.row);
                }
            }
        }
        let before = parking.found();
        fold_aside::<P>(steps, &mut rows, &self.only, parking)?;
        let took_all = parking.found() == before;
        for (key, row) in rows {
            let stored = stored.contains(&key);
            match (&self.only, steps.last()) {
                (Only::Key(text), Some(Step::Fold(last))) if took_all && !parking.skips(last.position, text) => {
                    self.put(key, row, stored, last);
                }
                _ => self.keep(key, row, stored),
            }
        }
        Ok(())
    }

    async fn blank(&mut self, connection: &mut PgConnection, erased: &Incoming<uuid::Uuid>) -> sqlx::Result<()> {
        let keys = if let Some(keys) = P::rows_of_subject(erased.event) {
            keys
        } else {
            self.write(connection).await?;
            P::rows_of(connection, &[erased.event]).await?
        };
        self.load(connection, keys.clone()).await?;
        for key in keys {
            if let Some(mut kept) = self.take(&key) {
                P::blank(&mut kept.row, erased);
                self.put(key, kept.row, kept.stored, erased);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl<P: Projection> AnyRows for Rows<P> {
    async fn fold(&mut self, connection: &mut PgConnection, batch: Prepared, parking: &mut Parking) -> Result<(), WriteError> {
        // Only this projection's own batches come here.
        let Ok(batch) = batch.writer.into_any().downcast::<Batch<P>>() else { return Ok(()) };
        if self.stored.any() {
            let folds = batch.0.iter().filter_map(|step| if let Step::Fold(incoming) = step { Some(incoming) } else { None });
            let keys = folds.flat_map(|incoming| P::keys(&incoming.event)).collect();
            self.load(connection, keys).await?;
        }
        if parking.is_idle() {
            for step in &batch.0 {
                match step {
                    Step::Fold(incoming) => self.fold_one(incoming)?,
                    Step::Blank(erased) => self.blank(connection, erased).await?,
                }
            }
        } else {
            // A row that is traced is looked at after each event.
            let together = |a: &Step<_>, b: &Step<_>| !matches!(self.only, Only::Key(_)) || a.position() == b.position();
            let together: Vec<&[Step<P::Event>]> =
                batch.0.chunk_by(|a, b| matches!((a, b), (Step::Fold(_), Step::Fold(_))) && together(a, b)).collect();
            for steps in together {
                if let [Step::Blank(erased)] = steps {
                    self.blank(connection, erased).await?;
                    let held = parking.hold_back_all(erased.position);
                    held.map_err(|full| WriteError::Fold(erased.position, full.into()))?;
                } else {
                    self.fold_carefully(steps, parking)?;
                }
            }
        }
        if self.young_is_full() && self.old.is_empty() {
            self.old = std::mem::take(&mut self.young);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.young_is_full()
    }

    fn unwritten(&self) -> usize {
        self.young.values().chain(self.old.values()).filter(|kept| kept.changed).count()
    }

    fn may_be_stored(&mut self) {
        self.stored = Stored::Anything;
    }

    async fn write(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let kept = self.young.iter_mut().chain(self.old.iter_mut());
        let (again, mut new): (Vec<_>, Vec<_>) = kept.filter(|(_, kept)| kept.changed).partition(|(_, kept)| kept.stored);
        // The order of the keys is the order in which they are looked for, and indexes are built.
        new.sort_unstable_by_key(|(key, _)| *key);
        if !new.is_empty() {
            copy_in(connection, P::COPY, new.iter().map(|(_, kept)| &kept.row), P::copy).await?;
        }
        for rows in again.chunks(MAX_STATEMENT_ROWS) {
            let rows: Vec<P::Row> = rows.iter().map(|(_, kept)| kept.row.clone()).collect();
            P::save(connection, &rows).await?;
        }
        for (key, kept) in new.into_iter().chain(again) {
            self.stored.insert(key);
            (kept.stored, kept.changed) = (true, false);
        }
        if self.young_is_full() {
            self.old = std::mem::take(&mut self.young);
        }
        Ok(())
    }

    fn take_trace(&mut self) -> Vec<serde_json::Result<Traced>> {
        std::mem::take(&mut self.trace)
    }
}

/// Which keys the table may have rows of.
enum Stored {
    Nothing,
    /// A Bloom filter: what is not in it is not there.
    These(Vec<u64>),
    /// Nothing is known.
    Anything,
}

impl Stored {
    fn any(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    fn may_have(&self, key: &impl Hash) -> bool {
        match self {
            Self::Nothing => false,
            Self::Anything => true,
            Self::These(bits) => places(key).all(|(word, bit)| bits.get(word).is_some_and(|bits| bits & bit != 0)),
        }
    }

    fn insert(&mut self, key: &impl Hash) {
        if matches!(self, Self::Nothing) {
            *self = Self::These(vec![0; usize::try_from(FILTER_BITS / 64).unwrap_or(0)]);
        }
        if let Self::These(bits) = self {
            for (word, bit) in places(key) {
                if let Some(bits) = bits.get_mut(word) {
                    *bits |= bit;
                }
            }
        }
    }
}

/// The bits of a key: word and bit in it.
fn places(key: &impl Hash) -> impl Iterator<Item = (usize, u64)> {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let hash = hasher.finish();
    // Two halves of one hash stand for as many hashes as are needed.
    let (first, step) = (hash, hash.rotate_left(32) | 1);
    (0..FILTER_HASHES).map(move |number| {
        let place = first.wrapping_add(number.wrapping_mul(step)) % FILTER_BITS;
        (usize::try_from(place / 64).unwrap_or(0), 1 << (place % 64))
    })
}
