//! Connections: their settings, what is asserted of the server, and the pool for reads.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use postgres_kit::{Connection, Pool, PoolSettings};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::PostgresOptions;
use super::continuity::Continuity;
use super::error::read_error;
use super::migrate::assert_schema;
use crate::error::StoreError;

/// What the append functions ask for: with it nobody can put a name of their own before ours.
pub(crate) const APPEND_SEARCH_PATH: &str = "pg_catalog, pg_temp";
/// How long an append waits for the lock on the log.
const LOCK_TIMEOUT: &str = "2s";
/// How long a read waits for a place in the pool while no other comes to an end, and for a new
/// connection: a silent server shows within seconds. A process that is short of CPU time needs most
/// of a second for a new connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(2);
/// How long a read waits for its place while the server answers others. With the read itself this
/// stays below the deadline of whatever it is a part of.
const WAIT_LIMIT: Duration = Duration::from_secs(8);
/// How long a connection outside the pools may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long the checks of a new connection outside the pools may take together.
const CHECK_LIMIT: Duration = Duration::from_secs(5);
/// A pooled connection this old is replaced.
const MAX_LIFETIME: Duration = Duration::from_mins(30);
/// A pooled connection unused for this long is closed.
const IDLE_LIMIT: Duration = Duration::from_mins(10);
/// What is planned once is planned while the tables may be empty, and must stay right as they grow:
/// every table is reached by an index.
const BY_INDEX: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];
/// How long the server lets a read by a key run. Readiness rests on such a read, so a silent server
/// shows within seconds.
const LOOKUP_TIMEOUT: &str = "4s";
/// How long this side waits for it: a little longer, so that a slow server gets to say so.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// How long the server lets a selection from the log run. It may have to look at many events.
const SCAN_TIMEOUT: &str = "10s";
/// How long this side waits for it.
const SCAN_LIMIT: Duration = Duration::from_secs(11);

/// The connections for reads; every new one proves continuity.
pub(crate) struct ReadPools {
    /// For what is read by a key or in the log's own order: planned once for all values, which
    /// saves three quarters of a small read's work.
    pub(crate) lookup: Pool,
    /// For selections from the log: planned for the very values, since the best plan for a rare
    /// type or category is the worst for a frequent one.
    pub(crate) scan: Pool,
}

/// Makes the pools for reads; they connect when they are used.
pub(crate) async fn read_pools(
    options: &PostgresOptions,
    continuity: Arc<Continuity>,
) -> Result<ReadPools, StoreError> {
    let connect = base(options).options([("default_transaction_read_only", "on")]);
    // Outside the pool first: a pool would hide the reason behind "no connection in time".
    let mut connection = open(&connect, CHECK_LIMIT).await?;
    checks(&mut connection, async |raw: &mut PgConnection| {
        assert_schema(raw).await?;
        assert_settings(raw).await?;
        continuity.prove(raw).await
    })
    .await?;
    connection.close().await;
    let planned = |mode, timeout| {
        connect.clone().options([("plan_cache_mode", mode), ("statement_timeout", timeout)])
    };
    let lookup = planned("force_generic_plan", LOOKUP_TIMEOUT).options(BY_INDEX);
    let scan = planned("force_custom_plan", SCAN_TIMEOUT);
    Ok(ReadPools {
        lookup: read_pool(options, Arc::clone(&continuity), lookup, LOOKUP_LIMIT),
        scan: read_pool(options, continuity, scan, SCAN_LIMIT),
    })
}

fn read_pool(
    options: &PostgresOptions,
    continuity: Arc<Continuity>,
    connect: PgConnectOptions,
    limit: Duration,
) -> Pool {
    let mut settings = PoolSettings::new(options.read_connections, ACQUIRE_LIMIT, limit);
    settings.wait_limit = WAIT_LIMIT;
    settings.max_lifetime = Some(MAX_LIFETIME);
    settings.idle_limit = Some(IDLE_LIMIT);
    settings.after_connect = Some(Box::new(move |connection| {
        let continuity = Arc::clone(&continuity);
        Box::pin(async move {
            continuity.prove(connection).await.map_err(|error| match error {
                StoreError::Unavailable(Some(error)) | StoreError::Database(error) => error,
                error => sqlx::Error::Configuration(error.to_string().into()),
            })
        })
    }));
    Pool::new(connect, settings)
}

