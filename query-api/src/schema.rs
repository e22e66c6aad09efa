//! Whether the database has the form that this program knows. Only looks: the projector owns it and
//! migrates it.

use std::sync::LazyLock;

use postgres_kit::{Pool, Schema, SchemaError};
use sqlx::PgConnection;

static READ_MODEL: LazyLock<Schema> = LazyLock::new(|| {
    Schema::new("read_model", sqlx::migrate!("../migrations/read_model"), "projector migrate")
});

/// Checks that exactly the migrations that this program knows have run.
///
/// # Errors
/// [`SchemaError`] says what to run.
pub async fn check(pool: &Pool) -> Result<(), SchemaError> {
    pool.run(async |raw: &mut PgConnection| READ_MODEL.check(raw).await).await
}
