//! Generations beside the live one: projected by every process that knows what made them, so that a switch never goes back in time.
//!
//! Which they are is asked twice a second. After a switch the old live generation goes on here, and the place of the live one
//! is claimed anew.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::time::Instant;
use uuid::Uuid;

use super::slot::Slot;
use super::{CLAIM_EVERY, database};
use crate::generation::Generation;
use crate::projection::AnyProjection;

/// How long looking may take.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// What is known of the generations.
#[derive(Default)]
pub(crate) struct Beside {
    connection: Option<PgConnection>,
    due: Option<Instant>,
}

/// A generation that is ready to be projected.
struct Ready {
    projection: String,
    generation: Generation,
}

impl Beside {
    /// Makes the next look due now.
    pub(crate) fn look_now(&mut self) {
        self.due = None;
    }

    /// Brings the slots in line with the generations that there are now. While the database is away they stay as they are.
    pub(crate) async fn follow(&mut self, slots: &mut Vec<Slot>, options: &PgConnectOptions, owner: Uuid) {
        if self.due.is_some_and(|due| Instant::now() < due) {
            return;
        }
        self.due = Some(Instant::now() + CLAIM_EVERY);
        match database::within(LOOK_LIMIT, self.ready(options, owner)).await {
            Ok(ready) => align(slots, &ready).await,
            // The slots meet the same error and report it.
            Err(error) => tracing::debug!(%error, "cannot see which generations there are"),
        }
    }

    async fn ready(&mut self, options: &PgConnectOptions, owner: Uuid) -> sqlx::Result<Vec<Ready>> {
        // Taken out, so that a connection that failed is not used again.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => database::connect(options, owner).await?,
        };
        let rows = sqlx::query!(
            "SELECT projection, generation, fold_version, tables, live FROM read_model.generations WHERE state = 'ready'
             ORDER BY projection, generation"
        )
        .fetch_all(&mut connection)
        .await?;
        self.connection = Some(connection);
        let ready = rows.into_iter().map(|row| Ready {
            projection: row.projection,
            generation: Generation {
                generation: row.generation,
                fold_version: row.fold_version,
                tables: row.tables,
                live: row.live,
            },
        });
        Ok(ready.collect())
    }
}

fn of<'r>(ready: &'r [Ready], projection: &'static str) -> impl Iterator<Item = &'r Generation> {
    ready.iter().filter(move |ready| ready.projection == projection).map(|ready| &ready.generation)
}

/// A caller may drop this at any await: no slot is lost by that.
async fn align(slots: &mut Vec<Slot>, ready: &[Ready]) {
    let of = |name: &'static str| of(ready, name);
    let is_wanted = |projection: &dyn AnyProjection, number: i32| {
        of(projection.name()).any(|found| found.generation == number && !found.live && found.is_made_by(projection))
    };
    let stays = |slot: &Slot| slot.generation_beside().is_none_or(|number| is_wanted(slot.projection().as_ref(), number));
    for slot in slots.iter_mut() {
        let live = of(slot.name()).find(|found| found.live).map(|found| found.generation);
        let switched = slot.generation_beside().is_none() && slot.owned_generation().is_some_and(|owned| Some(owned) != live);
        if switched || !stays(slot) {
            slot.give_up().await;
            slot.wait_no_longer();
        }
    }
    slots.retain(|slot| stays(slot));
    let known: Vec<Arc<dyn AnyProjection>> =
        slots.iter().filter(|slot| slot.generation_beside().is_none()).map(|slot| Arc::clone(slot.projection())).collect();
    for projection in known {
        for found in of(projection.name()).filter(|found| is_wanted(projection.as_ref(), found.generation)) {
            let has = |slot: &Slot| slot.name() == projection.name() && slot.generation_beside() == Some(found.generation);
            if !slots.iter().any(has) {
                tracing::info!(projection = projection.name(), generation = found.generation, "projected beside the live one");
                slots.push(Slot::beside(Arc::clone(&projection), found.generation));
            }
        }
    }
}

/// A generation by its number, if it is ready to be projected.
pub(crate) async fn find(connection: &mut PgConnection, projection: &str, generation: i32) -> sqlx::Result<Option<Generation>> {
    sqlx::query_as!(
        Generation,
        "SELECT generation, fold_version, tables, live FROM read_model.generations
         WHERE projection = $1 AND generation = $2 AND state = 'ready'",
        projection,
        generation
    )
    .fetch_optional(connection)
    .await
}
