//! Background verification in a running projector. It replays a sample of each projection's keys in
//! turn, slowly, and compares it with the live rows. So a wrong table is noticed before a person
//! finds it.
//!
//! A difference counts only if a second check of the same keys finds one too: a skip or an erasure
//! in between may explain the first. Differing keys are checked again the next time, instead of
//! others, until they no longer differ.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use event_store::encryption::Vault;
use event_store::{Position, UpcastingLog};
use postgres_kit::Connection;
use service_kit::Pulse;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::restraint::Restraint;
use super::{VerifyError, Verifying, sample};
use crate::chain;
use crate::generation;
use crate::ops::Silent;
use crate::projection::AnyProjection;
use crate::replay::compare::Differences;
use crate::replay::{MIB, Source};
use crate::runner::database;

/// The memory limit for folded rows. The rest goes to temporary tables.
const ROW_MEMORY: usize = 16 * MIB;
/// How long one step may take: folding a page, or comparing a chunk.
const PIECE_LIMIT: Duration = Duration::from_mins(10);
/// How long a verification may make no progress before it counts as hung. No step takes longer.
pub const SILENCE_LIMIT: Duration = Duration::from_mins(11);
/// Together with a projection's name, the advisory lock for its verification. One process at a time
/// is enough. The number has no meaning.
const LOCK: i32 = 0x0da7_be1f;

/// The settings of background verification.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The pause between two rounds. `None` disables it.
    pub every: Option<Duration>,
    /// The approximate number of rows of each projection to check per round.
    pub rows: NonZeroU32,
    /// The maximum number of events to read per second.
    pub rate: NonZeroU32,
    /// Verification pauses while any live projection is more than this many events behind.
    pub most_lag: u32,
}

/// Verifies projections while the projector runs.
#[derive(Clone)]
pub struct Background {
    /// The settings.
    pub settings: Settings,
    /// The connection options of the read model.
    pub options: PgConnectOptions,
    /// The log to replay.
    pub log: UpcastingLog,
    /// Decrypts personal values.
    pub vault: Arc<Vault>,
    /// Beats while it verifies.
    pub pulse: Pulse,
}

/// The result of one verification.
struct Found {
    generation: i32,
    differences: Differences,
    position: Position,
}

/// The maximum number of connections of a background verification: one has the lock, one compares.
pub const MAX_CONNECTIONS: u32 = 2;

impl Background {
    /// Verifies these projections one after another, until the future is dropped.
    pub async fn run(self, projections: Vec<Arc<dyn AnyProjection>>) -> Infallible {
        let Some(every) = self.settings.every else {
            self.pulse.rest();
            return std::future::pending().await;
        };
        describe();
        let mut seeds = BTreeMap::new();
        loop {
            self.pulse.rest();
            tokio::time::sleep(every).await;
            for projection in &projections {
                self.pulse.beat();
                let name = projection.name();
                let seed = seeds.entry(name).or_insert_with(|| Uuid::new_v4().to_string()).clone();
                let source = Source::new(
                    self.log.clone(),
                    Some(Arc::clone(&self.vault)),
                    Arc::clone(projection),
                );
                let background = self.clone();
                // A separate task turns a panic into an error.
                let task = AbortOnDropHandle::new(tokio::spawn(async move {
                    background.verify(&source, &seed).await
                }));
                if !report(name, task.await.unwrap_or_else(|panic| Err(panic.into()))) {
                    seeds.remove(name);
                }
            }
        }
    }

    /// Verifies once, and again if something differs. `None` if another process does it, or the
    /// generation is not this program's.
    async fn verify(&self, source: &Arc<Source>, seed: &str) -> Result<Option<Found>, VerifyError> {
        let mut holder = self.connect().await?;
        let name = source.projection().name();
        let locked = sqlx::query_scalar!(
            r#"SELECT pg_try_advisory_lock($1, hashtext($2)) AS "locked!""#,
            LOCK,
            name
        );
        if !locked.fetch_one(&mut holder).await? {
            return Ok(None);
        }
        let live =
            holder.run(async |raw: &mut PgConnection| generation::live(raw, name).await).await?;
        let Some(live) = live.filter(|live| live.is_made_by(source.projection().as_ref())) else {
            return Ok(None);
        };
        let only =
            sample(share(&mut holder, name, live.generation, self.settings.rows).await?, seed);
        let restraint =
            Restraint::to(self.settings.rate, self.settings.most_lag.into(), self.pulse.clone());
        let verifying =
            Verifying { only, bytes: ROW_MEMORY, reveal: false, progress: &Silent, restraint };
        let mut found = verifying.run(source, &mut self.connect().await?).await?;
        if found.1.count() > 0 {
            found = verifying.run(source, &mut self.connect().await?).await?;
        }
        let (generation, differences, position) = found;
        Ok(Some(Found { generation, differences, position }))
    }

    async fn connect(&self) -> sqlx::Result<Connection> {
        let mut connection = database::connect(&self.options, Uuid::now_v7()).await?;
        sqlx::raw_sql("SET statement_timeout = '10min'").execute(&mut connection).await?;
        connection.set_limit(PIECE_LIMIT);
        Ok(connection)
    }
}

/// The share of the keys that corresponds to about `rows` rows; `None` for all.
async fn share(
    connection: &mut Connection,
    name: &str,
    generation: i32,
    rows: NonZeroU32,
) -> sqlx::Result<Option<f64>> {
    let estimated = sqlx::query_scalar!(
        r#"SELECT GREATEST(c.reltuples, pg_stat_get_live_tuples(c.oid), 1)::float8 AS "rows!" FROM
            pg_class AS c
           WHERE c.oid = (read_model.generation_schema($1, $2) || '.' || $1)::regclass"#,
        name,
        generation
    )
    .fetch_one(connection)
    .await?;
    let share = f64::from(rows.get()) / estimated;
    Ok((share < 1.0).then_some(share))
}

/// Logs and counts the result. Returns whether the same keys should be checked again.
fn report(projection: &'static str, verified: Result<Option<Found>, VerifyError>) -> bool {
    let count = |result: &'static str| {
        metrics::counter!("projection_verifications_total", "projection" => projection,
            "result" => result)
        .increment(1);
    };
    match verified {
        Ok(Some(Found { generation, differences, position })) => {
            let rows = differences.rows.unsigned_abs();
            metrics::counter!("projection_verified_rows_total", "projection" => projection)
                .increment(rows);
            let differing = u32::try_from(differences.count()).unwrap_or(u32::MAX);
            metrics::gauge!("projection_differing_rows", "projection" => projection).set(differing);
            count(if differing > 0 { "different" } else { "equal" });
            for row in &differences.samples {
                tracing::error!(
                    projection,
                    generation,
                    key = row.key,
                    kind = row.kind,
                    position = position.0,
                    "a row differs from the log: `projector verify` shows how, `projector \
                        explain` why"
                );
            }
            differing > 0
        }
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(
                projection,
                error = chain(&error),
                "not verified in the background: will retry"
            );
            count("failed");
            true
        }
    }
}

fn describe() {
    use metrics::{describe_counter, describe_gauge};
    describe_counter!(
        "projection_verifications_total",
        "Background verifications of a sample, by result: equal, different, failed"
    );
    describe_counter!(
        "projection_verified_rows_total",
        "Rows that background verifications compared with the log"
    );
    describe_gauge!(
        "projection_differing_rows",
        "Rows that differ from the log, as the last background verification found; \
            it checks them again until they match"
    );
    describe_gauge!(
        "projection_verification_paused",
        "1 while a verification is paused because live projection is behind"
    );
}
