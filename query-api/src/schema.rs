//! Whether the database has the form that this program knows. Only looks: the projector owns it and
//! migrates it.

use postgres_kit::Pool;
use sqlx::migrate::Migrator;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/read_model");

/// Why the database is refused.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It cannot be asked now; another try is worth it.
    #[error("the schema read_model cannot be looked at")]
    Away(#[from] sqlx::Error),
    /// Some migrations have not run.
    #[error("the schema read_model is older than this program: run `projector migrate`")]
    Older,
    /// Migrations have run that this program does not have.
    #[error(
        "the schema read_model has migration {0}, which this program does not know: run a newer \
            query-api"
    )]
    Newer(i64),
}

/// Checks that exactly the migrations that this program knows have run.
///
/// # Errors
/// [`SchemaError`] says what to run.
pub async fn check(pool: &Pool) -> Result<(), SchemaError> {
    // Not a checked query: this table is made by the migrations' runner, not by a migration.
    let migrated: bool =
        sqlx::query_scalar("SELECT to_regclass('read_model._sqlx_migrations') IS NOT NULL")
            .fetch_one(pool)
            .await?;
    if !migrated {
        return Err(SchemaError::Older);
    }
    let applied: Vec<i64> =
        sqlx::query_scalar("SELECT version FROM read_model._sqlx_migrations WHERE success")
            .fetch_all(pool)
            .await?;
    let known: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
    if let Some(&newer) = applied.iter().find(|version| !known.contains(version)) {
        return Err(SchemaError::Newer(newer));
    }
    if known.iter().all(|version| applied.contains(version)) {
        Ok(())
    } else {
        Err(SchemaError::Older)
    }
}
