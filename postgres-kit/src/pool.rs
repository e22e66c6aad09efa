//! Connections that callers share, each call within a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sqlx::pool::{PoolConnection, PoolConnectionMetadata, PoolOptions};
use sqlx::postgres::{
    PgConnectOptions, PgConnection, PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres,
};
use sqlx::{Connection as _, Describe, Either, Error, Execute, Executor, Result, SqlStr};
use tokio::time::timeout;

use crate::deadline::{silent, within};
use crate::place::{named, place};
use crate::queue::{Place, Queue};

/// A connection used so lately is taken without a ping. One that broke since fails its call.
const WARM: Duration = Duration::from_secs(1);
/// How long the ping of a returned connection may take.
const RETURN_LIMIT: Duration = Duration::from_secs(2);

/// Prepares a new connection before its first use.
pub type AfterConnect =
    dyn for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, Result<()>> + Send + Sync;

/// How many connections a pool has, and its limits.
pub struct PoolSettings {
    /// The most connections, without the one for [`Pool::past_the_queue`].
    pub max_connections: u32,
    /// How long a call waits for a place while no other call comes to an end: the server is silent
    /// then. Also how long the making of a new connection may take.
    pub acquire_limit: Duration,
    /// How long a call waits for a place in all, while others come to an end: the pool is busy
    /// then, and the server well. The limit of the call itself comes on top.
    pub wait_limit: Duration,
    /// How long a call may take once it has a connection.
    pub limit: Duration,
    /// A connection this old is replaced, so that another server behind the same name is found.
    pub max_lifetime: Option<Duration>,
    /// A connection unused for this long is closed.
    pub idle_limit: Option<Duration>,
    /// What is done with each new connection before its first use.
    pub after_connect: Option<Box<AfterConnect>>,
}

impl PoolSettings {
    /// So many connections with these limits; a call waits no longer for a busy pool than for a
    /// silent one.
    pub const fn new(max_connections: u32, acquire_limit: Duration, limit: Duration) -> Self {
        Self {
            max_connections,
            acquire_limit,
            wait_limit: acquire_limit,
            limit,
            max_lifetime: None,
            idle_limit: None,
            after_connect: None,
        }
    }
}

/// Shared connections, each made when it is first needed. Cheap to clone; clones share the
/// connections.
#[derive(Debug, Clone)]
pub struct Pool {
    shared: PgPool,
    queue: Arc<Queue>,
    /// Whether its calls go past the queue.
    is_urgent: bool,
    limit: Duration,
    doubt: Arc<Doubt>,
}

/// When a call last got no answer, or found its connection broken. Connections that were idle
/// before then may be dead too, and are not used again: otherwise each would cost a caller its
/// whole limit, or fail its call.
#[derive(Debug)]
struct Doubt {
    /// Where they lead, for errors.
    place: String,
    since: Instant,
    /// Microseconds after `since`; 0: never.
    last: AtomicU64,
}

impl Doubt {
    fn raise(&self) {
        let now = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last.fetch_max(now, Ordering::Relaxed);
    }

    fn concerns(&self, idle_for: Duration) -> bool {
        match self.last.load(Ordering::Relaxed) {
            0 => false,
            last => self.since.elapsed().saturating_sub(idle_for) <= Duration::from_micros(last),
        }
    }
}

impl Pool {
    /// A pool that connects with `options` when it is used.
    pub fn new(options: PgConnectOptions, settings: PoolSettings) -> Self {
        let doubt = Arc::new(Doubt {
            place: place(&options),
            since: Instant::now(),
            last: AtomicU64::new(0),
        });
        let doubted = Arc::clone(&doubt);
        let queue =
            Queue::new(settings.max_connections, settings.acquire_limit, settings.wait_limit);
        let mut pool = PoolOptions::<Postgres>::new()
            .max_connections(settings.max_connections.saturating_add(1))
            .acquire_timeout(settings.acquire_limit)
            .max_lifetime(settings.max_lifetime)
            .idle_timeout(settings.idle_limit)
            .test_before_acquire(false)
            .before_acquire(move |connection, idle| {
                let doubted = doubted.concerns(idle.idle_for);
                Box::pin(async move {
                    if doubted { Ok(false) } else { is_alive(connection, idle).await }
                })
            });
        if let Some(prepare) = settings.after_connect {
            let prepare: Arc<AfterConnect> = prepare.into();
            pool = pool.after_connect(move |connection, _| {
                let prepare = Arc::clone(&prepare);
                Box::pin(async move { prepare(connection).await })
            });
        }
        let shared = pool.connect_lazy_with(options);
        Self { shared, queue, is_urgent: false, limit: settings.limit, doubt }
    }

