//! `command-api migrate`: brings the schemas that this process owns up to date. It is safe to run
//! it twice or at the same time.

use event_store::KeyError;
use event_store::StoreError;
use event_store::postgres::keys;
use secrecy::{ExposeSecret, SecretString};

use crate::auth::database::{self, DatabaseError};

/// Why a schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The event store's schema could not be migrated.
    #[error(transparent)]
    EventStore(#[from] StoreError),
    /// The schema of the keys of personal data could not be migrated.
    #[error(transparent)]
    SubjectKeys(#[from] KeyError),
    /// The schema of users' credentials could not be migrated.
    #[error("the schema of users' credentials could not be brought up to date")]
    Auth(#[from] DatabaseError),
}

/// Brings the event store's schema up to date.
///
/// # Errors
/// [`MigrationError::EventStore`] says why it failed.
pub async fn event_store(url: &SecretString) -> Result<(), MigrationError> {
    Ok(event_store::postgres::migrate(url.expose_secret()).await?)
}

/// Brings the schema of the keys of personal data up to date.
///
/// # Errors
/// [`MigrationError::SubjectKeys`] says why it failed.
pub async fn subject_keys(url: &SecretString) -> Result<(), MigrationError> {
    Ok(keys::migrate(url.expose_secret()).await?)
}

/// Brings the schema of users' credentials up to date.
///
/// # Errors
/// [`MigrationError::Auth`] says why it failed.
pub async fn auth(url: &SecretString) -> Result<(), MigrationError> {
    Ok(database::migrate(url).await?)
}
