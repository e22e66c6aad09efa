//! A batch of events on its way into the rows: loaded at once, folded in memory, saved at once.

use std::any::Any;
use std::collections::BTreeMap;

use async_trait::async_trait;
use event_store::Position;
use sqlx::PgConnection;
use uuid::Uuid;

use super::parking::Parking;
use super::split::touched;
use super::{Incoming, Only, Projection, Reason, RowKey as _, WriteError};

/// What an event does to the rows.
pub(super) enum Step<E> {
    /// The projection folds it.
    Fold(Incoming<E>),
    /// A subject is erased: its personal fields are blanked.
    Blank(Incoming<Uuid>),
}

impl<E> Step<E> {
    pub(super) const fn position(&self) -> Position {
        match self {
            Self::Fold(incoming) => incoming.position,
            Self::Blank(erased) => erased.position,
        }
    }
}

pub(super) struct Batch<P: Projection>(pub(super) Vec<Step<P::Event>>);

/// The rows that a batch touches.
pub(super) type Touched<P> = BTreeMap<<P as Projection>::Key, <P as Projection>::Row>;

#[async_trait]
pub(super) trait Write: Send + Sync {
    async fn write(&self, connection: &mut PgConnection, only: &Only, parking: &mut Parking) -> Result<(), WriteError>;

    fn handled_by(&self, parts: i32) -> Vec<usize>;

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

impl<P: Projection> Batch<P> {
    /// The keys that the batch touches, each once.
    async fn keys(&self, connection: &mut PgConnection, only: &Only) -> sqlx::Result<Vec<P::Key>> {
        let (mut keys, mut erased) = (Vec::new(), Vec::new());
        for step in &self.0 {
            match step {
                Step::Fold(incoming) => keys.extend(P::keys(&incoming.event)),
                Step::Blank(incoming) => erased.push(incoming.event),
            }
        }
        if !erased.is_empty() {
            keys.extend(P::rows_of(connection, &erased).await?);
        }
        keys.retain(|key| only.has(key));
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// Folds all of it, or fails with the first refusal. The rows are then of no more use.
    fn fold(&self, rows: &mut Touched<P>, only: &Only) -> Result<(), WriteError> {
        for step in &self.0 {
            match step {
                Step::Fold(incoming) => {
                    for key in P::keys(&incoming.event) {
                        if !only.has(&key) {
                            continue;
                        }
                        let before = rows.remove(&key);
                        let folded = P::fold(&key, before, incoming);
                        rows.insert(key, folded.map_err(|reason| WriteError::Fold(incoming.position, reason))?);
                    }
                }
                // Rows that came to be in this batch are among them.
                Step::Blank(erased) => rows.values_mut().for_each(|row| P::blank(row, erased)),
            }
        }
        Ok(())
    }
}

/// Folds these steps and sets aside what is refused. Fails only when no more may be parked.
pub(super) fn fold_aside<P: Projection>(
    steps: &[Step<P::Event>],
    rows: &mut Touched<P>,
    only: &Only,
    parking: &mut Parking,
) -> Result<(), WriteError> {
    for event in steps.chunk_by(|a, b| a.position() == b.position()) {
        let Some(position) = event.first().map(Step::position) else { continue };
        fold_event::<P>(event, rows, only, parking).map_err(|full| WriteError::Fold(position, full))?;
    }
    Ok(())
}

/// All that one stored event has become counts in a row, or nothing of it.
fn fold_event<P: Projection>(
    event: &[Step<P::Event>],
    rows: &mut Touched<P>,
    only: &Only,
    parking: &mut Parking,
) -> Result<(), Reason> {
    let mut parts = Vec::new();
    for step in event {
        match step {
            Step::Fold(incoming) => parts.push(incoming),
            Step::Blank(erased) => {
                // What is erased goes at once; and once more in its turn, behind what its row lacks.
                for row in rows.values_mut() {
                    P::blank(row, erased);
                }
                parking.hold_back_all(erased.position)?;
            }
        }
    }
    let mut keys: Vec<P::Key> = parts.iter().flat_map(|part| P::keys(&part.event)).filter(|key| only.has(key)).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let (text, Some(position)) = (key.text(), parts.first().map(|part| part.position)) else { continue };
        if parking.skips(position, &text) {
            continue;
        }
        let before = rows.remove(&key);
        let absent = before.is_none();
        if !P::COMMUTES && parking.holds(&text) {
            parking.hold_back(position, text, absent)?;
            rows.extend(before.map(|row| (key, row)));
            continue;
        }
        match fold_row::<P>(&key, before.clone(), &parts) {
            Ok(row) => rows.extend(row.map(|row| (key, row))),
            Err(reason) => {
                parking.refuse(position, text, &reason, absent)?;
                rows.extend(before.map(|row| (key, row)));
            }
        }
    }
    Ok(())
}

fn fold_row<P: Projection>(
    key: &P::Key,
    mut row: Option<P::Row>,
    parts: &[&Incoming<P::Event>],
) -> Result<Option<P::Row>, Reason> {
    for part in parts {
        for _ in P::keys(&part.event).iter().filter(|touched| *touched == key) {
            row = Some(P::fold(key, row, part)?);
        }
    }
    Ok(row)
}

#[async_trait]
impl<P: Projection> Write for Batch<P> {
    async fn write(&self, connection: &mut PgConnection, only: &Only, parking: &mut Parking) -> Result<(), WriteError> {
        let keys = self.keys(connection, only).await?;
        let mut rows: Touched<P> = P::load(connection, &keys).await?.into_iter().collect();
        let whole = matches!(only, Only::All | Only::Parts(_));
        // Nearly always nothing is refused, and rows need not be kept for that.
        if !(whole && parking.is_idle() && self.fold(&mut rows, only).is_ok()) {
            rows = P::load(connection, &keys).await?.into_iter().collect();
            fold_aside::<P>(&self.0, &mut rows, only, parking)?;
        }
        let rows: Vec<P::Row> = rows.into_values().collect();
        if rows.is_empty() {
            return Ok(());
        }
        Ok(P::save(connection, &rows).await?)
    }

    fn handled_by(&self, parts: i32) -> Vec<usize> {
        let mut counts = vec![0; usize::try_from(parts).unwrap_or(0)];
        for event in self.0.chunk_by(|a, b| a.position() == b.position()) {
            let bits = event.iter().fold(0, |bits, step| match step {
                Step::Fold(incoming) => bits | touched(&P::keys(&incoming.event), parts),
                Step::Blank(_) => u64::MAX,
            });
            for (_, count) in counts.iter_mut().enumerate().filter(|(number, _)| bits >> number & 1 == 1) {
                *count += 1;
            }
        }
        counts
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}
