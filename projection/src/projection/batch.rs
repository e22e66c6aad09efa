//! A batch of events: rows are loaded at once, folded in memory, and saved at once.
//!
//! Pages of events are limited by bytes, but small events may touch large rows. So only as many
//! rows are loaded at once as fit into [`MAX_ROW_BYTES`], judged by the largest earlier row. Each
//! row is folded separately over the whole batch.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use event_store::Position;
use sqlx::PgConnection;
use uuid::Uuid;

use super::parking::Parking;
use super::past::{Past, PastErasure, Piece, StoredPast};
use super::split::touched;
use super::{CopyRow, Incoming, Only, Projection, Reason, RowKey, WriteError, guard};

mod aside;
mod erasures;
mod refusals;

pub(super) use aside::{changes, fold_aside, fold_event};

/// The approximate number of row bytes held at once. A single larger row is still held.
pub(crate) const MAX_ROW_BYTES: usize = 4 * 1_024 * 1_024;
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
        past: StoredPast,
    ) -> Result<(), WriteError>;

    /// The rows among these keys from whose past the batch erases a subject.
    fn past_erasures(&self, only: &Only) -> Vec<PastErasure>;

    /// See [`Prepared::blank_past`](super::Prepared::blank_past).
    async fn blank_past(
        &self,
        connection: &mut PgConnection,
        erasure: &PastErasure,
        rows: (Position, usize),
    ) -> sqlx::Result<Piece>;

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
        (parking, stored): (&mut Parking, StoredPast),
    ) -> Result<Vec<P::Row>, WriteError> {
        let mut rows: Touched<P> = guard::load::<P>(connection, keys).await?.into_iter().collect();
        let mut past = Past::of_batch(stored);
        // Refusals are rare, so rows are not kept for them at first.
        let mut is_folded = whole && parking.is_idle();
        if is_folded {
            match self.fold(connection, (&mut rows, only), &mut past).await {
                // What was saved of the past is saved again, up to the refused event.
                Err(WriteError::Fold(..)) => {
                    rows = guard::load::<P>(connection, keys).await?.into_iter().collect();
                    (past, is_folded) = (Past::of_batch(stored), false);
                }
                folded => folded?,
            }
        }
        if !is_folded {
            for event in self.stored_events() {
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

    /// The fragments of each stored event.
    fn stored_events(&self) -> impl Iterator<Item = &[Step<P>]> {
        self.0.chunk_by(|a, b| a.position() == b.position())
    }

    /// Folds everything, or fails with the first refusal. The rows are then invalid.
    async fn fold(
        &self,
        connection: &mut PgConnection,
        (rows, only): (&mut Touched<P>, &Only),
        past: &mut Past<P>,
    ) -> Result<(), WriteError> {
        for event in self.stored_events() {
            for step in event {
                fold_step::<P>(step, (&mut *rows, only), past)
                    .map_err(|reason| WriteError::Fold(step.position(), reason))?;
            }
            // Not between fragments: a later one may be refused, and the whole event is parked.
            if past.is_full() {
                past.save(connection).await?;
            }
        }
        Ok(())
    }
}

/// Folds a step, or fails with the first refusal.
fn fold_step<P: Projection>(
    step: &Step<P>,
    (rows, only): (&mut Touched<P>, &Only),
    past: &mut Past<P>,
) -> Result<(), Reason> {
    match step {
        Step::Fold(incoming, keys) => {
            for key in keys.iter().filter(|key| only.has(*key)) {
                let folded = guard::fold::<P>(key, rows.remove(key), incoming)?;
                past.record(key, &folded, incoming)?;
                rows.insert(key.clone(), folded);
            }
            Ok(())
        }
        // This includes rows created in this batch.
        Step::Blank(erased, of) => {
            for row in rows.values_mut() {
                *row = guard::blank::<P>(row, erased)?;
            }
            past.erase(erased, of.as_deref(), rows)
        }
    }
}

#[async_trait]
impl<P: Projection> Write for Batch<P> {
    async fn write(
        &self,
        connection: &mut PgConnection,
        only: &Only,
        parking: &mut Parking,
        past: StoredPast,
    ) -> Result<(), WriteError> {
        let keys = self.keys(connection, only, parking).await?;
        if parking.is_apart() {
            return self.write_apart(connection, (&keys, only), (parking, past)).await;
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
            let rows =
                self.write_rows(connection, (some, &these, whole), (&mut *parking, past)).await?;
            rest = after;
            if !rest.is_empty() {
                let sizes = rows.iter().map(CopyRow::length_of);
                let largest = sizes.max().unwrap_or(0).max(1);
                at_once = (MAX_ROW_BYTES / largest).clamp(1, at_once.saturating_mul(GROWTH));
            }
        }
        Ok(())
    }

    fn past_erasures(&self, only: &Only) -> Vec<PastErasure> {
        self.erasures(only)
    }

    async fn blank_past(
        &self,
        connection: &mut PgConnection,
        erasure: &PastErasure,
        rows: (Position, usize),
    ) -> sqlx::Result<Piece> {
        self.blank_piece(connection, erasure, rows).await
    }

    fn handled_by(&self, partitions: i32) -> Vec<usize> {
        let mut counts = vec![0; usize::try_from(partitions).unwrap_or(0)];
        for event in self.stored_events() {
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
