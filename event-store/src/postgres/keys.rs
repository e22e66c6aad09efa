//! The key store on Postgres. It has its own schema, best in its own database with a short backup
//! retention.

use std::collections::HashSet;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use postgres_kit::{Connection, Pool, PoolLimits, PoolSettings, Schema};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use uuid::Uuid;

use super::read_error;
use crate::encryption::{LedgerEntry, StoredKey, SubjectKeyStore, WrappedKey};
use crate::error::{KeyError, StoreError};
use crate::event::{Epoch, EventRef, Head, Position};

/// The maximum wait for a pooled connection while no other call ends, and for a new connection.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(2);
/// The maximum wait for a pooled connection while the server answers other calls.
const WAIT_LIMIT: Duration = Duration::from_secs(6);
/// The maximum time to open a connection outside the pool, and again to check it.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const CHECK_LIMIT: Duration = Duration::from_secs(5);
/// The server's time limit of a statement.
const STATEMENT_TIMEOUT: &str = "10s";
/// The maximum wait for a row that another transaction has locked. A transaction that does not end
/// must not block all new subjects.
const LOCK_TIMEOUT: &str = "1s";
/// This process's time limit of short calls: a few rows by their keys, for commands and readiness.
const CALL_LIMIT: Duration = Duration::from_secs(3);
/// This process's time limit of calls that read or change many rows. It is a little longer than the
/// server's.
const LONG_CALL_LIMIT: Duration = Duration::from_secs(11);
/// The maximum number of connections that add keys. One is in use unless it is silent.
const MAX_ADDING: u32 = 2;

fn schema() -> Schema {
    let migrator = sqlx::migrate!("../migrations/subject_keys");
    Schema::new("subject_keys", migrator, "command-api migrate subject-keys")
}

/// Migrates the schema `subject_keys` to the current version. It is safe to run twice or
/// concurrently.
///
/// # Errors
/// [`KeyError::Unavailable`] when Postgres cannot be reached, [`KeyError::Unusable`] when the
/// schema is newer than this program.
pub async fn migrate(url: &str) -> Result<(), KeyError> {
    let options = crate::postgres::options(url)?;
    Ok(schema().migrate(&options).await.map_err(StoreError::from)?)
}

/// Returns a name that changes with this program's schema. It names the templates of test
/// databases.
pub fn schema_fingerprint() -> String {
    schema().fingerprint()
}

/// A key store in Postgres. It is cheap to clone; clones share connections.
#[derive(Clone)]
pub struct PostgresKeys {
    pool: Pool,
    adding: Arc<Adding>,
}

/// The connections that add keys. Many appends wait for each statement, and a pool would ping the
/// server after each one. No lock is held while a statement runs. If one connection is silent, the
/// next caller takes another.
struct Adding {
    options: PgConnectOptions,
    room: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Adding {
    fn new(options: PgConnectOptions) -> Self {
        Self { options, room: Semaphore::new(MAX_ADDING as usize), idle: Mutex::default() }
    }

    /// Adds the keys that are missing and returns which ones it added. Adding is idempotent. It is
    /// therefore retried on a new connection when the current one is closed or does not answer.
    async fn add(
        &self,
        subjects: &[Uuid],
        masters: &[String],
        wrapped: &[Vec<u8>],
    ) -> Result<HashSet<Uuid>, KeyError> {
        let room = timeout(ACQUIRE_LIMIT, self.room.acquire()).await;
        let _room = room.ok().and_then(Result::ok).ok_or(KeyError::Unavailable(None))?;
        loop {
            let at_hand = self.idle().pop();
            let (mut connection, is_new) = match at_hand {
                Some(connection) => (connection, false),
                None => (self.connect().await?, true),
            };
            let added = sqlx::query_file!("sql/keys/ensure.sql", subjects, masters, wrapped)
                .fetch_all(&mut connection)
                .await;
            match added.map_err(failed) {
                Ok(added) => {
                    self.idle().push(connection);
                    return Ok(added.into_iter().map(|row| row.subject).collect());
                }
                Err(error) if is_new || !error.is_transient() => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "the connection that adds subject keys is gone");
                    self.idle().clear();
                }
            }
        }
    }

    async fn connect(&self) -> Result<Connection, KeyError> {
        Connection::open(&self.options, CONNECT_LIMIT, CALL_LIMIT).await.map_err(failed)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // The list stays valid when a caller panics.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PostgresKeys {
    /// The default limits of the pool, in addition to the connections that add keys.
    pub const LIMITS: PoolLimits = PoolLimits::of(4, 4);

    /// Connects, and rejects a schema that does not match this program.
    ///
    /// # Errors
    /// [`KeyError::Unavailable`] when Postgres cannot be reached (try again later),
    /// [`KeyError::Unusable`] when the schema or the URL is wrong.
    pub async fn connect(url: &str, application_name: &str) -> Result<Self, KeyError> {
        Self::connect_with(url, application_name, Self::LIMITS).await
    }

    /// The same with these limits of its pool. [`PostgresKeys::most_connections`] has those besides
    /// the pool.
    ///
    /// # Errors
    /// See [`PostgresKeys::connect`].
    pub async fn connect_with(
        url: &str,
        application_name: &str,
        limits: PoolLimits,
    ) -> Result<Self, KeyError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| KeyError::Unusable("its URL cannot be read".to_owned()))?
            .application_name(application_name)
            .options([
                ("statement_timeout", STATEMENT_TIMEOUT),
                ("lock_timeout", LOCK_TIMEOUT),
                ("default_transaction_isolation", "read committed"),
                // A value encrypted under a key is acknowledged right after, so the key must be as
                // durable.
                ("synchronous_commit", "on"),
            ]);
        let mut connection =
            Connection::open(&options, CONNECT_LIMIT, CHECK_LIMIT).await.map_err(read_error)?;
        let checked = connection.run(async |raw: &mut PgConnection| schema().check(raw).await);
        checked.await.map_err(StoreError::from)?;
        connection.close().await;
        let mut settings = PoolSettings::of(limits, ACQUIRE_LIMIT, CALL_LIMIT);
        settings.wait_limit = WAIT_LIMIT;
        let adding = Arc::new(Adding::new(options.clone()));
        Ok(Self { pool: Pool::new(options, settings), adding })
    }

    /// The maximum number of connections with these limits of the pool: also those that add keys.
    pub const fn most_connections(limits: PoolLimits) -> u32 {
        limits.most.saturating_add(MAX_ADDING)
    }

    /// The pool with the limit of calls that read or change many rows.
    fn long(&self) -> Pool {
        self.pool.with_limit(LONG_CALL_LIMIT)
    }
}

