//! A batch of whose rows Postgres refuses some: each refusal hurts its own row alone.
//!
//! A batch is an optimisation, so what becomes of a row may not depend on where a batch ends. An
//! event may make of a row what Postgres refuses, and a later one make it right again. In one batch
//! nobody notices, since only the end is saved. In two, the first event is parked and the second
//! held back behind it. Both ways lead to the same row, by this rule:
//!
//! *A row takes in its events up to the last one after which Postgres accepts it. Those behind are
//! parked: the first with the cause, the others held back.*
//!
//! A batch that is refused follows it here. Parked events follow it when they are tried again,
//! since all of a key's are then folded as one batch (`runner/parked/again.rs`). So the row is the
//! same in the end; until the next try it may lack events, and is marked stale. The other rule, to
//! park whatever is refused by itself, would need a statement for each event of every batch.
//!
//! What differs all the same, always in rows that are marked stale:
//! - a fold that commutes takes in each event that fits at the moment: which of several stay parked
//!   depends on their order in time;
//! - an erasure ends the wait for a later event in its batch, since it blanks the row that is there
//!   at once;
//! - of a key with more parked events than one try takes (`MAX_DRAIN`) only the first so many are
//!   looked at together;
//! - a constraint that compares rows (unique, exclusion) refuses the row that came second. Which
//!   events of the second row are parked is the same wherever a batch ends, but whether a value is
//!   free again depends on when the parked ones are tried.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use event_store::Position;
use sqlx::{Connection as _, PgConnection};

use super::{Batch, Step, Touched, fold_aside, fold_event};
use crate::projection::apart::{self, NotSaved, Refused};
use crate::projection::parking::TooManyParked;
use crate::projection::{Only, Parking, Projection, RowKey, WriteError, guard};

/// A row that Postgres refuses as it is now.
struct Impossible<R> {
    /// As Postgres took it last.
    last: Option<R>,
    cause: Refused,
    /// The events since then.
    since: Vec<Position>,
}

impl<P: Projection> Batch<P> {
    /// Folds and saves in such a way that a row which Postgres refuses hurts no other one.
    pub(super) async fn write_apart(
        &self,
        connection: &mut PgConnection,
        (keys, only): (&[P::Key], &Only),
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        let before = parking.clone();
        let (mut rows, without_row) = apart::load::<P>(connection, keys).await?;
        let others = without_row.iter().map(|(key, _)| key.text()).collect();
        let others = Only::AllBut(Box::new(only.clone()), Arc::new(others));
        fold_aside::<P>(&self.0, &mut rows, &others, parking)?;
        for (key, why) in without_row {
            self.park_all(&key, &why, parking)?;
        }
        let mut attempt = connection.begin().await?;
        let all: Vec<P::Key> = rows.keys().cloned().collect();
        let refused = match apart::save::<P>(&mut attempt, rows.into_iter().collect()).await? {
            NotSaved::These(refused) => {
                attempt.commit().await?;
                refused
            }
            // The order of their events decides between them.
            NotSaved::Across => {
                attempt.rollback().await?;
                all
            }
        };
        for key in &refused {
            parking.forget(&key.text(), &before);
        }
        if refused.is_empty() {
            Ok(())
        } else {
            self.write_each(connection, &refused, parking).await
        }
    }

    /// Parks every event of a key that Postgres cannot even look for.
    fn park_all(
        &self,
        key: &P::Key,
        why: &Refused,
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        for event in self.0.chunk_by(|a, b| a.position() == b.position()) {
            let Some(position) = event.first().map(Step::position) else { continue };
            let text = key.text();
            if parking.skips(position, &text) || !event.iter().any(|step| step.may_touch(key)) {
                continue;
            }
            let parked = if !P::COMMUTES && parking.holds(&text) {
                parking.hold_back(position, text, true)
            } else {
                parking.refuse(position, text, &why.clone().into(), true)
            };
            parked.map_err(|full| WriteError::Fold(position, full.into()))?;
        }
        Ok(())
    }

    /// Folds the rows of these keys event by event, in the order of the log, and saves each after
    /// each event that Postgres lets it take in.
    async fn write_each(
        &self,
        connection: &mut PgConnection,
        keys: &[P::Key],
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        let mut rows: Touched<P> = guard::load::<P>(connection, keys).await?.into_iter().collect();
        let only = Only::These(Arc::new(keys.iter().map(RowKey::text).collect::<HashSet<_>>()));
        let mut impossible: BTreeMap<P::Key, Impossible<P::Row>> = BTreeMap::new();
        for event in self.0.chunk_by(|a, b| a.position() == b.position()) {
            let Some(position) = event.first().map(Step::position) else { continue };
            let touched: Vec<&P::Key> =
                keys.iter().filter(|key| event.iter().any(|step| step.may_touch(key))).collect();
            if event.iter().any(|step| matches!(step, Step::Blank(..))) {
                for key in &touched {
                    if let Some(row) = impossible.remove(*key) {
                        row.park::<P>(key, &mut rows, parking)?;
                    }
                }
            }
            let before: Vec<Option<P::Row>> =
                touched.iter().map(|key| rows.get(*key).cloned()).collect();
            let found = parking.found();
            fold_event::<P>(event, &mut rows, &only, parking)
                .map_err(|full| WriteError::Fold(position, full))?;
            for (key, before) in touched.into_iter().zip(before) {
                let text = key.text();
                let Some(row) = rows.get(key).filter(|_| !parking.skips(position, &text)) else {
                    continue;
                };
                let Err(cause) =
                    apart::try_save::<P>(connection, std::slice::from_ref(row)).await?
                else {
                    impossible.remove(key);
                    continue;
                };
                let is_aside = parking.found_of(&text, found);
                if !is_aside && !P::COMMUTES {
                    let new = || Impossible { last: before, cause, since: Vec::new() };
                    impossible.entry(key.clone()).or_insert_with(new).since.push(position);
                    continue;
                }
                if !is_aside {
                    let refused = parking.refuse(position, text, &cause.into(), before.is_none());
                    refused.map_err(|full| WriteError::Fold(position, full.into()))?;
                }
                set(&mut rows, key, before);
            }
        }
        for (key, row) in impossible {
            // What was in its way may be gone.
            let again = rows.get(&key).cloned().into_iter().collect::<Vec<_>>();
            if apart::try_save::<P>(connection, &again).await?.is_err() {
                row.park::<P>(&key, &mut rows, parking)?;
            }
        }
        Ok(())
    }
}

impl<R> Impossible<R> {
    /// Gives up waiting for an event that makes the row possible again.
    fn park<P: Projection<Row = R>>(
        self,
        key: &P::Key,
        rows: &mut Touched<P>,
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        let absent = self.last.is_none();
        set(rows, key, self.last);
        let cause = self.cause.into();
        for (number, position) in self.since.into_iter().enumerate() {
            let text = key.text();
            let parked: Result<(), TooManyParked> = if number == 0 {
                parking.refuse(position, text, &cause, absent)
            } else {
                parking.hold_back(position, text, absent)
            };
            parked.map_err(|full| WriteError::Fold(position, full.into()))?;
        }
        Ok(())
    }
}

fn set<K: Ord + Clone, R>(rows: &mut BTreeMap<K, R>, key: &K, row: Option<R>) {
    match row {
        Some(row) => drop(rows.insert(key.clone(), row)),
        None => drop(rows.remove(key)),
    }
}
