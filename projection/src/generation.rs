//! The read model's schema: the migrations, and the generations of each projection.
//!
//! A generation is one set of a projection's tables, in the schema `<projection>_g<n>`, worked out
//! by one fold version. One generation of each projection is live: the views in `read_model` show
//! it. Everything here happens in single transactions under one advisory lock, so that it may be
//! run twice or at once.
//!
//! Every ready generation goes on being projected by the processes that know its fold version and
//! its tables (`runner/discover.rs`), until somebody drops it. So the way back is as safe as the
//! way forward: switching back never shows an earlier position.

use std::sync::Arc;
use std::time::Duration;

use event_store::{EventRef, Position};
use postgres_kit::Connection;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Postgres, Transaction};

use crate::projection::{AnyProjection, MAX_PARTITIONS, Split};
use crate::runner::database::CONNECT_LIMIT;
use schema::schema;

mod schema;

pub use schema::{SchemaError, check, schema_fingerprint};

/// Serialises whoever changes generations; the number has no meaning.
const LOCK: i64 = 0x0da7_b00c;
/// How long changing the schema may take, the wait for others who do included.
const CHANGE_LIMIT: Duration = Duration::from_mins(10);

/// One generation of a projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number, from 1.
    pub generation: i32,
    /// What folded it.
    pub fold_version: i32,
    /// A digest of what created its tables and indexes.
    pub tables: String,
    /// Into how many partitions its keys are split.
    pub partitions: i32,
    /// Whether queries see it.
    pub live: bool,
}

impl Generation {
    /// Whether this program's projection makes the same rows in the same tables. Only then may it
    /// touch them.
    pub fn is_made_by(&self, projection: &dyn AnyProjection) -> bool {
        self.fold_version == projection.fold_version() && self.tables == tables_digest(projection)
    }
}

/// What folds a projection's generations in this program, as processes tell each other.
pub(crate) fn fold_of(projection: &dyn AnyProjection) -> String {
    format!("{} {} {}", projection.name(), projection.fold_version(), tables_digest(projection))
}

/// A digest of the statements that create a projection's tables and indexes; comments and blanks do
/// not count.
pub(crate) fn tables_digest(projection: &dyn AnyProjection) -> String {
    let lines = projection.tables().lines().chain(projection.indexes().lines());
    let code = lines.filter_map(|line| line.split("--").next());
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    let digest = Sha256::digest(words.join(" "));
    digest
        .first_chunk()
        .map_or_else(String::new, |first| format!("{:016x}", u64::from_be_bytes(*first)))
}

/// Brings the read model into the form that this program knows, and makes the first generation of
/// each projection that has none.
///
/// # Errors
/// [`SchemaError`]; nothing is left half done.
pub async fn migrate(
    options: &PgConnectOptions,
    projections: &[Arc<dyn AnyProjection>],
) -> Result<(), SchemaError> {
    let mut connection = Connection::open(options, CONNECT_LIMIT, CHANGE_LIMIT).await?;
    let migrate = async |raw: &mut PgConnection| {
        schema().migrate_on(&mut *raw).await?;
        for projection in projections {
            let mut transaction = locked(raw).await?;
            if live(&mut transaction, projection.name()).await?.is_none() {
                let generation = next(&mut transaction, projection.name()).await?;
                let partitions = partitions_of(projection.as_ref(), None, None)?;
                install(&mut transaction, projection.as_ref(), (generation, partitions)).await?;
                tracing::info!(
                    projection = projection.name(),
                    generation,
                    partitions,
                    "generation made"
                );
            }
            transaction.commit().await?;
        }
        Ok::<_, SchemaError>(())
    };
    connection.run(migrate).await?;
    connection.close().await;
    Ok(())
}

