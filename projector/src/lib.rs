//! The shop's projections, the process that projects them, and the operators' command line.

pub mod cli;
pub mod dispatch;
mod operations;
pub mod process;
pub mod projections;
mod returns;

use std::error::Error;

use event_store::{Epoch, RecordedEvent};
use projection::generation;
use sqlx::postgres::PgConnectOptions;

/// Migrates the read model at `url` to the schema and generations that this program knows. Running
/// it twice, or concurrently, is safe.
///
/// # Errors
/// [`generation::SchemaError`], or `url` is not a Postgres address.
pub async fn migrate(url: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    Ok(generation::migrate(&url.parse()?, &projections::all()).await?)
}

/// Returns a text that identifies the schema that [`migrate`] makes: another schema gives another
/// text.
pub fn schema_fingerprint() -> String {
    generation::schema_fingerprint(&projections::all())
}

/// Projects events with every projection, for tests of programs that read the tables. The events
/// must follow the last one that the migrated read model at `url` has.
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
