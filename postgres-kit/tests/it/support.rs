//! A database, and backends that stand still.

use std::time::Duration;

use local_servers::TestDatabase;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Executor, Postgres};

/// The limit of each call under test.
pub(crate) const LIMIT: Duration = Duration::from_millis(300);
/// What a loaded machine may take on top of it.
pub(crate) const SLACK: Duration = Duration::from_secs(3);

pub(crate) async fn database() -> TestDatabase {
    TestDatabase::create("empty", "1", |_| async { Ok(()) }).await
}

pub(crate) fn options(database: &TestDatabase) -> PgConnectOptions {
    database.url().parse().unwrap()
}

/// The process id of the backend that answers.
pub(crate) async fn backend<'c>(executor: impl Executor<'c, Database = Postgres>) -> i32 {
    sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(executor).await.unwrap()
}

/// A stopped backend. It goes on when this is dropped, whatever becomes of the test.
pub(crate) struct Stopped(Pid);

impl Stopped {
    pub(crate) fn stop(pid: i32) -> Self {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
        Self(Pid::from_raw(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGCONT).ok();
    }
}
