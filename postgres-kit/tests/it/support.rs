//! A test database, and the limits of the tests.

use std::time::Duration;

use local_servers::TestDatabase;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Executor, Postgres};

/// The limit of each call under test.
pub(crate) const LIMIT: Duration = Duration::from_millis(300);
/// The extra time that a loaded machine may take.
pub(crate) const SLACK: Duration = Duration::from_secs(3);

pub(crate) async fn database() -> TestDatabase {
    TestDatabase::create("empty", "1", |_| async { Ok(()) }).await
}

pub(crate) fn options(database: &TestDatabase) -> PgConnectOptions {
    database.url().parse().unwrap()
}

/// The process id of the backend that serves `executor`.
pub(crate) async fn backend<'c>(executor: impl Executor<'c, Database = Postgres>) -> i32 {
    sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(executor).await.unwrap()
}
