//! The event store on Postgres: one schema, one procedure for appends, and reads in pages.
//!
//! # Measured
//! These measurements led to the shape of the tables. PostgreSQL 15, CPU time of the backend, 253
//! bytes of JSON a row, 1,000 rows a statement.
//! - Type of `data`: text 1.4 to 1.6 µs a row, json 2.0 to 2.2, bytea 1.7 to 2.2, jsonb 3.6 to 4.1
//!   (and 372 bytes a row against 303). Returning 20,000 rows as text takes 53 ms for jsonb, 22
//!   for json and 9 for text. The choice is json: it keeps the text unchanged, and Postgres rejects
//!   invalid JSON, for half a microsecond.
//! - Hash chain: a digest per event, each over the one before, costs 0.9 to 1.2 µs and 32 bytes a
//!   row. It cannot be set-based, and the lock would be held meanwhile. The digests are therefore
//!   in `digests`, computed behind the head over stretches of the log.
//! - The plain append function (`*_append_plain.sql`) in batches of 512: 10.6 µs an append, 14.0
//!   with an idempotency key. One append at a time: 50 µs a call, of which the lock takes 5 and the
//!   lookup 15.
//! - The lookup of the version of a stream that should not exist: 1.0 of 11 µs. It stays: relying
//!   on the unique constraint would leave dead rows in the log on every refused append.
//!
//! # One serial append
//! All appends go through two SQL functions: a general one and a shorter one for the common batch.
//! Both first lock the same row, so every later check sees everything committed before. A procedure
//! wraps them and commits inside the same call, so a disconnected client holds no lock. Group
//! commit (`batch.rs`) makes up for the serial lock: while one batch is in flight, the next one
//! fills. A repeat is answered by such a call too, so its commit waits for a synchronous standby
//! like that of every append.
//!
//! The functions reject a server whose settings would lose acknowledged data
//! (`event_store.unsafe_setting`). They check on every call, since a reload can change the
//! settings. A server with `event_store.may_lose_events = on`, such as the test servers, may run
//! without `fsync` and `full_page_writes`.
//!
//! An append sends no notification: NOTIFY would serialise the commits. `wake.rs` sends one
//! debounced notification after the commit, on another connection.
//!
//! The last event of a closed stream is `stream.closed`. The check of the stream's version sees
//! that event, so the rule costs open streams nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use postgres_kit::Pool;
use sqlx::postgres::PgConnection;
use tokio_util::task::AbortOnDropHandle;

use crate::append::prepared::Prepared;
use crate::append::{Append, AppendOutcome, Idempotency, ReservedValue};
use crate::error::StoreError;
use crate::event::Head;
use crate::event::{Epoch, EventRef, EventType, Position, RecordedEvent};
use crate::pulse::{Pulse, Task};
use crate::query::Filter;
use crate::registry::WrittenType;
use crate::store::EventStore;
use crate::stream::{StreamName, Version};

mod batch;
mod call;
mod check;
mod connect;
mod continuity;
mod current;
mod digest;
mod epoch;
mod error;
pub mod keys;
mod migrate;
mod notices;
pub mod operations;
mod read;
mod snapshot;
mod status;
mod store_options;
mod stream;
mod subscribe;
mod tails;
mod verify;
mod wake;

pub use digest::{DIGEST_EVENTS, DIGESTING};
pub use epoch::{EpochRecord, begin_epoch, epochs};
pub(crate) use error::read_error;
pub use keys::PostgresKeys;
pub(crate) use migrate::options;
pub use migrate::{migrate, schema_fingerprint};
pub use status::LogStatus;
pub use store_options::PostgresOptions;
pub use verify::{Finding, MAX_FINDINGS, Verification, verify};
pub use wake::WAKE_CHANNEL;

use batch::Batcher;
use connect::ReadPools;
use continuity::Continuity;
use tails::Tails;

/// The time limit of the empty append that tests whether appends get through. It equals the wait
/// for the lock on the log.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// The event store on Postgres. It is cheap to clone; clones share connections and batches.
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

struct Inner {
    /// The pool for lookups by key and reads in log order.
    lookup: Pool,
    /// The reads of streams that share statements.
    tails: Tails,
    /// The pool for scans of the log and for rare writes.
    scan: Pool,
    continuity: Arc<Continuity>,
    batcher: Batcher,
    /// The pulse of the digesting task.
    digesting: Pulse,
    /// The pulse of the continuity watcher.
    proving: Pulse,
    _watcher: AbortOnDropHandle<()>,
}

impl PostgresStore {
    /// Connects for reads and appends. The first append opens the append connection.
    ///
    /// # Errors
    /// - [`StoreError::Unavailable`] when Postgres cannot be reached (try again later).
    /// - [`StoreError::Unusable`] when the schema does not match this program or the server's
    ///   settings would break a promise.
    /// - [`StoreError::OtherHistory`] when the log lacks the known head.
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
                tails: Tails::new(lookup.clone(), Arc::clone(&continuity)),
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

    /// Checks that the log can be read and appended to now, and returns its head.
    ///
    /// It reads the head and the server's settings. If the last batch got no answer, it also sends
    /// an empty append. It answers within seconds even if the server is silent, and does not queue
    /// behind reads, so a busy store is ready.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Unsafe`] as long as the server can lose acknowledged data.
    pub async fn ready(&self) -> Result<Head, StoreError> {
        let (head, (), ()) = tokio::try_join!(
            self.inner.head_past_the_queue(),
            self.inner.assert_safe(),
            self.appends()
        )?;
        Ok(head)
    }

    /// Checks that appends get through, as far as this process can know: it may have no right to
    /// append.
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

    /// The background tasks of the store.
    pub fn tasks(&self) -> [Task; 3] {
        let Inner { batcher, digesting, proving, .. } = &*self.inner;
        [
            Task { name: "append_batches", pulse: batcher.state().pulse.clone() },
            Task { name: "history_proof", pulse: proving.clone() },
            Task { name: DIGESTING, pulse: digesting.clone() },
        ]
    }
}

/// Calls the append procedure once with exactly these members, without a queue or a retry. The
/// members must not affect each other.
///
/// It is for tests of the procedure and for tools; everyone else appends through [`PostgresStore`].
/// The connection's search_path must be `pg_catalog, pg_temp`, or the call is rejected.
///
/// # Errors
/// [`StoreError::Invalid`] as for an append; [`StoreError::Database`] for any error from Postgres,
/// including that members affect each other.
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

    fn known_position(&self) -> Position {
        self.inner.continuity.position()
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
