//! The read model's schema: the migrations, and the generations of each projection.
//!
//! A generation is one set of a projection's tables, in the schema `<projection>_g<n>`, worked out by one fold version. One
//! generation of each projection is live: the views in `read_model` show it. Everything here happens in single transactions
//! under one advisory lock, so that it may be run twice or at once.

use std::sync::Arc;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Postgres, Transaction};

use crate::projection::AnyProjection;

/// Serialises whoever changes generations; the number has no meaning.
const LOCK: i64 = 0x0da7_b00c;
const MIGRATIONS_TABLE: &str = "read_model._sqlx_migrations";
/// Every projection has one part for now.
pub(crate) const ONLY_PART: i32 = 0;

/// Why the read model cannot be brought, or is not, into the form that this program knows.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// As Postgres says.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// A migration failed or was changed after it ran.
    #[error("the read model could not be migrated")]
    Migrate(#[source] MigrateError),
    /// Migrations are missing.
    #[error("the read model's schema is older than this program: run `projector migrate`")]
    Older,
    /// Migrations ran that this program does not have.
    #[error("the read model's schema is newer than this program (migration {0}): run the program that made it")]
    Newer(i64),
    /// A migration that ran is not the one that this program has.
    #[error("migration {0} of the read model is not the one that this program knows: run the program that made it")]
    Changed(i64),
    /// The live generation is not this program's.
    #[error("{}", unknown_generation(.projection, *.live, *.fold_version))]
    OtherFold {
        /// Which projection.
        projection: String,
        /// Its live generation; none when it has none.
        live: Option<LiveGeneration>,
        /// What this program folds.
        fold_version: i32,
    },
    /// No such projection.
    #[error("there is no projection {0}")]
    UnknownProjection(String),
}

/// The generation of a projection that queries see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveGeneration {
    /// Its number, from 1.
    pub generation: i32,
    /// What folded it.
    pub fold_version: i32,
}

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations/read_model");
    migrator.create_schema("read_model");
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator
}

/// Brings the read model into the form that this program knows, and makes the first generation of each projection that has none.
///
/// # Errors
/// [`SchemaError`]; nothing is left half done.
pub async fn migrate(options: &PgConnectOptions, projections: &[Arc<dyn AnyProjection>]) -> Result<(), SchemaError> {
    let mut connection = PgConnection::connect_with(options).await?;
    migrator().run_direct(None, &mut connection, false).await.map_err(SchemaError::Migrate)?;
    for projection in projections {
        let mut transaction = locked(&mut connection).await?;
        if live(&mut transaction, projection.name()).await?.is_none() {
            install(&mut transaction, projection.as_ref(), 1).await?;
            tracing::info!(projection = projection.name(), generation = 1, "generation made");
        }
        transaction.commit().await?;
    }
    connection.close().await?;
    Ok(())
}

/// What identifies the schema that [`migrate`] makes, for those who keep copies of it.
pub fn schema_fingerprint(projections: &[Arc<dyn AnyProjection>]) -> String {
    let migrator = migrator();
    let migrations = migrator.iter().map(|known| format!("{}:{:02x?}", known.version, known.checksum));
    let tables = projections.iter().map(|p| format!("{} {} {} {}", p.name(), p.fold_version(), p.tables(), p.indexes()));
    migrations.chain(tables).collect::<Vec<_>>().join(";")
}

/// Checks that exactly the migrations that this program has have run.
///
/// # Errors
/// [`SchemaError`] says what to run.
pub async fn check(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let migrated =
        sqlx::query_scalar!("SELECT to_regclass($1) IS NOT NULL", MIGRATIONS_TABLE).fetch_one(&mut *connection).await?;
    if migrated != Some(true) {
        return Err(SchemaError::Older);
    }
    let applied: Vec<(i64, bool, Vec<u8>)> =
        sqlx::query_as("SELECT version, success, checksum FROM read_model._sqlx_migrations ORDER BY version")
            .fetch_all(connection)
            .await?;
    let migrator = migrator();
    for (version, success, checksum) in &applied {
        match migrator.iter().find(|known| known.version == *version) {
            None => return Err(SchemaError::Newer(*version)),
            Some(known) if *success && known.checksum.as_ref() != checksum.as_slice() => {
                return Err(SchemaError::Changed(*version));
            }
            Some(_) => {}
        }
    }
    let done = |version| applied.iter().any(|(v, success, _)| *v == version && *success);
    if migrator.iter().all(|known| done(known.version)) { Ok(()) } else { Err(SchemaError::Older) }
}

