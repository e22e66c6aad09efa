//! The connections to the read tables: read-only, and bounded in number and time.

use std::str::FromStr as _;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};

/// How long a query may wait for a free connection.
pub const ACQUIRE_LIMIT: Duration = Duration::from_secs(1);
/// Closed and opened anew after this long, so that a failed-over address is noticed.
const MAX_LIFETIME: Duration = Duration::from_mins(30);
const IDLE_LIMIT: Duration = Duration::from_mins(5);
/// A connection that was used so lately is taken as it is. One that broke since fails its query, which is then asked again.
const WARM: Duration = Duration::from_secs(1);

/// The URL cannot be used. Never carries it: it holds a password.
#[derive(Debug, thiserror::Error)]
#[error("the database URL is not valid")]
pub struct UrlError;

/// What a row is looked up by its key with: the plan is made once, perhaps while its table was nearly empty, and must fit ever after.
const BY_INDEX: [(&str, &str); 3] =
    [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("enable_bitmapscan", "off")];
/// Optional filters are `$1 IS NULL OR …`: planned with the values, such a statement uses the right index.
const BY_VALUES: [(&str, &str); 1] = [("plan_cache_mode", "force_custom_plan")];

/// The connections; they are made when first used.
#[derive(Debug, Clone)]
pub struct Pools {
    /// For single rows by their keys: a statement is planned once for all keys, which saves most of such a question's work.
    pub by_key: PgPool,
    /// For lists: each statement is planned for its very values.
    pub by_choice: PgPool,
}

impl Pools {
    /// So many connections for each kind of question.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn new(url: &SecretString, connections: u32) -> Result<Self, UrlError> {
        let options = options(url)?;
        Ok(Self {
            by_key: pool(options.clone().options(BY_INDEX), connections),
            by_choice: pool(options.options(BY_VALUES), connections),
        })
    }

    /// Closes them, after what they are doing.
    pub async fn close(&self) {
        tokio::join!(self.by_key.close(), self.by_choice.close());
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

fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_LIMIT)
        .max_lifetime(MAX_LIFETIME)
        .idle_timeout(IDLE_LIMIT)
        // A query on a warm connection must not pay for a round trip that finds what it would find by itself.
        .test_before_acquire(false)
        .before_acquire(|connection, idle| Box::pin(is_alive(connection, idle.idle_for)))
        .connect_lazy_with(options)
}

/// Whether a connection that was not used for a while still stands. None is left inside a transaction: see [`crate::read::Reader`].
async fn is_alive(connection: &mut PgConnection, idle_for: Duration) -> Result<bool, sqlx::Error> {
    use sqlx::Connection as _;
    if idle_for >= WARM {
        connection.ping().await?;
    }
    Ok(true)
}
