//! A batch of events: rows are loaded at once, folded in memory, and saved at once.
//!
//! Pages of events are limited by bytes, but small events may touch large rows. So only as many
//! rows are loaded at once as fit into [`MAX_ROW_BYTES`], judged by the largest earlier row. Each
//! row is folded separately over the whole batch.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use event_store::Position;
use sqlx::PgConnection;
use uuid::Uuid;

use super::parking::{Parking, TooManyParked};
use super::past::Past;
use super::split::touched;
use super::{CopyRow, Incoming, Only, Projection, Reason, RowKey, WriteError, guard};

mod refusals;

/// The approximate number of row bytes held at once. A single larger row is still held.
pub(super) const MAX_ROW_BYTES: usize = 4 * 1_024 * 1_024;
/// The number of rows loaded at once while their size is unknown. A batch of small events mostly
/// touches fewer rows, or is loaded in two steps.
pub(super) const UNMEASURED_ROWS: usize = 128;
/// The maximum factor by which the number of rows grows, because earlier rows may happen to be
/// small.
const GROWTH: usize = 8;

/// The effect of an event on rows.
pub(super) enum Step<P: Projection> {
    /// The projection folds the event into the rows with these keys.
    Fold(Incoming<P::Event>, Vec<P::Key>),
    /// A subject is erased: blank its personal fields in these rows. `None` if the tables must be
    /// queried for the rows.
    Blank(Incoming<Uuid>, Option<Vec<P::Key>>),
}

impl<P: Projection> Step<P> {
    pub(super) const fn position(&self) -> Position {
        match self {
            Self::Fold(incoming, _) => incoming.position,
            Self::Blank(erased, _) => erased.position,
        }
    }

    /// Whether it may change this row.
    pub(super) fn may_touch(&self, key: &P::Key) -> bool {
        match self {
            Self::Fold(_, keys) | Self::Blank(_, Some(keys)) => keys.contains(key),
            Self::Blank(_, None) => true,
        }
    }
}

pub(super) struct Batch<P: Projection>(pub(super) Vec<Step<P>>);

/// The rows that a batch touches.
pub(super) type Touched<P> = BTreeMap<<P as Projection>::Key, <P as Projection>::Row>;

#[async_trait]
pub(super) trait Write: Send + Sync {
    async fn write(
        &self,
        connection: &mut PgConnection,
        only: &Only,
        parking: &mut Parking,
    ) -> Result<(), WriteError>;

