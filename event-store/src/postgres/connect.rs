//! Connections: their settings, what is asserted of the server, and the pool for reads.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, Postgres};
use sqlx::{ConnectOptions, Connection};

use super::PostgresOptions;
use super::continuity::Continuity;
use super::error::read_error;
use super::migrate::assert_schema;
use crate::error::StoreError;

/// What the append functions ask for: with it nobody can put a name of their own before ours.
pub(crate) const APPEND_SEARCH_PATH: &str = "pg_catalog, pg_temp";
/// How long an append waits for the lock on the log.
const LOCK_TIMEOUT: &str = "2s";
/// How long a read waits for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);
/// What is planned once is planned while the tables may be empty, and must stay right as they grow: every table is reached by an index.
const BY_INDEX: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];
/// How long a read may run.
const READ_TIMEOUT: &str = "10s";

/// The connections for reads; every new one proves continuity.
pub(crate) struct ReadPools {
    /// For what is read by a key or in the log's own order: planned once for all values, which saves three quarters of a small read's work.
    pub(crate) by_key: PgPool,
    /// For selections from the log: planned for the very values, since the best plan for a rare type or category is the worst for a
    /// frequent one.
    pub(crate) by_choice: PgPool,
}

/// Makes the pools for reads; they connect when they are used.
pub(crate) async fn read_pools(options: &PostgresOptions, continuity: Arc<Continuity>) -> Result<ReadPools, StoreError> {
    let connect = base(options).options([("statement_timeout", READ_TIMEOUT), ("default_transaction_read_only", "on")]);
    // Outside the pool first: a pool would hide the reason behind "no connection in time".
    let mut connection = connect.connect().await.map_err(read_error)?;
    assert_schema(&mut connection).await?;
    assert_settings(&mut connection).await?;
    continuity.prove(&mut connection).await?;
    connection.close().await.map_err(read_error)?;
    let planned = |mode| connect.clone().options([("plan_cache_mode", mode)]);
    Ok(ReadPools {
        by_key: read_pool(options, Arc::clone(&continuity), planned("force_generic_plan").options(BY_INDEX)),
        by_choice: read_pool(options, continuity, planned("force_custom_plan")),
    })
}

fn read_pool(options: &PostgresOptions, continuity: Arc<Continuity>, connect: PgConnectOptions) -> PgPool {
    PoolOptions::<Postgres>::new()
        .max_connections(options.read_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // The driver looks at what is released.
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let continuity = Arc::clone(&continuity);
            Box::pin(async move {
                continuity.prove(connection).await.map_err(|error| match error {
                    StoreError::Unavailable(Some(error)) | StoreError::Database(error) => error,
                    error => sqlx::Error::Configuration(error.to_string().into()),
                })
            })
        })
        .connect_lazy_with(connect)
}

/// Does something in a transaction on a connection for reads, which refuses to write unless it is told to.
///
/// In a task of its own: a caller who gives up must not leave a transaction open behind the driver's back, in which the next reader's
/// statements would run.
pub(crate) async fn write<T: Send + 'static>(
    reads: &PgPool,
    work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send + 'static,
) -> Result<T, StoreError> {
    let reads = reads.clone();
    let task = tokio::spawn(async move {
        let mut transaction = reads.begin_with("BEGIN READ WRITE").await?;
        let done = work(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done)
    });
    match task.await {
        Ok(done) => done.map_err(read_error),
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        // The runtime is going away.
        Err(_) => Err(StoreError::Unavailable(None)),
    }
}

/// A connection for appends.
pub(crate) async fn append_connection(options: &PostgresOptions, continuity: &Continuity) -> Result<PgConnection, StoreError> {
    let connect = base(options).options([
        ("lock_timeout", LOCK_TIMEOUT),
        ("statement_timeout", "0"),
        ("client_connection_check_interval", "1s"),
        ("plan_cache_mode", "force_generic_plan"),
        ("search_path", APPEND_SEARCH_PATH),
        ("default_transaction_read_only", "off"),
    ]);
    let mut connection = connect.options(BY_INDEX).connect().await.map_err(read_error)?;
    continuity.prove(&mut connection).await?;
    assert_settings(&mut connection).await?;
    Ok(connection)
}

/// Proves the history on a connection of its own.
pub(crate) async fn prove_on_fresh_connection(options: &PostgresOptions, continuity: &Continuity) -> Result<(), StoreError> {
    let mut connection = base(options).connect().await.map_err(read_error)?;
    continuity.prove(&mut connection).await?;
    connection.close().await.map_err(read_error)
}

fn base(options: &PostgresOptions) -> PgConnectOptions {
    options.connect.clone().application_name(&options.application_name).options([
        // Whatever role or database have as theirs.
        ("default_transaction_isolation", "read committed"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "10s"),
    ])
}

/// Refuses a server that would acknowledge what is not durable by this session's settings; warns of a server that as a whole is not safe.
async fn assert_settings(connection: &mut PgConnection) -> Result<(), StoreError> {
    let settings = sqlx::query_file!("sql/settings.sql").fetch_one(connection).await.map_err(read_error)?;
    if settings.in_recovery {
        // It may be about to be promoted: waited for like one that is away.
        let why = "the server is in recovery (a standby): promote it, or name the primary";
        return Err(StoreError::Unavailable(Some(sqlx::Error::Configuration(why.into()))));
    }
    if !matches!(settings.synchronous_commit.as_str(), "on" | "remote_apply") {
        return Err(StoreError::Unusable(format!(
            "synchronous_commit is {}: an acknowledged append would not be durable",
            settings.synchronous_commit
        )));
    }
    if settings.isolation != "read committed" {
        return Err(StoreError::Unusable(format!("the isolation level is {}, not read committed", settings.isolation)));
    }
    for (name, on) in
        [("fsync", settings.fsync), ("full_page_writes", settings.full_page_writes), ("data_checksums", settings.data_checksums)]
    {
        if !on {
            tracing::warn!(
                setting = name,
                "is off on the event store's server: a crash of the machine can lose or damage events"
            );
        }
    }
    Ok(())
}