impl From<StoreError> for KeyError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(error) | StoreError::OutcomeUnknown(error) => {
                Self::Unavailable(error.map(Arc::new))
            }
            StoreError::Database(error) => Self::Database(Arc::new(error)),
            StoreError::Keys(error) => error,
            StoreError::Invalid(why)
            | StoreError::Unusable(why)
            | StoreError::Unsafe(why)
            | StoreError::OtherHistory(why) => Self::Unusable(why),
        }
    }
}

fn failed(error: sqlx::Error) -> KeyError {
    read_error(error).into()
}

/// Converts a row to a key or to its tombstone.
fn stored(master: Option<String>, wrapped: Option<Vec<u8>>) -> StoredKey {
    match (master, wrapped) {
        (Some(master), Some(bytes)) => StoredKey::Wrapped(WrappedKey { master, bytes }),
        _ => StoredKey::Destroyed,
    }
}

fn mark(position: i64, event_id: Option<Uuid>) -> EventRef {
    EventRef { position: Position(position), event_id }
}

struct LedgerRow {
    subject: Uuid,
    requested_by: String,
    requested_at: chrono::DateTime<chrono::Utc>,
    position: Option<i64>,
    event_id: Option<Uuid>,
    reservations_released: i64,
}

impl From<LedgerRow> for LedgerEntry {
    fn from(row: LedgerRow) -> Self {
        Self {
            subject: row.subject,
            requested_by: row.requested_by,
            requested_at: row.requested_at,
            erased_at: row.position.map(|position| mark(position, row.event_id)),
            reservations_released: row.reservations_released,
        }
    }
}

#[async_trait]
impl SubjectKeyStore for PostgresKeys {
    async fn find(&self, subjects: &[Uuid]) -> Result<Vec<Option<StoredKey>>, KeyError> {
        let rows = sqlx::query_file!("sql/keys/find.sql", subjects)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        Ok(rows
            .into_iter()
            .map(|row| row.subject.map(|_| stored(row.master, row.wrapped)))
            .collect())
    }

    async fn ensure(&self, keys: &[(Uuid, WrappedKey)]) -> Result<Vec<StoredKey>, KeyError> {
        let subjects: Vec<Uuid> = keys.iter().map(|(subject, _)| *subject).collect();
        let masters: Vec<String> = keys.iter().map(|(_, key)| key.master.clone()).collect();
        let wrapped: Vec<Vec<u8>> = keys.iter().map(|(_, key)| key.bytes.clone()).collect();
        let added = self.adding.add(&subjects, &masters, &wrapped).await?;
        let (mut all, mut others) = (Vec::with_capacity(keys.len()), Vec::new());
        for (at, (subject, key)) in keys.iter().enumerate() {
            if added.contains(subject) {
                all.push(StoredKey::Wrapped(key.clone()));
            } else {
                all.push(StoredKey::Destroyed);
                others.push((at, *subject));
            }
        }
        if !others.is_empty() {
            let subjects: Vec<Uuid> = others.iter().map(|(_, subject)| *subject).collect();
            for ((at, subject), found) in others.into_iter().zip(self.find(&subjects).await?) {
                all[at] = found.ok_or(KeyError::UnknownSubject(subject))?;
            }
        }
        Ok(all)
    }