    /// The same connections with another limit for each call.
    #[must_use]
    pub fn with_limit(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// The same connections and one more, for who asks how the server is: such a call does not wait
    /// behind the others, so that a busy pool is not taken for a silent server.
    #[must_use]
    pub fn past_the_queue(&self) -> Self {
        Self { is_urgent: true, ..self.clone() }
    }

    /// How long each call may take.
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// How many connections there are.
    pub fn size(&self) -> u32 {
        self.shared.size()
    }

    /// How many of them nobody uses.
    pub fn idle(&self) -> u32 {
        u32::try_from(self.shared.num_idle()).unwrap_or(u32::MAX)
    }

    /// Somebody's work found a connection broken: none that is idle now is used again. A call
    /// through the pool as an [`Executor`] says so by itself; who passes work to [`Pool::run`]
    /// knows its errors.
    pub fn doubt(&self) {
        self.doubt.raise();
    }

    /// Does several statements (a transaction) on one connection, within the pool's limit as a
    /// whole.
    ///
    /// # Errors
    /// Those of `work`; [`Error::PoolTimedOut`] without a free connection; [`crate::silent`]'s when
    /// it takes too long.
    pub async fn run<T, E: From<Error>>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut lent = self.lend().await?;
        let done =
            timeout(self.limit, work(lent.connection())).await.map_err(|_| self.fell_silent())?;
        lent.give_back();
        done
    }

    /// Closes the connections once what they are doing is done, within the pool's limit.
    pub async fn close(&self) {
        self.queue.close();
        if timeout(self.limit, self.shared.close()).await.is_err() {
            tracing::debug!("a pool's connections were closed without a goodbye");
        }
    }

    /// Runs one call on a connection of the pool.
    async fn call<T>(&self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        let done = self.run(work).await;
        if let Err(Error::Io(_) | Error::Protocol(_)) = &done {
            self.doubt();
        }
        done
    }

    async fn lend(&self) -> Result<Lent> {
        let place = if self.is_urgent { None } else { Some(self.queue.place().await?) };
        let connection =
            self.shared.acquire().await.map_err(|error| named(&self.doubt.place, error))?;
        Ok(Lent { connection: Some(connection), place })
    }

    fn fell_silent(&self) -> Error {
        self.doubt.raise();
        named(&self.doubt.place, silent(self.limit))
    }
}

/// Whether a connection that was unused for a while still stands. The wait for it is part of the
/// acquire limit.
async fn is_alive(connection: &mut PgConnection, idle: PoolConnectionMetadata) -> Result<bool> {
    if idle.idle_for >= WARM {
        connection.ping().await?;
    }
    Ok(true)
}

/// A connection on loan. Dropped in the middle of a call, it is closed and its place in the pool is
/// free at once.
struct Lent {
    connection: Option<PoolConnection<Postgres>>,
    /// None for a call that went past the queue.
    place: Option<Place>,
}

impl Lent {
    #[allow(clippy::expect_used, reason = "it is taken by giving back only, which consumes self")]
    fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("a connection is lent until it is given back")
    }

    /// The server has answered.
    fn answered(&self) {
        if let Some(place) = &self.place {
            place.answered();
        }
    }

    /// Back to the pool, which pings it first: for so long at most, since a silent server would
    /// keep its place for good.
    fn give_back(mut self) {
        self.answered();
        let place = self.place.take();
        if let Some(mut connection) = self.connection.take() {
            tokio::spawn(async move {
                if timeout(RETURN_LIMIT, connection.return_to_pool()).await.is_err() {
                    tracing::debug!("a connection fell silent on its way back to its pool");
                }
                drop(place);
            });
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

impl<'p> Executor<'p> for &Pool {
    type Database = Postgres;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<PgQueryResult>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move {
            pool.call(async move |raw: &mut PgConnection| raw.execute(query).await).await
        })
    }

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        // Each row has the limit: who reads slowly is not the server's fault.
        Box::pin(async_stream::try_stream! {
            let mut lent = pool.lend().await?;
            {
                let mut rows = lent.connection().fetch_many(query);
                while let Some(row) = within(pool.limit, rows.try_next()).await? {
                    yield row;
                }
            }
            lent.give_back();
        })
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move {
            pool.call(async move |raw: &mut PgConnection| raw.fetch_all(query).await).await
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move {
            pool.call(async move |raw: &mut PgConnection| raw.fetch_optional(query).await).await
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            pool.call(async move |raw: &mut PgConnection| raw.prepare_with(sql, parameters).await)
                .await
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            pool.call(async move |raw: &mut PgConnection| raw.describe(sql).await).await
        })
    }
}
