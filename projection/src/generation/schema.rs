//! The migrations of the read model, and whether exactly these have run.

use std::sync::Arc;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;

use crate::projection::{AnyProjection, RowMisfit};

const MIGRATIONS_TABLE: &str = "read_model._sqlx_migrations";

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
    #[error(
        "the read model's schema is newer than this program (migration {0}): run the program that \
            made it"
    )]
    Newer(i64),
    /// A migration that ran is not the one that this program has.
    #[error(
        "migration {0} of the read model is not the one that this program knows: run the program \
            that made it"
    )]
    Changed(i64),
    /// The live generation is not this program's.
    #[error("{0}")]
    OtherFold(String),
    /// A projection's row and its table are not alike.
    #[error(transparent)]
    Row(#[from] RowMisfit),
    /// No such projection.
    #[error("there is no projection {0}")]
    UnknownProjection(String),
    /// A projection cannot be split so.
    #[error("{0} cannot be split into {1} partitions: {2}")]
    NotSplit(&'static str, i32, String),
}

pub(super) fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../migrations/read_model");
    migrator.create_schema("read_model");
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator
}

/// What identifies the schema that [`super::migrate`] makes, for those who keep copies of it.
pub fn schema_fingerprint(projections: &[Arc<dyn AnyProjection>]) -> String {
    let migrator = migrator();
    let migrations =
        migrator.iter().map(|known| format!("{}:{:02x?}", known.version, known.checksum));
    let tables = projections
        .iter()
        .map(|p| format!("{} {} {} {}", p.name(), p.fold_version(), p.tables(), p.indexes()));
    migrations.chain(tables).collect::<Vec<_>>().join(";")
}

/// Checks that exactly the migrations that this program has have run.
///
/// # Errors
/// [`SchemaError`] says what to run.
pub async fn check(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let migrated = sqlx::query_scalar!("SELECT to_regclass($1) IS NOT NULL", MIGRATIONS_TABLE)
        .fetch_one(&mut *connection)
        .await?;
    if migrated != Some(true) {
        return Err(SchemaError::Older);
    }
    let applied: Vec<(i64, bool, Vec<u8>)> = sqlx::query_as(
        "SELECT version, success, checksum FROM read_model._sqlx_migrations ORDER BY version",
    )
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
