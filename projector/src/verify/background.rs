//! Verification in the background of a running projector: of one projection after another a sample
//! of the keys is folded anew, slowly, and compared with the live rows, so that a table that is
//! wrong is noticed before a person does.
//!
//! A difference counts when a second look at the same keys finds one too: a decision of a person (a
//! skip, an erasure) that came in between explains one. Keys that differ are looked at again the
//! next time, instead of others, until they do not.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use event_store::erasure::Vault;
use event_store::{Position, UpcastingLog};
use postgres_kit::Connection;
use service_kit::Pulse;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::restraint::Restraint;
use super::{Verifying, sample};
use crate::error::CommandError;
use crate::generation;
use crate::projection::AnyProjection;
use crate::replay::compare::Differences;
use crate::replay::{MIB, Source};
use crate::runner::{chain, database};

/// What the folded rows may take in memory; what is more goes to temporary tables.
const ROW_MEMORY: usize = 16 * MIB;
/// How long one piece of it may take: a page is folded, a chunk is compared.
const PIECE_LIMIT: Duration = Duration::from_mins(10);
/// A verification that does not move for so long hangs: no piece takes longer.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_mins(11);
/// With a projection's name, the lock of whoever verifies it: one process at a time is enough. The
/// number has no meaning.
const LOCK: i32 = 0x0da7_be1f;

/// Settings of the verification in the background.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct BackgroundArgs {
    /// Verify a sample of each projection in the background, so many seconds after the last time;
    /// 0: never.
    #[arg(
        long = "verify-every",
        env = "VERIFY_EVERY",
        value_name = "SECONDS",
        default_value_t = 900
    )]
    pub(crate) every: u32,
    /// About how many rows of each projection a verification in the background looks at.
    #[arg(long = "verify-rows", env = "VERIFY_ROWS", value_name = "ROWS", default_value = "1000")]
    pub(crate) rows: NonZeroU32,
    /// How many events a second a verification in the background reads.
    #[arg(
        long = "verify-rate",
        env = "VERIFY_RATE",
        value_name = "EVENTS_PER_SECOND",
        default_value = "2000"
    )]
    pub(crate) rate: NonZeroU32,
    /// How many events a live projection may be behind; verification in the background stands still
    /// while one is further.
    #[arg(
        long = "verify-most-lag",
        env = "VERIFY_MOST_LAG",
        value_name = "EVENTS",
        default_value_t = 1_000
    )]
    pub(crate) most_lag: u32,
}

/// Verifies while the projector runs.
#[derive(Clone)]
pub(crate) struct Background {
    pub(crate) args: BackgroundArgs,
    pub(crate) options: PgConnectOptions,
    pub(crate) log: UpcastingLog,
    pub(crate) vault: Arc<Vault>,
    /// Beats while it verifies.
    pub(crate) pulse: Pulse,
}

/// What a verification found.
struct Found {
    generation: i32,
    differences: Differences,
    position: Position,
}

impl Background {
    /// Verifies these projections one after another, for as long as the answer is awaited.
    pub(crate) async fn run(self, projections: Vec<Arc<dyn AnyProjection>>) -> Infallible {
        if self.args.every == 0 {
            self.pulse.rest();
            return std::future::pending().await;
        }
        describe();
        let mut seeds = BTreeMap::new();
        loop {
            self.pulse.rest();
            tokio::time::sleep(Duration::from_secs(self.args.every.into())).await;
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
                // In a task of its own: a panic is an error like others.
                let task = AbortOnDropHandle::new(tokio::spawn(async move {
                    background.verify(&source, &seed).await
                }));
                if !report(name, task.await.unwrap_or_else(|panic| Err(panic.into()))) {
                    seeds.remove(name);
                }
            }
        }
    }

    /// Verifies once, and once more when something differs. `None`: another process does, or the
    /// generation is not this program's.
    async fn verify(
        &self,
        source: &Arc<Source>,
        seed: &str,
    ) -> Result<Option<Found>, CommandError> {
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
        let only = sample(share(&mut holder, name, live.generation, self.args.rows).await?, seed);
        let restraint =
            Restraint::to(self.args.rate, self.args.most_lag.into(), self.pulse.clone());
        let verifying =
            Verifying { only, bytes: ROW_MEMORY, reveal: false, watched: false, restraint };
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

/// The share of the keys that is about so many rows; `None`: all.
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

/// Says what was found. `true`: the same keys are to be looked at again.
fn report(projection: &'static str, verified: Result<Option<Found>, CommandError>) -> bool {
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
                    "a row is not what the log makes: `projector verify` shows how, `projector \
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
                "not verified in the background: will be tried again"
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
        "Verifications of a sample in the background: equal, different, or failed before the end"
    );
    describe_counter!(
        "projection_verified_rows_total",
        "Rows that verifications in the background compared with the log"
    );
    describe_gauge!(
        "projection_differing_rows",
        "Rows that are not what the log makes, as the last verification in the background found; \
            it looks at them until they are"
    );
    describe_gauge!(
        "projection_verification_paused",
        "1 while a verification stands still since live projecting is behind"
    );
}