    fn handled_by(&self, partitions: i32) -> Vec<usize>;

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

impl<P: Projection> Batch<P> {
    /// The distinct keys that the batch touches.
    async fn keys(
        &self,
        connection: &mut PgConnection,
        only: &Only,
        parking: &Parking,
    ) -> sqlx::Result<Vec<P::Key>> {
        let (mut keys, mut to_ask) = (Vec::new(), Vec::new());
        for step in &self.0 {
            match step {
                Step::Fold(_, of) | Step::Blank(_, Some(of)) => keys.extend(of.iter().cloned()),
                Step::Blank(erased, None) => to_ask.push(erased.event),
            }
        }
        if !to_ask.is_empty() {
            keys.extend(P::rows_of(connection, &to_ask).await?);
            // The tables do not say whose a row is if the row lacks events.
            keys.extend(parking.held_keys::<P::Key>());
        }
        keys.retain(|key| only.has(key));
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// Loads the rows of these keys, folds their events, and saves them. Returns the new rows.
    async fn write_rows(
        &self,
        connection: &mut PgConnection,
        (keys, only, whole): (&[P::Key], &Only, bool),
        parking: &mut Parking,
    ) -> Result<Vec<P::Row>, WriteError> {
        let mut rows: Touched<P> = guard::load::<P>(connection, keys).await?.into_iter().collect();
        let mut past = Past::of_batch();
        // Refusals are rare, so rows are not kept for them at first.
        let mut is_folded = whole && parking.is_idle();
        if is_folded {
            match self.fold(connection, (&mut rows, only), &mut past).await {
                // What was saved of the past is saved again, up to the refused event.
                Err(WriteError::Fold(..)) => {
                    rows = guard::load::<P>(connection, keys).await?.into_iter().collect();
                    (past, is_folded) = (Past::of_batch(), false);
                }
                folded => folded?,
            }
        }
        if !is_folded {
            for event in self.0.chunk_by(|a, b| a.position() == b.position()) {
                fold_aside::<P>(event, (&mut rows, &mut past), only, parking)?;
                if past.is_full() {
                    past.save(connection).await?;
                }
            }
        }
        let rows: Vec<P::Row> = rows.into_values().collect();
        if !rows.is_empty() {
            guard::save::<P>(connection, &rows).await?;
        }
        past.save(connection).await?;
        Ok(rows)
    }

    /// Folds everything, or fails with the first refusal. The rows are then invalid.
    async fn fold(
        &self,
        connection: &mut PgConnection,
        (rows, only): (&mut Touched<P>, &Only),
        past: &mut Past<P>,
    ) -> Result<(), WriteError> {
        for step in &self.0 {
            let refused = |reason| WriteError::Fold(step.position(), reason);
            match step {
                Step::Fold(incoming, keys) => {
                    for key in keys.iter().filter(|key| only.has(*key)) {
                        let folded =
                            guard::fold::<P>(key, rows.remove(key), incoming).map_err(refused)?;
                        past.record(key, &folded, incoming).map_err(refused)?;
                        rows.insert(key.clone(), folded);
                    }
                }
                // This includes rows created in this batch.
                Step::Blank(erased, of) => {
                    for row in rows.values_mut() {
                        *row = guard::blank::<P>(row, erased).map_err(refused)?;
                    }
                    past.erase(erased, of.as_deref(), rows).map_err(refused)?;
                }
            }
            if past.is_full() {
                past.save(connection).await?;
            }
        }
        Ok(())
    }
}

/// Folds these steps and sets refused events aside. Fails only if no more may be parked.
pub(super) fn fold_aside<P: Projection>(
    steps: &[Step<P>],
    (rows, past): (&mut Touched<P>, &mut Past<P>),
    only: &Only,
    parking: &mut Parking,
) -> Result<(), WriteError> {
    for event in steps.chunk_by(|a, b| a.position() == b.position()) {
        let Some(position) = event.first().map(Step::position) else { continue };
        fold_event::<P>(event, (&mut *rows, &mut *past), only, parking)
            .map_err(|full| WriteError::Fold(position, full))?;
    }
    Ok(())
}

/// Applies all fragments of one stored event to a row, or none of them.
pub(super) fn fold_event<P: Projection>(
    event: &[Step<P>],
    (rows, past): (&mut Touched<P>, &mut Past<P>),
    only: &Only,
    parking: &mut Parking,
) -> Result<(), Reason> {
    let mut fragments = Vec::new();
    for step in event {
        match step {
            Step::Fold(incoming, keys) => fragments.push((incoming, keys)),
            Step::Blank(erased, of) => {
                blank_rows::<P>(erased, of.as_deref(), rows, (only, parking))?;
                past.erase(erased, of.as_deref(), rows)?;
            }
        }
    }
    let Some(position) = fragments.first().map(|(fragment, _)| fragment.position) else {
        return Ok(());
    };
    let keys: BTreeSet<&P::Key> =
        fragments.iter().flat_map(|(_, keys)| *keys).filter(|key| only.has(*key)).collect();
    for key in keys {
        let text = key.text();
        if parking.skips(position, &text) {
            continue;
        }
        let before = rows.remove(key);
        let absent = before.is_none();
        if !P::COMMUTES && parking.holds(&text) {
            parking.hold_back(position, text, absent)?;
            rows.extend(before.map(|row| (key.clone(), row)));
            continue;
        }
        let folded = fold_row::<P>(key, before.clone(), &fragments).and_then(|row| {
            let last = fragments.iter().rfind(|(_, keys)| keys.contains(key));
            if let (Some(row), Some((last, _))) = (&row, last) {
                past.record(key, row, last)?;
            }
            Ok(row)
        });
        match folded {
            Ok(row) => rows.extend(row.map(|row| (key.clone(), row))),
            Err(reason) => {
                parking.refuse(position, text, &reason, absent)?;
                rows.extend(before.map(|row| (key.clone(), row)));
            }
        }
    }
    Ok(())
}

/// Blanks the subject's fields at once. In rows that lack events, it blanks them again in turn.
fn blank_rows<P: Projection>(
    erased: &Incoming<Uuid>,
    of: Option<&[P::Key]>,
    rows: &mut Touched<P>,
    (only, parking): (&Only, &mut Parking),
) -> Result<(), TooManyParked> {
    let mut held: BTreeSet<P::Key> = match of {
        Some(keys) => keys
            .iter()
            .filter(|key| only.has(*key) && parking.holds(&key.text()))
            .cloned()
            .collect(),
        // It is unknown whose a row will be that does not exist yet.
        None => {
            parking.held_keys().filter(|key| only.has(key) && !rows.contains_key(key)).collect()
        }
    };
    for (key, row) in rows.iter_mut() {
        match guard::blank::<P>(row, erased) {
            Ok(blanked) => {
                if of.is_none() && parking.holds(&key.text()) && changes(row, &blanked) {
                    held.insert(key.clone());
                }
                *row = blanked;
            }
            Err(reason) => {
                held.remove(key);
                parking.refuse(erased.position, key.text(), &reason, false)?;
            }
        }
    }
    for key in held {
        let absent = !rows.contains_key(&key);
        parking.hold_back(erased.position, key.text(), absent)?;
    }
    Ok(())
}

/// Whether two rows differ. If that cannot be determined, they count as different.
fn changes<R: serde::Serialize>(before: &R, after: &R) -> bool {
    match (serde_json::to_value(before), serde_json::to_value(after)) {
        (Ok(before), Ok(after)) => before != after,
        _ => true,
    }
}

/// An event with the keys that it touches.
type Touching<'a, P> = (&'a Incoming<<P as Projection>::Event>, &'a Vec<<P as Projection>::Key>);

fn fold_row<P: Projection>(
    key: &P::Key,
    mut row: Option<P::Row>,
    fragments: &[Touching<'_, P>],
) -> Result<Option<P::Row>, Reason> {
    for (fragment, keys) in fragments {
        for _ in keys.iter().filter(|touched| *touched == key) {
            row = Some(guard::fold::<P>(key, row, fragment)?);
        }
    }
    Ok(row)
}

#[async_trait]
impl<P: Projection> Write for Batch<P> {
    async fn write(
        &self,
        connection: &mut PgConnection,
        only: &Only,
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        let keys = self.keys(connection, only, parking).await?;
        if parking.is_apart() {
            return self.write_apart(connection, (&keys, only), parking).await;
        }
        let whole = matches!(only, Only::All | Only::Partitions(_));
        let (mut at_once, mut rest) = (UNMEASURED_ROWS, keys.as_slice());
        while !rest.is_empty() {
            let (some, after) = rest.split_at(at_once.min(rest.len()));
            let is_all = some.len() == keys.len();
            let these = if is_all {
                only.clone()
            } else {
                Only::These(Arc::new(some.iter().map(RowKey::text).collect()))
            };
            let rows = self.write_rows(connection, (some, &these, whole), parking).await?;
            rest = after;
            if !rest.is_empty() {
                let sizes = rows.iter().map(CopyRow::length_of);
                let largest = sizes.max().unwrap_or(0).max(1);
                at_once = (MAX_ROW_BYTES / largest).clamp(1, at_once.saturating_mul(GROWTH));
            }
        }
        Ok(())
    }

    fn handled_by(&self, partitions: i32) -> Vec<usize> {
        let mut counts = vec![0; usize::try_from(partitions).unwrap_or(0)];
        for event in self.0.chunk_by(|a, b| a.position() == b.position()) {
            let bits = event.iter().fold(0, |bits, step| match step {
                Step::Fold(_, keys) | Step::Blank(_, Some(keys)) => {
                    bits | touched(keys, partitions)
                }
                Step::Blank(_, None) => u64::MAX,
            });
            for (_, count) in
                counts.iter_mut().enumerate().filter(|(number, _)| bits >> number & 1 == 1)
            {
                *count += 1;
            }
        }
        counts
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