/// Does something in a transaction on a connection for reads, which refuses to write unless it is
/// told to. The pool's limit is for all of it; a caller that gives up ends the connection, and with
/// it the transaction.
pub(crate) async fn write<T: Send>(
    reads: &Pool,
    work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send,
) -> Result<T, StoreError> {
    let written = reads.run(async |raw: &mut PgConnection| {
        let mut transaction = raw.begin_with("BEGIN READ WRITE").await?;
        let done = work(&mut transaction).await?;
        transaction.commit().await?;
        Ok::<_, sqlx::Error>(done)
    });
    written.await.map_err(read_error)
}

/// A connection for appends.
pub(crate) async fn append_connection(
    options: &PostgresOptions,
    continuity: &Continuity,
) -> Result<Connection, StoreError> {
    let connect = base(options).options([
        ("lock_timeout", LOCK_TIMEOUT),
        ("statement_timeout", "0"),
        ("client_connection_check_interval", "1s"),
        ("plan_cache_mode", "force_generic_plan"),
        ("search_path", APPEND_SEARCH_PATH),
        ("default_transaction_read_only", "off"),
    ]);
    // All who wait for an append have given up by then.
    let mut connection = open(&connect.options(BY_INDEX), options.append_deadline).await?;
    checks(&mut connection, async |raw: &mut PgConnection| {
        continuity.prove(raw).await?;
        assert_settings(raw).await
    })
    .await?;
    Ok(connection)
}

/// Proves the history on a connection of its own.
pub(crate) async fn prove_on_fresh_connection(
    options: &PostgresOptions,
    continuity: &Continuity,
) -> Result<(), StoreError> {
    let mut connection = open(&base(options), CHECK_LIMIT).await?;
    checks(&mut connection, async |raw: &mut PgConnection| continuity.prove(raw).await).await?;
    connection.close().await;
    Ok(())
}

async fn open(connect: &PgConnectOptions, limit: Duration) -> Result<Connection, StoreError> {
    Connection::open(connect, CONNECT_LIMIT, limit).await.map_err(read_error)
}

/// Does what a new connection is checked by, all within the connection's limit.
async fn checks(
    connection: &mut Connection,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    connection
        .run(async |raw: &mut PgConnection| Ok::<_, sqlx::Error>(work(raw).await))
        .await
        .map_err(read_error)?
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

/// Refuses a server that can lose what it acknowledges; warns of one that says of itself that its
/// events may be lost, and of one that would not notice damage. Every append asks again, since a
/// reload can change the settings.
async fn assert_settings(connection: &mut PgConnection) -> Result<(), StoreError> {
    let settings =
        sqlx::query_file!("sql/settings.sql").fetch_one(connection).await.map_err(read_error)?;
    if settings.in_recovery {
        // It may be about to be promoted: waited for like one that is away.
        let why = "the server is in recovery (a standby): promote it, or name the primary";
        return Err(StoreError::Unavailable(Some(sqlx::Error::Configuration(why.into()))));
    }
    if let Some(why) = settings.unsafe_setting {
        return Err(StoreError::Unsafe(why));
    }
    if settings.isolation != "read committed" {
        return Err(StoreError::Unusable(format!(
            "the isolation level is {}, not read committed",
            settings.isolation
        )));
    }
    for (name, on) in [
        ("fsync", settings.fsync),
        ("full_page_writes", settings.full_page_writes),
        ("data_checksums", settings.data_checksums),
    ] {
        if !on {
            tracing::warn!(
                setting = name,
                "is off on the event store's server: a crash of the machine can lose or damage \
                    events"
            );
        }
    }
    Ok(())
}
