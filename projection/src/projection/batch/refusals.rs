//! Handles a batch with rows that Postgres refuses: each refusal affects only its own row.
//!
//! A batch is an optimisation, so the result must not depend on where a batch ends. An event may
//! change a row to something that Postgres refuses, and a later event may correct it. Within one
//! batch, this goes unnoticed because only the end is saved. With two batches, the first event is
//! parked and the second held back behind it. Both lead to the same row by this rule:
//!
//! *A row takes its events up to the last one after which Postgres accepts it. The later ones are
//! parked: the first with the cause, the others held back.*
//!
//! A refused batch follows the rule here. Parked events follow it when they are retried, because
//! all events of a key are then folded as one batch (`runner/parked/again.rs`). So the row is the
//! same in the end. Until the next retry it may lack events, and is marked stale. The alternative
//! rule, to park whatever is refused by itself, would need a statement per event in every batch.
//!
//! Some results still differ, always in rows that are marked stale:
//! - A fold that commutes takes each event that fits at the moment. Which of several stay parked
//!   depends on their order in time.
//! - An erasure ends the wait for a later event in its batch, because it blanks the existing row at
//!   once.
//! - If a key has more parked events than one retry takes (`MAX_DRAIN`), only the first ones are
//!   considered together.
//! - A constraint between rows (unique, exclusion) refuses the row that came second. Which events
//!   of the second row are parked does not depend on batches. But whether a value is free again
//!   depends on when the parked events are retried.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use event_store::Position;
use sqlx::{Connection as _, PgConnection};

use super::{Batch, Step, Touched, fold_aside, fold_event};
use crate::projection::apart::{self, NotSaved, Refused};
use crate::projection::parking::TooManyParked;
use crate::projection::past::{Past, StoredPast};
use crate::projection::{Only, Parking, Projection, RowKey, WriteError, guard};

/// A row whose current state Postgres refuses.
struct Impossible<R> {
    /// The row as Postgres last accepted it.
    last: Option<R>,
    cause: Refused,
    /// The events since then.
    since: Vec<Position>,
}

impl<P: Projection> Batch<P> {
    /// Folds and saves so that a refused row does not affect others.
    pub(super) async fn write_apart(
        &self,
        connection: &mut PgConnection,
        (keys, only): (&[P::Key], &Only),
        (parking, stored): (&mut Parking, StoredPast),
    ) -> Result<(), WriteError> {
        let before = parking.clone();
        let (mut rows, without_row) = apart::load::<P>(connection, keys).await?;
        let others = without_row.iter().map(|(key, _)| key.text()).collect();
        let others = Only::AllBut(Box::new(only.clone()), Arc::new(others));
        let mut past = Past::of_batch(stored);
        fold_aside::<P>(&self.0, (&mut rows, &mut past), &others, parking)?;
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
            past.forget(key);
        }
        if !refused.is_empty() {
            self.write_each(connection, &refused, (parking, &mut past)).await?;
        }
        Ok(past.save_possible(connection).await?)
    }

    /// Parks every event of a key that Postgres cannot even search for.
    fn park_all(
        &self,
        key: &P::Key,
        why: &Refused,
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        for event in self.stored_events() {
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

    /// Folds the rows of these keys event by event, in log order. After each event, it saves the
    /// rows that Postgres accepts.
    async fn write_each(
        &self,
        connection: &mut PgConnection,
        keys: &[P::Key],
        (parking, past): (&mut Parking, &mut Past<P>),
    ) -> Result<(), WriteError> {
        let mut rows: Touched<P> = guard::load::<P>(connection, keys).await?.into_iter().collect();
        let only = Only::These(Arc::new(keys.iter().map(RowKey::text).collect::<HashSet<_>>()));
        let mut impossible: BTreeMap<P::Key, Impossible<P::Row>> = BTreeMap::new();
        for event in self.stored_events() {
            let Some(position) = event.first().map(Step::position) else { continue };
            let touched: Vec<&P::Key> =
                keys.iter().filter(|key| event.iter().any(|step| step.may_touch(key))).collect();
            if event.iter().any(|step| matches!(step, Step::Blank(..))) {
                for key in &touched {
                    if let Some(row) = impossible.remove(*key) {
                        row.park::<P>(key, (&mut rows, &mut *past), parking)?;
                    }
                }
            }
            let before: Vec<Option<P::Row>> =
                touched.iter().map(|key| rows.get(*key).cloned()).collect();
            let found = parking.found();
            fold_event::<P>(event, (&mut rows, &mut *past), &only, parking)
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
                past.forget_at(key, position);
            }
        }
        for (key, row) in impossible {
            // The conflicting row may be gone.
            let again = rows.get(&key).cloned().into_iter().collect::<Vec<_>>();
            if apart::try_save::<P>(connection, &again).await?.is_err() {
                row.park::<P>(&key, (&mut rows, &mut *past), parking)?;
            }
        }
        Ok(())
    }
}

impl<R> Impossible<R> {
    /// Stops waiting for an event that makes the row valid again, and parks its events.
    fn park<P: Projection<Row = R>>(
        self,
        key: &P::Key,
        (rows, past): (&mut Touched<P>, &mut Past<P>),
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        let absent = self.last.is_none();
        set(rows, key, self.last);
        let cause = self.cause.into();
        for (number, position) in self.since.into_iter().enumerate() {
            past.forget_at(key, position);
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
