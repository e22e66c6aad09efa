//! The event store on Postgres: one schema, one procedure that appends, reads in pages.
//!
//! # Measured
//! What the shape of the tables rests on; PostgreSQL 15, CPU time of the backend, 253 bytes of JSON
//! a row, 1,000 rows a statement.
//! - Type of `data`: text 1.4 to 1.6 µs a row, json 2.0 to 2.2, bytea 1.7 to 2.2, jsonb 3.6 to 4.1
//!   (and 372 bytes a row against 303; giving 20,000 rows back as text 53 ms against 22 for json
//!   and 9 for text). json it is: the text stays as it came, and Postgres refuses what is no JSON,
//!   for half a microsecond.
//! - Hash chain: a digest per event, each over the one before, is 0.9 to 1.2 µs a row that nothing
//!   can make set-based, and 32 bytes a row, all while the lock is held. It therefore stands in
//!   `digests`, behind the head, over stretches of the log.
//! - The plain append function (`*_append_plain.sql`) in batches of 512: 10.6 µs an append, with an
//!   idempotency key 14.0; one at a time 50 µs a call, of which 5 the lock and 15 the look.
//! - The look for a stream's version that an append expects not to exist: 1.0 of 11 µs. It stays:
//!   leaving it to the unique constraint would leave dead rows in the log whenever an append is
//!   refused.
//!
//! # One serial append
//! All appends go through two SQL functions: a general one, and a shorter one for the common
//! batch. Both begin by locking the same row, so every later check sees everything that committed
//! before. A procedure wraps them and commits inside the same call, so a client that is cut off
//! holds no lock. Group commit (`batch.rs`) makes up for the serial lock: while one batch is in
//! flight, the next one gathers. The answer to a repeat comes from such a call too, so its commit
//! waits for a synchronous standby as every append's does.
//!
//! The functions refuse a server whose settings would lose what it acknowledges
//! (`event_store.unsafe_setting`); they look at each call, since a reload can change the settings.
//! A server with `event_store.may_lose_events = on`, such as the ones that the tests start, may
//! run without `fsync` and `full_page_writes`.
//!
//! An append sends no notification: NOTIFY would serialise the commits. `wake.rs` sends one
//! debounced notification after the commit, on another connection.
//!
//! A stream is closed by its last event, `stream.closed`. The check of the stream's version sees
//! that event, so streams that are open pay nothing for the rule.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use postgres_kit::Pool;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio_util::task::AbortOnDropHandle;

use crate::append::prepared::Prepared;
use crate::append::{Append, AppendOutcome, Idempotency, ReservedValue};
use crate::error::StoreError;
use crate::event::{Epoch, EventRef, EventType, Position, RecordedEvent};
use crate::pulse::{Pulse, Task};
use crate::query::Filter;
use crate::registry::WrittenType;
use crate::store::{EventStore, Head};
use crate::stream::{StreamName, Version};

mod batch;
mod call;
mod check;
mod connect;
mod continuity;
mod digest;
mod epoch;
mod error;
mod migrate;
mod notices;
mod read;
mod snapshot;
mod status;
mod subscribe;
mod verify;
mod wake;

pub use digest::{DIGEST_EVENTS, DIGESTING};
pub use epoch::{EpochRecord, begin_epoch, epochs};
pub(crate) use error::read_error;
pub(crate) use migrate::options;
pub use migrate::{migrate, schema_fingerprint};
pub use status::LogStatus;
pub use verify::{Finding, MAX_FINDINGS, Verification, verify};
pub use wake::WAKE_CHANNEL;

use batch::Batcher;
use connect::ReadPools;
use continuity::Continuity;

/// How long an append of nothing may take that shows whether appends get through: as long as the
/// wait for the lock on the log.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// How to reach the log, and the limits of this process's use of it.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    connect: PgConnectOptions,
    application_name: String,
    read_connections: u32,
    append_deadline: Duration,
    max_queued: usize,
    known_head: Option<Head>,
}

impl PostgresOptions {
    /// The defaults, for a database URL.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when the URL cannot be read; the message does not repeat it, since
    /// it may hold a password.
    pub fn from_url(url: &str) -> Result<Self, StoreError> {
        let connect = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::Unusable("its URL cannot be read".into()))?;
        Ok(Self {
            connect,
            application_name: "event-store".into(),
            read_connections: 8,
            append_deadline: Duration::from_secs(5),
            max_queued: 4_096,
            known_head: None,
        })
    }

    /// The name under which Postgres lists the connections.
    #[must_use]
    pub fn application_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.application_name);
        self
    }

    /// The most connections for reads by a key or in the log's order, and as many for selections; 8
    /// by default. Readiness has one more, appends have one of their own.
    #[must_use]
    pub fn read_connections(mut self, most: u32) -> Self {
        self.read_connections = most;
        self
    }

    /// How long an append may wait for its outcome; 5 seconds by default.
    #[must_use]
    pub fn append_deadline(mut self, deadline: Duration) -> Self {
        self.append_deadline = deadline;
        self
    }

    /// The most appends that wait at once; 4,096 by default. One more is refused as
    /// [`StoreError::Unavailable`].
    #[must_use]
    pub fn max_queued(mut self, most: usize) -> Self {
        self.max_queued = most;
        self
    }

    /// The newest event that is known from elsewhere, as from before a restart: a log that does not
    /// have it is refused as [`StoreError::OtherHistory`], until it has or has begun a new epoch.
    /// By default any log is taken at its word.
    #[must_use]
    pub const fn known_head(mut self, known: Option<Head>) -> Self {
        self.known_head = known;
        self
    }
}

/// The log in Postgres. Cheap to clone; clones share connections and batches.
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

