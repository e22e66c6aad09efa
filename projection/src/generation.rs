//! The read model's schema: its migrations, and the generations of each projection.
//!
//! A generation is one set of a projection's tables, in the schema `<projection>_g<n>`, filled by
//! one fold version. One generation per projection is live: the views in `read_model` show it. All
//! changes here are single transactions under one advisory lock, so they may run twice or
//! concurrently.
//!
//! Processes that know a ready generation's fold version and tables keep projecting it
//! (`runner/discover.rs`) until it is dropped. So switching back is as safe as switching forward:
//! it never shows an earlier position.

use std::sync::Arc;
use std::time::Duration;

use event_store::{EventRef, Position};
use postgres_kit::Connection;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Postgres, Transaction};

use crate::limits::CONNECT_LIMIT;
use crate::projection::{AnyProjection, MAX_PARTITIONS, Split};
use schema::schema;

mod schema;

pub use schema::{SchemaError, check, schema_fingerprint};

/// The advisory lock for changes of generations. The number has no meaning.
const LOCK: i64 = 0x0da7_b00c;
/// How long a schema change may take, including the wait for other changes.
const CHANGE_LIMIT: Duration = Duration::from_mins(10);

/// A generation of a projection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The number of the generation, starting at 1.
    pub generation: i32,
    /// The fold version that fills it.
    pub fold_version: i32,
    /// A digest of the statements that create its tables and indexes.
    pub tables: String,
    /// The number of partitions that its keys are split into.
    pub partitions: i32,
    /// Whether queries see it.
    pub live: bool,
}

impl Generation {
    /// Whether this program's projection makes the same rows in the same tables. Only then may the
    /// program write to them.
    pub fn is_made_by(&self, projection: &dyn AnyProjection) -> bool {
        self.fold_version == projection.fold_version() && self.tables == tables_digest(projection)
    }
}

/// Identifies the fold of a projection in this program, for messages between processes.
pub(crate) fn fold_of(projection: &dyn AnyProjection) -> String {
    format!("{} {} {}", projection.name(), projection.fold_version(), tables_digest(projection))
}

/// A digest of the statements that create a projection's tables, triggers and indexes. Comments and
/// white space do not count.
pub(crate) fn tables_digest(projection: &dyn AnyProjection) -> String {
    let statements = [projection.tables(), projection.triggers(), projection.indexes()];
    let lines = statements.into_iter().flat_map(str::lines);
    let code = lines.filter_map(|line| line.split("--").next());
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    let digest = Sha256::digest(words.join(" "));
    digest
        .first_chunk()
        .map_or_else(String::new, |first| format!("{:016x}", u64::from_be_bytes(*first)))
}

/// Migrates the read model, and creates the first generation of each projection that has none.
///
/// # Errors
/// [`SchemaError`]. Each step is one transaction, so none is left half done.
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
                    "generation created"
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

/// Returns the live generation of a projection; `None` if it has none yet.
///
/// # Errors
/// Postgres's error.
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

/// The checkpoint of a generation: that of its partition that is furthest behind.
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

/// Finds a generation by its number, finished or not.
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

/// Returns the live generation if this program folds it.
///
/// # Errors
/// [`SchemaError::OtherFold`], which names the command to run.
pub(crate) async fn known(
    connection: &mut PgConnection,
    projection: &dyn AnyProjection,
) -> Result<Generation, SchemaError> {
    match live(connection, projection.name()).await? {
        Some(live) if live.is_made_by(projection) => Ok(live),
        other => Err(SchemaError::OtherFold(not_ours(projection, other.as_ref()))),
    }
}

/// Explains why this program does not touch a generation, and which command to run.
pub(crate) fn not_ours(projection: &dyn AnyProjection, generation: Option<&Generation>) -> String {
    let (name, version) = (projection.name(), projection.fold_version());
    let Some(Generation { generation, fold_version, .. }) = generation else {
        return format!("{name} has no generation yet: run `projector migrate`");
    };
    let why = if *fold_version == version {
        "its tables or indexes differ from this program's".to_owned()
    } else {
        format!("it was folded by version {fold_version}, and this program folds version {version}")
    };
    format!(
        "generation {generation} of {name} is not this program's ({why}): run `projector rebuild \
            {name}`, or the program that made it"
    )
}

/// The number of partitions for a projection's next generation: 1 if it cannot be split; otherwise
/// the wanted number, or else that of the live generation, or else the declared one.
///
/// # Errors
/// [`SchemaError::NotSplit`] if the projection does not allow this number.
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

/// Replaces the live generation by a new one that starts at position 0, and drops the old one.
/// Queries see it fill. `partitions` is the number of partitions; by default it stays the same.
/// Returns the new generation's number.
///
/// # Errors
/// [`SchemaError`]. It is one transaction, so nothing is left half done.
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

/// Takes the next generation number. Numbers of dropped generations are not reused, so that the
/// terms of their leases never start again.
pub(crate) async fn next(connection: &mut PgConnection, projection: &str) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        "INSERT INTO read_model.generation_numbers AS n (projection, last) VALUES ($1, 1)
         ON CONFLICT (projection) DO UPDATE SET last = n.last + 1 RETURNING last",
        projection
    )
    .fetch_one(connection)
    .await
}

/// Starts a transaction that holds the lock for changes of generations.
pub(crate) async fn locked(
    connection: &mut PgConnection,
) -> sqlx::Result<Transaction<'_, Postgres>> {
    let mut transaction = connection.begin().await?;
    lock(&mut transaction).await?;
    Ok(transaction)
}

/// Takes the lock for changes of generations until the transaction ends.
pub(crate) async fn lock(transaction: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK).execute(transaction).await?;
    Ok(())
}

/// Creates a generation with its indexes, and makes it live.
async fn install(
    transaction: &mut Transaction<'_, Postgres>,
    projection: &dyn AnyProjection,
    (generation, partitions): (i32, i32),
) -> Result<(), SchemaError> {
    make(transaction, projection, (generation, partitions), "ready").await?;
    // Checked before anything depends on the tables. A missing column fails the first migration,
    // with which every test begins.
    projection.check_row(transaction).await??;
    sqlx::raw_sql(projection.indexes()).execute(&mut **transaction).await?;
    Ok(show(transaction, projection.name(), generation).await?)
}

/// Creates a generation's empty tables without indexes, and the checkpoints of its partitions. The
/// transaction's search path is then the generation's schema.
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
    sqlx::raw_sql(projection.triggers()).execute(&mut **transaction).await?;
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

/// Makes the views of the projection's tables show this generation.
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
