//! `command-api migrate`: brings the schemas that this process owns up to date. Safe when run twice
//! or at once.

use std::str::FromStr;
use std::time::Duration;

use event_store::StoreError;
use event_store::erasure::{KeyError, keys};
use postgres_kit::Connection;
use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};

/// The schema of users' credentials. It has no table yet; the migrations table stands in it, so
/// that later ones are found.
const AUTH_SCHEMA: &str = "auth";
const AUTH_TABLE: &str = "auth._sqlx_migrations";

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long all migrations may take, the wait for another process that runs them included.
const MIGRATE_LIMIT: Duration = Duration::from_mins(10);

/// Why a schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The event store's.
    #[error(transparent)]
    EventStore(#[from] StoreError),
    /// That of the keys of personal data.
    #[error(transparent)]
    SubjectKeys(#[from] KeyError),
    /// The database could not be reached.
    #[error("the database could not be reached")]
    Connection(#[source] sqlx::Error),
    /// A migration failed, or the schema is newer than this program.
    #[error("the schema {AUTH_SCHEMA} could not be brought up to date")]
    Auth(#[from] MigrateError),
    /// The URL is not one. It may hold a password, so it is not repeated.
    #[error("the database URL cannot be read")]
    Url,
}

/// Brings the event store's schema up to date.
///
/// # Errors
/// [`MigrationError`].
pub async fn event_store(url: &SecretString) -> Result<(), MigrationError> {
    Ok(event_store::postgres::migrate(url.expose_secret()).await?)
}

/// Brings the schema of the keys of personal data up to date.
///
/// # Errors
/// [`MigrationError`].
pub async fn subject_keys(url: &SecretString) -> Result<(), MigrationError> {
    Ok(keys::migrate(url.expose_secret()).await?)
}

/// Brings the schema of users' credentials up to date.
///
/// # Errors
/// [`MigrationError`].
pub async fn auth(url: &SecretString) -> Result<(), MigrationError> {
    let options =
        PgConnectOptions::from_str(url.expose_secret()).map_err(|_| MigrationError::Url)?;
    let options = options.application_name("command-api migrate");
    let opening = Connection::open(&options, CONNECT_LIMIT, MIGRATE_LIMIT);
    let mut connection = opening.await.map_err(MigrationError::Connection)?;
    let mut migrator: Migrator = sqlx::migrate!("../migrations/auth");
    migrator.dangerous_set_table_name(AUTH_TABLE);
    migrator.create_schema(AUTH_SCHEMA);
    connection
        .run(async |raw: &mut PgConnection| migrator.run_direct(None, raw, false).await)
        .await?;
    connection.close().await;
    Ok(())
}
