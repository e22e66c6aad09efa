//! Standbys of a cluster: creation, catch-up, disconnection and failover.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};

use super::{LIMIT, POLL, PostgresCluster};
use crate::error::tail;
use crate::launch::Account;
use crate::wait::within;
use crate::{PostgresBinaries, ServerError};

/// How long a promotion may take, in seconds.
const PROMOTION_SECONDS: i32 = 60;
/// How long an answer may take, including the one that confirms a promotion.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);

impl PostgresCluster {
    /// Creates a standby that streams from this cluster, and starts it on another port.
    pub async fn standby(&self) -> Result<PostgresCluster, ServerError> {
        let (binaries, url) = (self.binaries.clone(), self.url());
        let copy = move |data: &Path, account| base_backup(&binaries, account, &url, data);
        // In the same parent folder as the primary.
        let parent = self.data.ancestors().nth(2).map_or_else(std::env::temp_dir, Path::to_owned);
        PostgresCluster::make(self.binaries.clone(), &parent, self.settings.clone(), copy).await
    }

    /// Waits until the standby has received and replayed everything that this cluster has written.
    ///
    /// # Panics
    /// If one of them does not answer, or the standby takes too long.
    pub async fn wait_until_followed_by(&self, standby: &PostgresCluster) {
        let written = ask::<String>(&self.url(), "SELECT pg_current_wal_lsn()::text").await;
        let replayed = "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false)";
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut connection = connect(&standby.url()).await;
            let replayed =
                sqlx::query_scalar::<_, bool>(replayed).bind(&written).fetch_one(&mut connection);
            if answered(replayed).await {
                return;
            }
            standby.not_later_than(deadline, "follow its primary");
            tokio::time::sleep(POLL).await;
        }
    }

    /// From now on, this cluster acknowledges a commit only when a standby has it.
    ///
    /// # Panics
    /// If the cluster does not answer.
    pub async fn wait_for_standbys(&self) {
        self.configure(
            "ALTER SYSTEM SET synchronous_standby_names = '*'",
            "SHOW synchronous_standby_names",
            "*",
        )
        .await;
    }

    /// Disconnects this standby from its primary. It misses all later commits.
    ///
    /// # Panics
    /// If the standby does not answer, or keeps receiving.
    pub async fn cut_off(&self) {
        let receivers = "SELECT count(*)::text FROM pg_stat_wal_receiver";
        self.configure("ALTER SYSTEM SET primary_conninfo = ''", receivers, "0").await;
    }

    /// Replaces the primary, which must have ended: the standby takes its port and is promoted.
    ///
    /// # Panics
    /// If the standby cannot be started or promoted.
    pub async fn take_over(&mut self, primary: &PostgresCluster) {
        assert!(primary.process.is_none(), "the primary is still running");
        self.stop().await;
        self.port = primary.port;
        self.start_again().await;
        let mut connection = connect(&self.url()).await;
        let promoted =
            sqlx::query_scalar::<_, bool>("SELECT pg_promote(true, $1)").bind(PROMOTION_SECONDS);
        let promoted = answered(promoted.fetch_one(&mut connection)).await;
        assert!(promoted, "the standby was not promoted: {}", tail(&self.log));
    }

    /// Changes a cluster-wide setting and waits until `question` returns `wanted`.
    async fn configure(&self, statement: &'static str, question: &'static str, wanted: &str) {
        let mut connection = connect(&self.url()).await;
        for statement in [statement, "SELECT pg_reload_conf()"] {
            answered(sqlx::raw_sql(statement).execute(&mut connection)).await;
        }
        let deadline = Instant::now() + LIMIT;
        while ask::<String>(&self.url(), question).await != wanted {
            self.not_later_than(deadline, "apply a setting");
            tokio::time::sleep(POLL).await;
        }
    }

    fn not_later_than(&self, deadline: Instant, what: &str) {
        assert!(
            Instant::now() < deadline,
            "PostgreSQL did not {what} within {} s: {}",
            LIMIT.as_secs(),
            tail(&self.log)
        );
    }
}

/// Copies a running cluster to start a standby from.
fn base_backup(
    binaries: &PostgresBinaries,
    account: Account,
    primary: &str,
    data: &Path,
) -> Result<(), ServerError> {
    let mut command: Command = binaries.command("pg_basebackup");
    command.args([
        "--checkpoint=fast",
        "--wal-method=stream",
        "--write-recovery-conf",
        "--no-sync",
        "--dbname",
        primary,
    ]);
    command.arg("--pgdata").arg(data).current_dir("/");
    account.apply(&mut command);
    binaries.finish(command, "pg_basebackup")
}

async fn connect(url: &str) -> PgConnection {
    answered(PgConnection::connect(url)).await
}

async fn ask<T>(url: &str, question: &'static str) -> T
where
    T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
{
    answered(sqlx::query_scalar(question).fetch_one(&mut connect(url).await)).await
}

#[allow(clippy::panic, reason = "a test's server: failing loudly is its error handling")]
async fn answered<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> T {
    let answer = within(ANSWER_LIMIT, "an answer of the cluster", answer).await;
    answer.unwrap_or_else(|error| panic!("the cluster does not answer: {error}"))
}
