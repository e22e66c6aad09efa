//! Connections: their settings, the checks of the server, and the read pools.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use postgres_kit::{Connection, Pool, PoolLimits, PoolSettings, ended_when_lost};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::PostgresOptions;
use super::continuity::Continuity;
use super::error::read_error;
use super::migrate::assert_schema;
use crate::error::StoreError;

/// The search path that the append functions require. With it, nobody can shadow our names.
pub(crate) const APPEND_SEARCH_PATH: &str = "pg_catalog, pg_temp";
/// The maximum wait of an append for the lock on the log.
const LOCK_TIMEOUT: &str = "2s";
/// The maximum wait of a read for a pooled connection while no other read ends, and for a new
/// connection. A silent server is detected within seconds. A process short of CPU time needs most
/// of a second for a new connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(2);
/// The maximum wait of a read for a pooled connection while the server answers others. Together
/// with the read it stays below the deadline of the request that it belongs to.
const WAIT_LIMIT: Duration = Duration::from_secs(8);
/// The maximum time to open a connection outside the pools.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// The maximum time of all checks of a new connection outside the pools.
const CHECK_LIMIT: Duration = Duration::from_secs(5);
/// Settings that make every plan use an index. A cached plan may be made while the tables are
/// empty, and must stay right as they grow.
const BY_INDEX: [(&str, &str); 5] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];
/// The server's time limit of a lookup by key. Readiness uses such a read, so a silent server is
/// detected within seconds.
const LOOKUP_TIMEOUT: &str = "4s";
/// This process's time limit of a lookup. It is a little longer, so a slow server can report its
/// own timeout.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// The server's time limit of a scan of the log, which may read many events.
const SCAN_TIMEOUT: &str = "10s";
/// This process's time limit of a scan.
const SCAN_LIMIT: Duration = Duration::from_secs(11);

/// The pools for reads. Every new connection proves continuity.
pub(crate) struct ReadPools {
    /// The pool for lookups by key and reads in log order. A query is planned once for all values,
    /// which saves three quarters of a small read's work.
    pub(crate) lookup: Pool,
    /// The pool for scans of the log. A query is planned for its values, since the best plan for a
    /// rare type or category is the worst for a frequent one.
    pub(crate) scan: Pool,
}

/// Makes the read pools. They connect on first use.
pub(crate) async fn read_pools(
    options: &PostgresOptions,
    continuity: Arc<Continuity>,
) -> Result<ReadPools, StoreError> {
    let connect = base(options).options([("default_transaction_read_only", "on")]);
    // First connect outside the pool: a pool would hide the reason behind "no connection in time".
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
    let [lookups, scans] = options.reads;
    Ok(ReadPools {
        lookup: read_pool(lookups, Arc::clone(&continuity), lookup, LOOKUP_LIMIT),
        scan: read_pool(scans, continuity, scan, SCAN_LIMIT),
    })
}

fn read_pool(
    limits: PoolLimits,
    continuity: Arc<Continuity>,
    connect: PgConnectOptions,
    limit: Duration,
) -> Pool {
    let mut settings = PoolSettings::of(limits, ACQUIRE_LIMIT, limit);
    settings.wait_limit = WAIT_LIMIT;
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

/// Runs `work` in a read-write transaction on a read connection; these are read-only by default.
/// The pool's limit covers all of it. A caller that gives up closes the connection, which ends the
/// transaction.
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

/// Opens a connection for appends.
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
    // After this deadline every caller that waits for an append has given up.
    let mut connection = open(&connect.options(BY_INDEX), options.append_deadline).await?;
    checks(&mut connection, async |raw: &mut PgConnection| {
        continuity.prove(raw).await?;
        assert_settings(raw).await
    })
    .await?;
    Ok(connection)
}

/// Proves the history on a separate connection.
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

/// Runs the checks of a new connection, all within its time limit.
async fn checks(
    connection: &mut Connection,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    connection
        .run(async |raw: &mut PgConnection| Ok::<_, sqlx::Error>(work(raw).await))
        .await
        .map_err(read_error)?
}

pub(crate) fn base(options: &PostgresOptions) -> PgConnectOptions {
    let connect = options.connect.clone().application_name(&options.application_name);
    // These override the defaults of the role and the database.
    ended_when_lost(connect).options([("default_transaction_isolation", "read committed")])
}

/// Rejects a server that can lose acknowledged data. Warns of a server that declares that its
/// events may be lost, and of one that would not notice damage. Every append checks again, since a
/// reload can change the settings.
async fn assert_settings(connection: &mut PgConnection) -> Result<(), StoreError> {
    let settings =
        sqlx::query_file!("sql/settings.sql").fetch_one(connection).await.map_err(read_error)?;
    if settings.in_recovery {
        // The standby may be about to be promoted, so retry as for an unreachable server.
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