    async fn destroy(&self, subject: Uuid, requested_by: &str) -> Result<LedgerEntry, KeyError> {
        let row = sqlx::query_file_as!(LedgerRow, "sql/keys/destroy.sql", subject, requested_by)
            .fetch_one(&self.pool);
        Ok(row.await.map_err(failed)?.into())
    }

    async fn record(
        &self,
        subject: Uuid,
        erased_at: EventRef,
        reservations_released: i64,
    ) -> Result<(), KeyError> {
        let EventRef { position, event_id } = erased_at;
        let done = sqlx::query_file!(
            "sql/keys/record.sql",
            subject,
            position.0,
            event_id,
            reservations_released
        );
        done.execute(&self.pool).await.map(drop).map_err(failed)
    }

    async fn entry(&self, subject: Uuid) -> Result<Option<LedgerEntry>, KeyError> {
        let row = sqlx::query_file_as!(LedgerRow, "sql/keys/entry.sql", subject)
            .fetch_optional(&self.pool);
        Ok(row.await.map_err(failed)?.map(Into::into))
    }

    async fn ledger(&self, after: Uuid, limit: u32) -> Result<Vec<LedgerEntry>, KeyError> {
        let pool = self.long();
        let rows = sqlx::query_file_as!(LedgerRow, "sql/keys/ledger.sql", after, i64::from(limit))
            .fetch_all(&pool);
        Ok(rows.await.map_err(failed)?.into_iter().map(Into::into).collect())
    }

    async fn applied(&self) -> Result<EventRef, KeyError> {
        let row = sqlx::query_file!("sql/keys/applied.sql")
            .fetch_one(&self.pool)
            .await
            .map_err(failed)?;
        Ok(mark(row.position, row.event_id))
    }

    async fn set_applied(&self, mark: EventRef) -> Result<(), KeyError> {
        let done = sqlx::query_file!("sql/keys/set_applied.sql", mark.position.0, mark.event_id);
        done.execute(&self.pool).await.map(drop).map_err(failed)
    }

    async fn known_head(&self) -> Result<Option<Head>, KeyError> {
        let row = sqlx::query_file!("sql/keys/known_head.sql")
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        Ok(row.map(|row| Head {
            epoch: Epoch(row.epoch),
            mark: mark(row.position, Some(row.event_id)),
        }))
    }

    async fn set_known_head(&self, head: Head) -> Result<(), KeyError> {
        // A log without events has nothing to lose.
        let EventRef { position, event_id: Some(event_id) } = head.mark else { return Ok(()) };
        let done =
            sqlx::query_file!("sql/keys/set_known_head.sql", head.epoch.0, position.0, event_id);
        done.execute(&self.pool).await.map(drop).map_err(failed)
    }

    async fn not_wrapped_by(
        &self,
        master: &str,
        limit: u32,
    ) -> Result<Vec<(Uuid, WrappedKey)>, KeyError> {
        let pool = self.long();
        let rows = sqlx::query_file!("sql/keys/not_wrapped_by.sql", master, i64::from(limit))
            .fetch_all(&pool);
        let rows = rows.await.map_err(failed)?;
        Ok(rows
            .into_iter()
            .map(|row| (row.subject, WrappedKey { master: row.master, bytes: row.wrapped }))
            .collect())
    }

    async fn rewrap(&self, keys: Vec<(Uuid, WrappedKey, WrappedKey)>) -> Result<u64, KeyError> {
        let subjects: Vec<Uuid> = keys.iter().map(|(subject, ..)| *subject).collect();
        let old: Vec<Vec<u8>> = keys.iter().map(|(_, old, _)| old.bytes.clone()).collect();
        let masters: Vec<String> = keys.iter().map(|(.., new)| new.master.clone()).collect();
        let new: Vec<Vec<u8>> = keys.into_iter().map(|(.., new)| new.bytes).collect();
        let pool = self.long();
        let done = sqlx::query_file!("sql/keys/rewrap.sql", &subjects, &old, &masters, &new)
            .execute(&pool);
        Ok(done.await.map_err(failed)?.rows_affected())
    }
}