/// The live generation of a projection; `None` when it has none yet.
///
/// # Errors
/// As Postgres says.
pub async fn live(
    connection: &mut PgConnection,
    projection: &str,
) -> sqlx::Result<Option<Generation>> {
    sqlx::query_as!(
        Generation,
        "SELECT generation, fold_version, tables, partitions, live FROM read_model.generations \
            WHERE projection = $1 AND live",
        projection
    )
    .fetch_optional(connection)
    .await
}

/// The partition of a generation that is furthest back: where it is.
pub(crate) async fn mark(
    connection: &mut PgConnection,
    projection: &str,
    generation: i32,
) -> sqlx::Result<EventRef> {
    let row = sqlx::query!(
        "SELECT position, event_id FROM read_model.checkpoints WHERE projection = $1 AND \
            generation = $2 ORDER BY position LIMIT 1",
        projection,
        generation
    )
    .fetch_one(connection)
    .await?;
    Ok(EventRef { position: Position(row.position), event_id: row.event_id })
}

/// A generation by its number, built or not.
pub(crate) async fn numbered(
    connection: &mut PgConnection,
    projection: &str,
    number: i32,
) -> sqlx::Result<Option<Generation>> {
    sqlx::query_as!(
        Generation,
        "SELECT generation, fold_version, tables, partitions, live FROM read_model.generations \
            WHERE projection = $1 AND generation = $2",
        projection,
        number
    )
    .fetch_optional(connection)
    .await
}

/// The live generation, which this program folds.
///
/// # Errors
/// [`SchemaError::OtherFold`] says what to run.
pub(crate) async fn known(
    connection: &mut PgConnection,
    projection: &dyn AnyProjection,
) -> Result<Generation, SchemaError> {
    match live(connection, projection.name()).await? {
        Some(live) if live.is_made_by(projection) => Ok(live),
        other => Err(SchemaError::OtherFold(not_ours(projection, other.as_ref()))),
    }
}

/// Why a projection whose generation this program did not make is left alone, and what to run.
pub(crate) fn not_ours(projection: &dyn AnyProjection, generation: Option<&Generation>) -> String {
    let (name, version) = (projection.name(), projection.fold_version());
    let Some(Generation { generation, fold_version, .. }) = generation else {
        return format!("{name} has no generation yet: run `projector migrate`");
    };
    let why = if *fold_version == version {
        "its tables or indexes are others than this program's".to_owned()
    } else {
        format!("it was folded by version {fold_version}, and this program folds version {version}")
    };
    format!(
        "generation {generation} of {name} is not this program's ({why}): run `projector rebuild \
            {name}`, or the program that made it"
    )
}

/// Into how many partitions a projection's next generation is split: as wanted; else as its live
/// one is, as long as it may be; else as it declares.
///
/// # Errors
/// [`SchemaError::NotSplit`]: it may not be split so.
pub(crate) fn partitions_of(
    projection: &dyn AnyProjection,
    wanted: Option<i32>,
    live: Option<&Generation>,
) -> Result<i32, SchemaError> {
    let refused =
        |partitions, why: String| Err(SchemaError::NotSplit(projection.name(), partitions, why));
    match (projection.split(), wanted) {
        (Split::Never(why), Some(partitions)) if partitions != 1 => {
            refused(partitions, why.to_owned())
        }
        (Split::Never(_), _) => Ok(1),
        (Split::ByKey(declared), _) => {
            let partitions = wanted.or(live.map(|live| live.partitions)).unwrap_or(declared);
            if (1..=MAX_PARTITIONS).contains(&partitions) {
                Ok(partitions)
            } else {
                refused(partitions, format!("1 to {MAX_PARTITIONS} are possible"))
            }
        }
    }
}

