//! Estimates a rebuild: it folds the first events of the log and loads them into temporary tables
//! with indexes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use event_store::Position;
use futures::StreamExt as _;
use postgres_kit::Connection;
use sqlx::PgConnection;
use tokio::time::Instant;

use super::RebuildError;
use crate::generation;
use crate::ops::Operations;
use crate::projection::{AnyProjection, Only, Parking};
use crate::replay::{MIB, RANGE, READ_AHEAD, ReplayError};

/// The number of sampled events.
const SAMPLE: i64 = 40_000;

/// The estimated time and disk space of a rebuild.
#[derive(Debug)]
pub struct Estimate {
    events: i64,
    sampled: i64,
    time: Duration,
    bytes: i64,
    /// Whether the disk size is that of the live generation. Otherwise it is scaled from the
    /// sample.
    as_live: bool,
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, sampled, time, bytes, as_live } = self;
        let of = if *as_live { "like the live generation" } else { "scaled from the sample" };
        let mib = bytes / i64::try_from(MIB).unwrap_or(i64::MAX);
        writeln!(
            f,
            "{events} events: about {} s, measured on the first {sampled}",
            time.as_secs().max(1)
        )?;
        writeln!(f, "disk: about {} MiB, {of}, until the old generation is dropped", mib.max(1))
    }
}

/// Estimates a rebuild. It leaves nothing behind.
///
/// # Errors
/// [`RebuildError`].
pub async fn estimate(
    operations: &Operations,
    projection: &Arc<dyn AnyProjection>,
) -> Result<Estimate, RebuildError> {
    let (source, mut connection) = (operations.source(projection), operations.connect().await?);
    let events = source.head().await?.mark.position.0;
    let name = projection.name();
    let live = match connection
        .run(async |raw: &mut PgConnection| generation::live(raw, name).await)
        .await?
    {
        Some(live) => {
            size_of_generation(&mut connection, projection.name(), live.generation).await?
        }
        None => 0,
    };
    let sampled = events.min(SAMPLE);
    sqlx::raw_sql("SET search_path = pg_temp").execute(&mut connection).await?;
    sqlx::raw_sql(projection.tables()).execute(&mut connection).await?;
    let began = Instant::now();
    let mut rows = projection.rows(Only::All, usize::MAX);
    rows.keep_history();
    // A rebuild parks refused events, so they must not fail the estimate.
    let mut parking = Parking::default().careful();
    let mut pages = source.pages(Position::START, Position(sampled), (RANGE, READ_AHEAD));
    while let Some(page) = pages.next().await {
        let page = page?;
        let fold = async |raw: &mut PgConnection| rows.fold(raw, page.prepared, &mut parking).await;
        connection.run(fold).await.map_err(ReplayError::from)?;
    }
    connection.run(async |raw: &mut PgConnection| rows.write(raw).await).await?;
    sqlx::raw_sql(projection.indexes()).execute(&mut connection).await?;
    let (took, ratio) = (began.elapsed(), scale(events, sampled));
    let size = sqlx::query_scalar!(
        r#"SELECT COALESCE(sum(pg_total_relation_size(oid)), 0)::bigint AS "size!" FROM pg_class
           WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'"#
    )
    .fetch_one(&mut connection)
    .await?;
    let scaled = size.saturating_mul(events).checked_div(sampled).unwrap_or(0);
    let (bytes, as_live) = if live > scaled { (live, true) } else { (scaled, false) };
    Ok(Estimate { events, sampled, time: took.mul_f64(ratio), bytes, as_live })
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn scale(events: i64, sampled: i64) -> f64 {
    if sampled == 0 { 1.0 } else { events as f64 / sampled as f64 }
}

async fn size_of_generation(
    connection: &mut Connection,
    projection: &str,
    generation: i32,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT COALESCE(sum(pg_total_relation_size(oid)), 0)::bigint AS "size!" FROM pg_class
           WHERE relnamespace = read_model.generation_schema($1, $2)::regnamespace AND relkind =
           'r'"#,
        projection,
        generation
    )
    .fetch_one(connection)
    .await
}