/// The live generation of a projection; `None` when it has none yet.
///
/// # Errors
/// As Postgres says.
pub async fn live(connection: &mut PgConnection, projection: &str) -> sqlx::Result<Option<LiveGeneration>> {
    sqlx::query_as!(
        LiveGeneration,
        "SELECT generation, fold_version FROM read_model.generations WHERE projection = $1 AND live",
        projection
    )
    .fetch_optional(connection)
    .await
}

/// The number of the live generation, which this program folds.
///
/// # Errors
/// [`SchemaError::OtherFold`] says what to run.
pub(crate) async fn known(connection: &mut PgConnection, projection: &dyn AnyProjection) -> Result<i32, SchemaError> {
    let (live, fold_version) = (live(connection, projection.name()).await?, projection.fold_version());
    let known = live.filter(|live| live.fold_version == fold_version);
    let other = || SchemaError::OtherFold { projection: projection.name().to_owned(), live, fold_version };
    known.map(|live| live.generation).ok_or_else(other)
}

/// Why a projection whose generation this program did not fold is left alone.
pub(crate) fn unknown_generation(name: &str, live: Option<LiveGeneration>, fold_version: i32) -> String {
    match live {
        None => format!("{name} has no generation yet: run `projector migrate`"),
        Some(live) => format!(
            "generation {} of {name} was folded by version {}, and this program folds version {fold_version}: \
             run `projector start-over {name}`, or the program that made it",
            live.generation, live.fold_version,
        ),
    }
}

/// Begins a projection anew: a fresh generation from position 0 takes the place of the live one, which is dropped.
/// Queries see it fill. Returns the new generation's number.
///
/// # Errors
/// [`SchemaError`]; nothing is left half done.
pub async fn start_over(options: &PgConnectOptions, projection: &dyn AnyProjection) -> Result<i32, SchemaError> {
    let mut connection = PgConnection::connect_with(options).await?;
    check(&mut connection).await?;
    let mut transaction = locked(&mut connection).await?;
    let old = live(&mut transaction, projection.name()).await?;
    let generation = old.map_or(1, |old| old.generation + 1);
    install(&mut transaction, projection, generation).await?;
    if let Some(old) = old {
        sqlx::query!("SELECT read_model.drop_generation($1, $2)", projection.name(), old.generation)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    connection.close().await?;
    Ok(generation)
}

async fn locked(connection: &mut PgConnection) -> sqlx::Result<Transaction<'_, Postgres>> {
    let mut transaction = connection.begin().await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK).execute(&mut *transaction).await?;
    Ok(transaction)
}

async fn install(
    transaction: &mut Transaction<'_, Postgres>,
    projection: &dyn AnyProjection,
    generation: i32,
) -> sqlx::Result<()> {
    let name = projection.name();
    sqlx::query!("SELECT read_model.begin_generation($1, $2)", name, generation).execute(&mut **transaction).await?;
    sqlx::raw_sql(projection.tables()).execute(&mut **transaction).await?;
    sqlx::raw_sql(projection.indexes()).execute(&mut **transaction).await?;
    sqlx::query!(
        "INSERT INTO read_model.generations (projection, generation, fold_version, live) VALUES ($1, $2, $3, false)",
        name,
        generation,
        projection.fold_version()
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!(
        "INSERT INTO read_model.checkpoints (projection, generation, part, fold_version) VALUES ($1, $2, $3, $4)",
        name,
        generation,
        ONLY_PART,
        projection.fold_version()
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!("SELECT read_model.show_generation($1, $2)", name, generation).execute(&mut **transaction).await?;
    Ok(())
}