/// Begins a projection anew: a fresh generation from position 0 takes the place of the live one,
/// which is dropped. Queries see it fill. Returns the new generation's number. `partitions`: into
/// how many it is split; as before, unless said.
///
/// # Errors
/// [`SchemaError`]; nothing is left half done.
pub async fn start_over(
    options: &PgConnectOptions,
    projection: &dyn AnyProjection,
    partitions: Option<i32>,
) -> Result<i32, SchemaError> {
    let mut connection = Connection::open(options, CONNECT_LIMIT, CHANGE_LIMIT).await?;
    let begin_anew = async |raw: &mut PgConnection| {
        check(raw).await?;
        let mut transaction = locked(raw).await?;
        let old = live(&mut transaction, projection.name()).await?;
        let generation = next(&mut transaction, projection.name()).await?;
        let partitions = partitions_of(projection, partitions, old.as_ref())?;
        install(&mut transaction, projection, (generation, partitions)).await?;
        if let Some(old) = old {
            sqlx::query!(
                "SELECT read_model.drop_generation($1, $2)",
                projection.name(),
                old.generation
            )
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok::<_, SchemaError>(generation)
    };
    let generation = connection.run(begin_anew).await?;
    connection.close().await;
    Ok(generation)
}

/// The number of the next generation: one that no generation had, even if it is dropped since, so
/// that terms of leases never start again.
pub(crate) async fn next(connection: &mut PgConnection, projection: &str) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        "INSERT INTO read_model.generation_numbers AS n (projection, last) VALUES ($1, 1)
         ON CONFLICT (projection) DO UPDATE SET last = n.last + 1 RETURNING last",
        projection
    )
    .fetch_one(connection)
    .await
}

/// A transaction that changes generations: no other one does meanwhile.
pub(crate) async fn locked(
    connection: &mut PgConnection,
) -> sqlx::Result<Transaction<'_, Postgres>> {
    let mut transaction = connection.begin().await?;
    lock(&mut transaction).await?;
    Ok(transaction)
}

/// Makes a transaction the only one that changes generations.
pub(crate) async fn lock(transaction: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK).execute(transaction).await?;
    Ok(())
}

/// Makes a generation with its indexes, and shows it.
async fn install(
    transaction: &mut Transaction<'_, Postgres>,
    projection: &dyn AnyProjection,
    (generation, partitions): (i32, i32),
) -> Result<(), SchemaError> {
    make(transaction, projection, (generation, partitions), "ready").await?;
    // Before anybody depends on the tables: a column that is missing here is missed at the first
    // migration, which every test begins with.
    projection.check_row(transaction).await??;
    sqlx::raw_sql(projection.indexes()).execute(&mut **transaction).await?;
    Ok(show(transaction, projection.name(), generation).await?)
}

/// Makes a generation's empty tables, without indexes, and its partitions' checkpoints; works in
/// its schema until the end of the transaction.
pub(crate) async fn make(
    transaction: &mut Transaction<'_, Postgres>,
    projection: &dyn AnyProjection,
    (generation, partitions): (i32, i32),
    state: &str,
) -> sqlx::Result<()> {
    let (name, tables) = (projection.name(), tables_digest(projection));
    sqlx::query!("SELECT read_model.begin_generation($1, $2)", name, generation)
        .execute(&mut **transaction)
        .await?;
    sqlx::raw_sql(projection.tables()).execute(&mut **transaction).await?;
    sqlx::query!(
        "INSERT INTO read_model.generations (projection, generation, fold_version, tables, \
            partitions, live, state)
         VALUES ($1, $2, $3, $4, $5, false, $6)",
        name,
        generation,
        projection.fold_version(),
        tables,
        partitions,
        state
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!(
        "INSERT INTO read_model.checkpoints (projection, generation, partition, fold_version)
         SELECT $1, $2, partition, $4 FROM generate_series(0, $3 - 1) AS partition",
        name,
        generation,
        partitions,
        projection.fold_version()
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Makes the view show this generation.
pub(crate) async fn show(
    transaction: &mut PgConnection,
    projection: &str,
    generation: i32,
) -> sqlx::Result<()> {
    sqlx::query!("SELECT read_model.show_generation($1, $2)", projection, generation)
        .execute(transaction)
        .await?;
    Ok(())
}
