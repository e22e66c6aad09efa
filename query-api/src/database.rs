//! The connections to the read tables: read-only, with limits on number and time.

use std::str::FromStr as _;
use std::time::Duration;

use postgres_kit::{Pool, PoolLimits, PoolSettings};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnectOptions;

/// The maximum wait for a free connection while no other query ends, and for a new connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(1);
/// The maximum wait for a free connection while the database answers other queries.
const WAIT_LIMIT: Duration = Duration::from_secs(5);
/// How the two kinds of questions share the connections: half and half, because either may be most
/// of the load. One connection of each pool is for readiness.
const WEIGHTS: [u32; 2] = [1, 1];
/// The maximum time of one answer on its connection, over all its statements.
///
/// The server stops each statement earlier. If this limit is reached, the server is silent.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The database URL is invalid. The error never contains it, because it holds a password.
#[derive(Debug, thiserror::Error)]
#[error("the database URL is not valid")]
pub struct UrlError;

/// The maximum number of statements that a connection keeps prepared. A list has one for each set
/// of conditions and columns that is asked for.
const STATEMENTS: usize = 256;
/// The planner settings for questions that few rows answer.
///
/// A plan is made once, perhaps when the table was nearly empty. It must use the index so it still
/// fits later.
const BY_INDEX: [(&str, &str); 3] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
];
/// The planner settings for other lists.
///
/// A filter lets few or many rows through, depending on its value. So the statement uses the right
/// index only if it is planned with its values.
const BY_VALUES: [(&str, &str); 1] = [("plan_cache_mode", "force_custom_plan")];

/// An export waits for its reader between two statements. A connection whose process is gone must
/// not hold its snapshot much longer than that.
const EXPORT_IDLE: [(&str, &str); 1] = [("idle_in_transaction_session_timeout", "15s")];

/// The connection pools. They connect on first use.
#[derive(Debug, Clone)]
pub struct Pools {
    /// Connections for questions that few rows answer: single rows by key, and pages of whole lists
    /// or of what belongs to one user. A statement is planned once for all values, which saves most
    /// of the work.
    pub lookup: Pool,
    /// Connections for other lists, and for snapshots, in which any question may be asked. Each
    /// statement is planned for its own values.
    pub scan: Pool,
}

impl Pools {
    /// Pools with these limits together.
    ///
    /// # Errors
    /// [`UrlError`] if the URL is invalid.
    pub fn new(url: &SecretString, limits: PoolLimits) -> Result<Self, UrlError> {
        let (options, [lookups, scans]) = (options(url)?, limits.divided(WEIGHTS));
        Ok(Self {
            lookup: pool(options.clone().options(BY_INDEX), lookups),
            scan: pool(options.options(BY_VALUES), scans),
        })
    }

    /// Stops using all idle connections, after one was found broken.
    pub fn doubt(&self) {
        self.lookup.doubt();
        self.scan.doubt();
    }

    /// Closes the pools after their current work.
    pub async fn close(&self) {
        tokio::join!(self.lookup.close(), self.scan.close());
    }
}

/// The connections of at most so many exports, with the times of these limits.
///
/// # Errors
/// [`UrlError`] if the URL is invalid.
pub fn exports(url: &SecretString, at_once: u32, limits: PoolLimits) -> Result<Pool, UrlError> {
    // The extra connection of a pool is never opened here.
    let limits = PoolLimits { most: at_once.saturating_add(1), idle: at_once, ..limits };
    Ok(pool(options(url)?.options(BY_VALUES).options(EXPORT_IDLE), limits))
}

fn options(url: &SecretString) -> Result<PgConnectOptions, UrlError> {
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|_| UrlError)?;
    let options = options.statement_cache_capacity(STATEMENTS);
    Ok(options.application_name("query-api").options([
        ("default_transaction_read_only", "on"),
        ("statement_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("client_connection_check_interval", "1s"),
        ("tcp_keepalives_idle", "5"),
        ("tcp_user_timeout", "10s"),
    ]))
}

fn pool(options: PgConnectOptions, limits: PoolLimits) -> Pool {
    let mut settings = PoolSettings::of(limits, ACQUIRE_LIMIT, ANSWER_LIMIT);
    settings.wait_limit = WAIT_LIMIT;
    Pool::new(options, settings)
}