struct Inner {
    /// For what is read by a key or in the log's own order.
    lookup: Pool,
    /// For selections from the log, and what is seldom written.
    scan: Pool,
    continuity: Arc<Continuity>,
    batcher: Batcher,
    /// The pulse of the task that digests.
    digesting: Pulse,
    /// The pulse of the watcher.
    proving: Pulse,
    _watcher: AbortOnDropHandle<()>,
}

impl PostgresStore {
    /// Connects for reading and appending; the connection for appends is opened by the first
    /// append.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when Postgres is away (try again later),
    /// [`StoreError::Unusable`] when the schema is not this program's or the server's settings
    /// would break a promise, [`StoreError::OtherHistory`] when the log has not what is known of
    /// it.
    pub async fn connect(options: PostgresOptions) -> Result<Self, StoreError> {
        let continuity = Arc::new(Continuity::new(options.known_head));
        let ReadPools { lookup, scan } =
            connect::read_pools(&options, Arc::clone(&continuity)).await?;
        let waker = wake::Waker::start(lookup.clone());
        let options = Arc::new(options);
        let batcher = Batcher::start(Arc::clone(&options), Arc::clone(&continuity), waker);
        let (digesting, proving) = (Pulse::default(), Pulse::default());
        let watching = continuity::watch(Arc::clone(&continuity), options, proving.clone());
        let watcher = AbortOnDropHandle::new(tokio::spawn(watching));
        Ok(Self {
            inner: Arc::new(Inner {
                lookup,
                scan,
                continuity,
                batcher,
                digesting,
                proving,
                _watcher: watcher,
            }),
        })
    }

    /// Whether the log can be read now, and appended to: asks for its head and for the server's
    /// settings, and appends nothing when the last batch got no answer. It answers within seconds,
    /// also when the server is silent, and does not wait behind reads: a busy store is ready.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Unsafe`] for as long as the server can lose what it
    /// acknowledges.
    pub async fn ready(&self) -> Result<Head, StoreError> {
        let (head, (), ()) = tokio::try_join!(
            self.inner.head_past_the_queue(),
            self.inner.assert_safe(),
            self.appends()
        )?;
        Ok(head)
    }

    /// Whether appends get through, as far as this process can know: it may not append at all.
    async fn appends(&self) -> Result<(), StoreError> {
        if !self.inner.batcher.state().is_in_doubt() {
            return Ok(());
        }
        let nothing = Prepared::new(Append::default())?;
        match tokio::time::timeout(PROBE_LIMIT, self.inner.batcher.append(nothing)).await {
            Ok(outcome) => outcome.map(drop),
            Err(_) => Err(StoreError::Unavailable(None)),
        }
    }

    /// The background tasks.
    pub fn tasks(&self) -> [Task; 3] {
        let Inner { batcher, digesting, proving, .. } = &*self.inner;
        [
            Task { name: "append_batches", pulse: batcher.state().pulse.clone() },
            Task { name: "history_proof", pulse: proving.clone() },
            Task { name: DIGESTING, pulse: digesting.clone() },
        ]
    }
}

/// One call of the stored procedure with exactly these members, which must not affect each other:
/// no queue, no repetition. For tests of the procedure and for tools; everyone else appends through
/// [`PostgresStore`]. The connection's search_path must be `pg_catalog, pg_temp`, or the call is
/// refused.
///
/// # Errors
/// [`StoreError::Invalid`] as for an append, [`StoreError::Database`] with whatever Postgres said,
/// a batch that breaks the rule included.
pub async fn append_batch(
    connection: &mut PgConnection,
    members: Vec<Append>,
) -> Result<Vec<AppendOutcome>, StoreError> {
    let batch = members.into_iter().map(Prepared::new).collect::<Result<Vec<_>, _>>()?;
    Ok(call::append(connection, &batch).await.map_err(StoreError::Database)?.outcomes)
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, append: Append) -> Result<AppendOutcome, StoreError> {
        self.inner.continuity.check().await?;
        self.inner.append(append).await
    }

    async fn repeated(
        &self,
        idempotency: &Idempotency,
    ) -> Result<Option<AppendOutcome>, StoreError> {
        self.inner.repeated(idempotency).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.inner.head().await
    }

    async fn event_ref_at(&self, position: Position) -> Result<Option<EventRef>, StoreError> {
        self.inner.event_ref_at(position).await
    }

    async fn descends_from(&self, epoch: Epoch) -> Result<bool, StoreError> {
        self.inner.descends_from(epoch).await
    }

    async fn read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.inner.read_stream(stream, after, limit).await
    }

    async fn read_stream_backward(
        &self,
        stream: &StreamName,
        before: Option<Version>,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.inner.read_stream_backward(stream, before, limit).await
    }

    async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.inner.read(filter, after, limit).await
    }

    async fn read_range(
        &self,
        types: &[EventType],
        after: Position,
        to: Position,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.inner.read_range(types, after, to).await
    }

    async fn reservation_owners(
        &self,
        reservations: &[ReservedValue],
    ) -> Result<Vec<Option<StreamName>>, StoreError> {
        self.inner.reservation_owners(reservations).await
    }

    async fn written_types(&self) -> Result<Vec<WrittenType>, StoreError> {
        self.inner.written_types().await
    }

    async fn reservations_of(
        &self,
        id: &str,
        limit: u32,
    ) -> Result<Vec<(ReservedValue, StreamName)>, StoreError> {
        self.inner.reservations_of(id, limit).await
    }

    fn subscribe(
        &self,
        filter: Filter,
        after: Position,
    ) -> BoxStream<'static, Result<RecordedEvent, StoreError>> {
        subscribe::subscribe(self.clone(), filter, after)
    }
}
