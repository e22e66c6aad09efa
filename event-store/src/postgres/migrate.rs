//! The schema of the log: making it, and refusing one that this program does not know.

use postgres_kit::Schema;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::error::StoreError;

fn schema() -> Schema {
    let migrator = sqlx::migrate!("../migrations/event_store");
    Schema::new("event_store", migrator, "command-api migrate event-store")
}

/// Brings the schema `event_store` of the database up to date. Safe when run twice or at once.
///
/// # Errors
/// [`StoreError::Unavailable`] when Postgres is away, [`StoreError::Unusable`] when the schema is
/// newer than this program.
pub async fn migrate(url: &str) -> Result<(), StoreError> {
    Ok(schema().migrate(&options(url)?).await?)
}

/// Names the schema that this program makes: another one, another name. For templates of test
/// databases.
pub fn schema_fingerprint() -> String {
    schema().fingerprint()
}

/// Refuses a schema `event_store` that is older or newer than this program's migrations.
pub(crate) async fn assert_schema(connection: &mut PgConnection) -> Result<(), StoreError> {
    Ok(schema().check(connection).await?)
}

/// What a database's URL says. It may hold a password, so it is not repeated.
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    url.parse().map_err(|_| StoreError::Unusable("the database URL cannot be read".into()))
}
