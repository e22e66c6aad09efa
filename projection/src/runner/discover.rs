//! Finds the partitions to project, and decides which of them this process should have. They are
//! those of each projection's live generation and of its standby generations. A standby generation
//! is projected by every process that has the code for it, so that a switch never goes back in
//! time.
//!
//! The generations, the other processes and the paused projections are queried twice a second.
//! After a switch, the old live generation continues as a standby, and the new live one is
//! acquired.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::join_all;
use postgres_kit::Connection;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::assignment::{self, Assignment};
use super::slot::Slot;
use super::{ACQUIRE_EVERY, database};
use crate::generation::Generation;
use crate::pause::{self, Pause};
use crate::projection::AnyProjection;

/// What this process knows of the generations.
#[derive(Default)]
pub(crate) struct Discovery {
    connection: Option<Connection>,
    due: Option<Instant>,
    /// For each free partition, the last term of its lease and the time since which it is free.
    free: HashMap<String, (i64, Instant)>,
    /// When this process last took a partition that was reserved for another one.
    left: Option<Instant>,
    /// The paused projections, as last seen.
    pauses: Vec<Pause>,
}

/// A generation that is ready to be projected.
struct Ready {
    projection: String,
    generation: Generation,
}

/// The role of a process among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It takes all free partitions, and does not report itself to others.
    Alone,
    /// It shares the partitions with the others, if it is able to project them.
    Shares { able: bool },
}

impl Discovery {
    /// The paused projections.
    pub(crate) fn pauses(&self) -> &[Pause] {
        &self.pauses
    }

    /// Makes the next query due now.
    pub(crate) fn look_now(&mut self) {
        self.due = None;
    }

    /// Updates the slots to the current generations and to this process's share. While the database
    /// is away, the slots stay unchanged. Only the query ends when `drain` is cancelled, because
    /// partitions that are handed over meanwhile must reach the end of it.
    pub(crate) async fn follow(
        &mut self,
        slots: &mut Vec<Slot>,
        options: &PgConnectOptions,
        (owner, role): (Uuid, Role),
        drain: &CancellationToken,
    ) {
        if self.due.is_some_and(|due| Instant::now() < due) {
            return;
        }
        // This is slightly shorter than the runner's idle interval, which otherwise would miss
        // every second query.
        self.due = Some(Instant::now() + ACQUIRE_EVERY.mul_f64(0.9));
        let folds: Vec<String> = slots
            .iter()
            .filter(|slot| slot.is_first())
            .map(|slot| slot.fold().to_owned())
            .collect();
        // On the heap, because futures that hold connections are large.
        let look = Box::pin(self.look(options, (owner, role), &folds));
        let Some(found) = drain.run_until_cancelled(look).await else { return };
        match found {
            Ok((ready, assignment)) => {
                for slot in slots.iter_mut() {
                    let is_paused = self.pauses.iter().any(|p| p.projection == slot.name());
                    slot.pause(is_paused).await;
                }
                align(slots, &ready).await;
                self.share(slots, assignment).await;
            }
            Err(error) => {
                // The slots get the same error and report it.
                tracing::debug!(%error, "cannot see which generations there are");
                for slot in slots.iter_mut() {
                    slot.may_acquire(true);
                }
            }
        }
    }

    async fn look(
        &mut self,
        options: &PgConnectOptions,
        (owner, role): (Uuid, Role),
        folds: &[String],
    ) -> sqlx::Result<(Vec<Ready>, Option<Assignment>)> {
        // It is taken out, so that a failed connection is not used again.
        let mut connection = if let Some(connection) = self.connection.take() {
            connection
        } else {
            let mut connection = database::connect(options, owner).await?;
            // Its reports are repeated soon, so they do not have to wait for the disk.
            sqlx::raw_sql("SET synchronous_commit = off").execute(&mut connection).await?;
            connection
        };
        let rows = sqlx::query!(
            "SELECT projection, generation, fold_version, tables, partitions, live FROM \
                read_model.generations WHERE state = 'ready'
             ORDER BY projection, generation"
        )
        .fetch_all(&mut connection)
        .await?;
        let assignment = match role {
            Role::Alone => None,
            Role::Shares { able } => {
                Some(Assignment::look(&mut connection, owner, able, folds).await?)
            }
        };
        self.pauses = pause::all(&mut connection).await?;
        self.connection = Some(connection);
        let ready = rows.into_iter().map(|row| Ready {
            projection: row.projection,
            generation: Generation {
                generation: row.generation,
                fold_version: row.fold_version,
                tables: row.tables,
                partitions: row.partitions,
                live: row.live,
            },
        });
        Ok((ready.collect(), assignment))
    }

