//! The connections to the read tables: read-only, and bounded in number and time.

use std::str::FromStr as _;
use std::time::Duration;

use postgres_kit::{Pool, PoolSettings};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnectOptions;

/// How long a query waits for a place in its pool while no other comes to an end, and for a new
/// connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(1);
/// How long a query waits for its place while the database answers others.
const WAIT_LIMIT: Duration = Duration::from_secs(5);
/// Closed and opened anew after this long, so that a failed-over address is noticed.
const MAX_LIFETIME: Duration = Duration::from_mins(30);
const IDLE_LIMIT: Duration = Duration::from_mins(5);
/// How long one answer may take with its connection, all its statements together. The server stops
/// each of them sooner: what takes longer has met a silent one.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The URL cannot be used. Never carries it: it holds a password.
#[derive(Debug, thiserror::Error)]
#[error("the database URL is not valid")]
pub struct UrlError;

/// What a row is looked up by its key with: the plan is made once, perhaps while its table was
/// nearly empty, and must fit ever after.
const BY_INDEX: [(&str, &str); 3] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
];
/// Optional filters are `$1 IS NULL OR …`: planned with the values, such a statement uses the right
/// index.
const BY_VALUES: [(&str, &str); 1] = [("plan_cache_mode", "force_custom_plan")];

/// The connections; they are made when first used.
#[derive(Debug, Clone)]
pub struct Pools {
    /// For single rows by their keys: a statement is planned once for all keys, which saves most of
    /// such a question's work.
    pub lookup: Pool,
    /// For lists: each statement is planned for its very values.
    pub scan: Pool,
}

impl Pools {
    /// So many connections for each kind of question.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn new(url: &SecretString, connections: u32) -> Result<Self, UrlError> {
        let options = options(url)?;
        Ok(Self {
            lookup: pool(options.clone().options(BY_INDEX), connections),
            scan: pool(options.options(BY_VALUES), connections),
        })
    }

    /// A connection was found broken: none that is idle now is used again.
    pub fn doubt(&self) {
        self.lookup.doubt();
        self.scan.doubt();
    }

    /// Closes them, after what they are doing.
    pub async fn close(&self) {
        tokio::join!(self.lookup.close(), self.scan.close());
    }
}

fn options(url: &SecretString) -> Result<PgConnectOptions, UrlError> {
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(|_| UrlError)?;
    Ok(options.application_name("query-api").options([
        ("default_transaction_read_only", "on"),
        ("statement_timeout", "2s"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("client_connection_check_interval", "1s"),
        ("tcp_keepalives_idle", "5"),
        ("tcp_user_timeout", "10s"),
    ]))
}

fn pool(options: PgConnectOptions, connections: u32) -> Pool {
    let mut settings = PoolSettings::new(connections, ACQUIRE_LIMIT, ANSWER_LIMIT);
    settings.wait_limit = WAIT_LIMIT;
    settings.max_lifetime = Some(MAX_LIFETIME);
    settings.idle_limit = Some(IDLE_LIMIT);
    Pool::new(options, settings)
}
