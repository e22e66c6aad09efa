//! The database of credentials: its schema, and a pool on which every call has a deadline.

use std::time::Duration;

use access::Role;
use postgres_kit::{Connection, Pool, PoolLimits, PoolSettings, Schema, SchemaError};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

/// The name of the schema.
pub(super) const SCHEMA: &str = "auth";
/// The default limits of the pool.
const LIMITS: PoolLimits = PoolLimits::of(9, 9);
/// The maximum wait for a connection while no other call ends, and for a new connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(2);
/// The maximum wait for a connection while the server answers other calls.
const WAIT_LIMIT: Duration = Duration::from_secs(4);
/// The maximum time of one call or transaction. Each touches a few rows by their keys.
const CALL_LIMIT: Duration = Duration::from_secs(3);
/// The server's time limits, a little shorter than ours.
const SERVER_LIMITS: [(&str, &str); 3] = [
    ("statement_timeout", "2500ms"),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "5s"),
];

/// The database of credentials. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Database {
    pool: Pool,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL is invalid. It may hold a password, so it is not repeated.
    #[error("the database URL of the schema {SCHEMA} cannot be read")]
    Url,
    /// The schema is absent, older or newer, or its database failed.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        Self::Schema(error.into())
    }
}

fn schema() -> Schema {
    let migrator = sqlx::migrate!("../migrations/auth");
    Schema::new(SCHEMA, migrator, "command-api migrate auth")
}

/// Returns a text that changes with this program's schema and its first roles. It names the
/// templates of test databases.
pub fn schema_fingerprint() -> String {
    let roles = Role::seed().into_iter().map(|Role { name, grants }| format!("{name}:{grants}"));
    std::iter::once(schema().fingerprint()).chain(roles).collect::<Vec<_>>().join(";")
}

/// Brings the schema up to date. Adds the roles of a new deployment that are missing, and gives
/// `admin` the permissions that are new. Other roles stay as the deployment has them.
///
/// # Errors
/// [`DatabaseError`].
pub async fn migrate(url: &SecretString) -> Result<(), DatabaseError> {
    let options = options(url)?;
    schema().migrate(&options).await?;
    let mut connection = Connection::open(&options, ACQUIRE_LIMIT, CALL_LIMIT).await?;
    for Role { name, grants } in Role::seed() {
        sqlx::query!(
            "INSERT INTO auth.roles AS r (name, grants) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET grants = excluded.grants WHERE r.name = $3",
            name.as_str(),
            grants.to_string(),
            Role::ADMIN
        )
        .execute(&mut connection)
        .await?;
    }
    connection.close().await;
    Ok(())
}

fn options(url: &SecretString) -> Result<PgConnectOptions, DatabaseError> {
    url.expose_secret().parse().map_err(|_| DatabaseError::Url)
}

impl Database {
    /// A pool that connects on first use.
    ///
    /// # Errors
    /// [`DatabaseError::Url`].
    pub fn new(url: &SecretString) -> Result<Self, DatabaseError> {
        Self::with(url, LIMITS)
    }

    /// The same with these limits.
    ///
    /// # Errors
    /// [`DatabaseError::Url`].
    pub fn with(url: &SecretString, limits: PoolLimits) -> Result<Self, DatabaseError> {
        let options = options(url)?.application_name("command-api auth").options(SERVER_LIMITS);
        let settings = PoolSettings {
            wait_limit: WAIT_LIMIT,
            ..PoolSettings::of(limits, ACQUIRE_LIMIT, CALL_LIMIT)
        };
        Ok(Self { pool: Pool::new(options, settings) })
    }

    /// Checks that the server answers and that the schema is the one of this program. It skips the
    /// queue, so a busy pool is not mistaken for a silent server.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub async fn check(&self) -> Result<(), SchemaError> {
        let schema = schema();
        self.pool.past_the_queue().run(async |connection| schema.check(connection).await).await
    }

    /// The connections, for single statements.
    pub(super) const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Runs a transaction. It is rolled back if `work` fails or the caller goes away.
    ///
    /// # Errors
    /// Those of `work` and of Postgres.
    pub(super) async fn transaction<T, E: From<sqlx::Error>>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let done = self.pool.run(async |connection| {
            let mut transaction = connection.begin().await?;
            let done = work(&mut transaction).await?;
            transaction.commit().await?;
            Ok(done)
        });
        done.await
    }
}