    /// Gives up the partitions that others should have, and lets the slots acquire this process's
    /// share.
    async fn share(&mut self, slots: &mut [Slot], assignment: Option<Assignment>) {
        let Some(mut assignment) = assignment else {
            for slot in slots {
                slot.may_acquire(true);
            }
            return;
        };
        if self.left.is_some_and(|since| since.elapsed() < assignment::PATIENCE) {
            assignment.be_patient();
        }
        let mine: Vec<_> =
            slots.iter().filter(|slot| slot.mark().is_some()).filter_map(Slot::place).collect();
        let given = assignment.surplus(&mine);
        let is_given = |slot: &Slot| slot.place().is_some_and(|place| given.contains(&place.lease));
        // Concurrently, so that a silent server delays the runner only once.
        let handed = slots.iter_mut().filter(|slot| is_given(slot)).map(Slot::hand_over);
        join_all(handed).await;
        let free: Vec<_> = slots
            .iter()
            .filter(|slot| slot.is_waiting() && !is_given(slot))
            .filter_map(Slot::place)
            .filter(|place| !assignment.is_elsewhere(&place.lease))
            .collect();
        // A partition that somebody held between two queries was not free all the time.
        let is_free = |lease: &str, term| {
            assignment.term(lease) == term && free.iter().any(|place| place.lease == lease)
        };
        self.free.retain(|lease, (term, _)| is_free(lease, *term));
        for place in &free {
            self.free
                .entry(place.lease.clone())
                .or_insert_with(|| (assignment.term(&place.lease), Instant::now()));
        }
        let since = self.free.iter().map(|(lease, (_, since))| (lease.clone(), *since)).collect();
        let elsewhere: Vec<bool> = slots
            .iter()
            .map(|slot| slot.place().is_some_and(|place| assignment.is_elsewhere(&place.lease)))
            .collect();
        let acquisitions = assignment.acquisitions(&free, &since);
        if acquisitions.values().any(|was_left| *was_left) {
            self.left = Some(Instant::now());
        }
        for (slot, elsewhere) in slots.iter_mut().zip(elsewhere) {
            if slot.is_waiting() && elsewhere {
                slot.is_elsewhere();
            }
            slot.may_acquire(
                slot.place().is_none_or(|place| acquisitions.contains_key(&place.lease)),
            );
        }
    }

    /// Reports that this process takes no more partitions.
    pub(crate) async fn leave(&mut self, owner: Uuid) {
        let Some(mut connection) = self.connection.take() else { return };
        if let Err(error) = assignment::leave(&mut connection, owner).await {
            tracing::debug!(%error, "could not tell the other processes that this one leaves");
        }
    }
}

fn of<'r>(ready: &'r [Ready], projection: &'static str) -> impl Iterator<Item = &'r Generation> {
    ready.iter().filter(move |ready| ready.projection == projection).map(|ready| &ready.generation)
}

/// The generation of a slot, if it has this partition and this process can project it.
fn wanted<'r>(ready: &'r [Ready], slot: &Slot) -> Option<&'r Generation> {
    let is_wanted = |found: &&Generation| match slot.standby_generation() {
        None => found.live,
        Some(number) => !found.live && found.generation == number,
    };
    of(ready, slot.name()).find(is_wanted).filter(|found| {
        found.is_made_by(slot.projection().as_ref()) && slot.partition() < found.partitions
    })
}

/// Adds and removes slots, so that there is one for each partition. Dropping the future at any
/// await loses no slot.
async fn align(slots: &mut Vec<Slot>, ready: &[Ready]) {
    for slot in slots.iter_mut() {
        let found = wanted(ready, slot);
        slot.stands_for(found);
        let (of, is_live) =
            (found.map(|found| found.generation), slot.standby_generation().is_none());
        let live = of_live(ready, slot.name());
        let switched = is_live && slot.owned_generation().is_some_and(|owned| Some(owned) != live);
        if switched || (of.is_none() && !slot.is_first()) {
            slot.give_up().await;
            slot.wait_no_longer();
        }
    }
    slots.retain(|slot| slot.is_first() || wanted(ready, slot).is_some());
    let known: Vec<Arc<dyn AnyProjection>> = slots
        .iter()
        .filter(|slot| slot.is_first())
        .map(|slot| Arc::clone(slot.projection()))
        .collect();
    for projection in known {
        for found in
            of(ready, projection.name()).filter(|found| found.is_made_by(projection.as_ref()))
        {
            let standby = (!found.live).then_some(found.generation);
            for partition in 0..found.partitions {
                let is_it = |slot: &Slot| {
                    slot.name() == projection.name()
                        && slot.standby_generation() == standby
                        && slot.partition() == partition
                };
                if !slots.iter().any(is_it) {
                    tracing::info!(
                        projection = projection.name(),
                        generation = found.generation,
                        partition,
                        "a partition was found"
                    );
                    let mut slot = Slot::of(Arc::clone(&projection), standby, partition);
                    slot.stands_for(Some(found));
                    slots.push(slot);
                }
            }
        }
    }
}

fn of_live(ready: &[Ready], projection: &'static str) -> Option<i32> {
    of(ready, projection).find(|found| found.live).map(|found| found.generation)
}

/// Finds a generation by its number, if it is ready to be projected.
pub(crate) async fn find(
    connection: &mut PgConnection,
    projection: &str,
    generation: i32,
) -> sqlx::Result<Option<Generation>> {
    sqlx::query_as!(
        Generation,
        "SELECT generation, fold_version, tables, partitions, live FROM read_model.generations
         WHERE projection = $1 AND generation = $2 AND state = 'ready'",
        projection,
        generation
    )
    .fetch_optional(connection)
    .await
}
