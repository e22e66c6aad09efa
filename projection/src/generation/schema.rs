//! The migrations of the read model, and the check that exactly these were applied.

use std::sync::Arc;

use postgres_kit::Schema;
use sqlx::postgres::PgConnection;

use crate::projection::{AnyProjection, RowMisfit};

/// Why the read model could not be migrated or used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Postgres returned an error, or did not answer.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// The applied migrations are not this program's, or one failed.
    #[error(transparent)]
    Migrations(postgres_kit::SchemaError),
    /// This program does not fold the live generation.
    #[error("{0}")]
    OtherFold(String),
    /// A projection's row type does not match its table.
    #[error(transparent)]
    Row(#[from] RowMisfit),
    /// There is no projection with this name.
    #[error("there is no projection {0}")]
    UnknownProjection(String),
    /// A projection cannot be split into this number of partitions.
    #[error("{0} cannot be split into {1} partitions: {2}")]
    NotSplit(&'static str, i32, String),
}

impl From<postgres_kit::SchemaError> for SchemaError {
    fn from(error: postgres_kit::SchemaError) -> Self {
        match error {
            postgres_kit::SchemaError::Database(error) => Self::Database(error),
            error => Self::Migrations(error),
        }
    }
}

pub(super) fn schema() -> Schema {
    Schema::new("read_model", sqlx::migrate!("../migrations/read_model"), "projector migrate")
}

/// Returns a text that identifies the schema made by [`super::migrate`]: another schema gives
/// another text. Code that keeps copies of schemas tells them apart by it.
pub fn schema_fingerprint(projections: &[Arc<dyn AnyProjection>]) -> String {
    let tables = projections.iter().map(|p| {
        let (name, version, triggers) = (p.name(), p.fold_version(), p.triggers());
        format!("{name} {version} {} {triggers} {}", p.tables(), p.indexes())
    });
    std::iter::once(schema().fingerprint()).chain(tables).collect::<Vec<_>>().join(";")
}

/// Checks that exactly this program's migrations were applied.
///
/// # Errors
/// [`SchemaError`], which names the command to run.
pub async fn check(connection: &mut PgConnection) -> Result<(), SchemaError> {
    Ok(schema().check(connection).await?)
}
