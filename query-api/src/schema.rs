//! Checks that the database schema is the one that this program knows. The projector owns the
//! schema and migrates it.

use std::sync::LazyLock;

use postgres_kit::{Pool, Schema, SchemaError};
use sqlx::PgConnection;

static READ_MODEL: LazyLock<Schema> = LazyLock::new(|| {
    Schema::new("read_model", sqlx::migrate!("../migrations/read_model"), "projector migrate")
});

/// Checks that exactly the known migrations have run.
///
/// # Errors
/// [`SchemaError`] says which command to run.
pub async fn check(pool: &Pool) -> Result<(), SchemaError> {
    pool.run(async |raw: &mut PgConnection| READ_MODEL.check(raw).await).await
}
