//! The migrations of the read model, and whether exactly these have run.

use std::sync::Arc;

use postgres_kit::Schema;
use sqlx::postgres::PgConnection;

use crate::projection::{AnyProjection, RowMisfit};

/// Why the read model cannot be brought, or is not, into the form that this program knows.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// As Postgres says.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// The migrations that ran are not the ones that this program has, or one failed.
    #[error(transparent)]
    Migrations(postgres_kit::SchemaError),
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

/// What identifies the schema that [`super::migrate`] makes, for those who keep copies of it.
pub fn schema_fingerprint(projections: &[Arc<dyn AnyProjection>]) -> String {
    let tables = projections
        .iter()
        .map(|p| format!("{} {} {} {}", p.name(), p.fold_version(), p.tables(), p.indexes()));
    std::iter::once(schema().fingerprint()).chain(tables).collect::<Vec<_>>().join(";")
}

/// Checks that exactly the migrations that this program has have run.
///
/// # Errors
/// [`SchemaError`] says what to run.
pub async fn check(connection: &mut PgConnection) -> Result<(), SchemaError> {
    Ok(schema().check(connection).await?)
}
