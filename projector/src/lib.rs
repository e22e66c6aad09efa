//! The shop's projections, the process that projects them, and the operators' command line.

pub mod cli;
pub mod dispatch;
mod operations;
pub mod process;
pub mod projections;

use std::error::Error;

use event_store::{Epoch, RecordedEvent};
use projection::generation;
use sqlx::postgres::PgConnectOptions;

/// Brings the read model at `url` into the form that this program knows. Safe twice and at once.
///
/// # Errors
/// [`generation::SchemaError`], or `url` is not one.
pub async fn migrate(url: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    Ok(generation::migrate(&url.parse()?, &projections::all()).await?)
}

/// What identifies the schema that [`migrate`] makes, for those who keep copies of it.
pub fn schema_fingerprint() -> String {
    generation::schema_fingerprint(&projections::all())
}

/// Projects these events, the next ones after what the migrated read model at `url` shows, with
/// every projection. For tests of whoever reads the tables.
///
/// # Errors
/// Postgres failed, or a projection stopped or belongs to a running process.
pub async fn project(
    url: &str,
    epoch: Epoch,
    events: Vec<RecordedEvent>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let known = (projections::registry()?, projections::all());
    projection::project(url.parse::<PgConnectOptions>()?, known, epoch, events).await
}
