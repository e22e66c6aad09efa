//! The schema of the log: migrating it, and rejecting a version that this program does not know.

use postgres_kit::Schema;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::error::StoreError;

fn schema() -> Schema {
    let migrator = sqlx::migrate!("../migrations/event_store");
    Schema::new("event_store", migrator, "command-api migrate event-store")
}

/// Migrates the schema `event_store` to the current version. It is safe to run twice or
/// concurrently.
///
/// # Errors
/// [`StoreError::Unavailable`] when Postgres cannot be reached, [`StoreError::Unusable`] when the
/// schema is newer than this program.
pub async fn migrate(url: &str) -> Result<(), StoreError> {
    Ok(schema().migrate(&options(url)?).await?)
}

/// Returns a name that changes with this program's schema. It names the templates of test
/// databases.
pub fn schema_fingerprint() -> String {
    schema().fingerprint()
}

/// Rejects a schema `event_store` that is older or newer than this program's migrations.
pub(crate) async fn assert_schema(connection: &mut PgConnection) -> Result<(), StoreError> {
    Ok(schema().check(connection).await?)
}

/// Parses a database URL. The error does not repeat it, since it may hold a password.
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    url.parse().map_err(|_| StoreError::Unusable("the database URL cannot be read".into()))
}
