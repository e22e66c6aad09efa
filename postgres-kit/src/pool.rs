//! A pool of shared connections on which every call has a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sqlx::pool::{PoolConnectionMetadata, PoolOptions};
use sqlx::postgres::{
    PgConnectOptions, PgConnection, PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres,
};
use sqlx::{Connection as _, Describe, Either, Error, Execute, Executor, Result, SqlStr};
use tokio::time::timeout;

use crate::deadline::{silent, within};
use crate::limits::PoolLimits;
use crate::place::{named, place};
use crate::queue::{Place, Queue};
use crate::warm::{Taken, WARM, Warm};

/// A function that prepares a new connection before its first use.
pub type AfterConnect =
    dyn for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, Result<()>> + Send + Sync;

/// The size and the limits of a pool.
pub struct PoolSettings {
    /// The maximum number of connections, not counting the extra one for [`Pool::past_the_queue`].
    pub max_connections: u32,
    /// The maximum number of unused connections that stay open. Others are closed a second after
    /// their last call.
    pub max_idle: u32,
    /// How long a call waits for a connection while no other call finishes, which means that the
    /// server is silent. Also the limit for opening a new connection.
    pub acquire_limit: Duration,
    /// How long a call waits for a connection in total while other calls do finish, which means
    /// that the pool is busy and the server is well. The limit of the call itself comes on top.
    pub wait_limit: Duration,
    /// How long a call may take once it has a connection.
    pub limit: Duration,
    /// The maximum age of a connection. Replacing old ones finds a new server behind the same name.
    pub max_lifetime: Option<Duration>,
    /// An unused connection is closed after this time.
    pub idle_limit: Option<Duration>,
    /// Runs on each new connection before its first use.
    pub after_connect: Option<Box<AfterConnect>>,
}

impl PoolSettings {
    /// Settings with these values. A call waits as long for a busy pool as for a silent one. All
    /// connections stay open.
    pub const fn new(max_connections: u32, acquire_limit: Duration, limit: Duration) -> Self {
        Self {
            max_connections,
            max_idle: u32::MAX,
            acquire_limit,
            wait_limit: acquire_limit,
            limit,
            max_lifetime: None,
            idle_limit: None,
            after_connect: None,
        }
    }

    /// Settings with these limits, of which the extra connection is a part.
    pub fn of(limits: PoolLimits, acquire_limit: Duration, limit: Duration) -> Self {
        Self {
            max_idle: limits.idle,
            max_lifetime: Some(limits.lifetime),
            idle_limit: Some(limits.idle_limit),
            ..Self::new(limits.most.saturating_sub(1), acquire_limit, limit)
        }
    }
}

/// Shared connections, each opened when it is first needed. Clones are cheap and share the
/// connections.
#[derive(Debug, Clone)]
pub struct Pool {
    shared: PgPool,
    pub(crate) warm: Arc<Warm>,
    queue: Arc<Queue>,
    /// The queue of calls that skip the other one. It has one place, so that no caller with a place
    /// lacks a connection.
    urgent: Arc<Queue>,
    /// Whether calls skip the queue.
    is_urgent: bool,
    limit: Duration,
    doubt: Arc<Doubt>,
}

/// Which connections are not reused.
#[derive(Debug)]
struct Doubt {
    /// Host, port and database, for error messages.
    place: String,
    since: Instant,
    /// When a call last got no answer or found its connection broken. Connections that were idle
    /// before that moment may be dead too. Otherwise each would fail a call, or cost it its whole
    /// limit. In microseconds after `since`; 0 means never.
    last: AtomicU64,
    /// When all connections were last to be replaced, likewise.
    renewed: AtomicU64,
}

impl Doubt {
    fn raise(&self) {
        self.last.fetch_max(self.now(), Ordering::Relaxed);
    }

    fn renew(&self) {
        self.renewed.fetch_max(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether a connection of this age that was unused for so long is not reused.
    fn concerns(&self, age: Duration, idle: Duration) -> bool {
        self.is_before(idle, &self.last) || self.is_before(age, &self.renewed)
    }

    /// Whether something that began so long ago began before a moment.
    fn is_before(&self, ago: Duration, moment: &AtomicU64) -> bool {
        match moment.load(Ordering::Relaxed) {
            0 => false,
            moment => self.since.elapsed().saturating_sub(ago) <= Duration::from_micros(moment),
        }
    }
}

impl Pool {
    /// Creates a pool. It connects with `options` on first use.
    pub fn new(options: PgConnectOptions, settings: PoolSettings) -> Self {
        let doubt = Arc::new(Doubt {
            place: place(&options),
            since: Instant::now(),
            last: AtomicU64::new(0),
            renewed: AtomicU64::new(0),
        });
        let doubted = Arc::clone(&doubt);
        let queue = |places| Queue::new(places, settings.acquire_limit, settings.wait_limit);
        let (queue, urgent) = (queue(settings.max_connections), queue(1));
        let mut pool = PoolOptions::<Postgres>::new()
            .max_connections(settings.max_connections.saturating_add(1))
            .acquire_timeout(settings.acquire_limit)
            .max_lifetime(settings.max_lifetime)
            .idle_timeout(settings.idle_limit)
            .test_before_acquire(false)
            .before_acquire(move |connection, idle| {
                let doubted = doubted.concerns(idle.age, idle.idle_for);
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
        let (warm, limit) = (Warm::new(shared.clone(), settings.max_idle), settings.limit);
        Self { shared, warm, queue, urgent, is_urgent: false, limit, doubt }
    }

    /// Returns the same pool with another limit for each call.
    #[must_use]
    pub fn with_limit(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// Returns the same pool plus one extra connection, for health checks. Such a call skips the
    /// queue, so a busy pool is not mistaken for a silent server. Several such calls take turns.
    #[must_use]
    pub fn past_the_queue(&self) -> Self {
        Self { is_urgent: true, ..self.clone() }
    }

    /// The time limit of each call.
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// The number of open connections.
    pub fn size(&self) -> u32 {
        self.shared.size()
    }

    /// The number of idle connections.
    pub fn idle(&self) -> u32 {
        u32::try_from(self.shared.num_idle() + self.warm.len()).unwrap_or(u32::MAX)
    }

    /// Reports a broken connection. No connection that is idle now is reused. Calls through the
    /// pool as an [`Executor`] report it themselves; callers of [`Pool::run`] must do it, because
    /// only they see the errors of their work.
    pub fn doubt(&self) {
        self.doubt.raise();
    }

    /// Replaces all connections: none that is open now is reused after its current call. Callers of
    /// [`Pool::run`] use it when they find that a connection leads to the wrong server.
    pub fn renew(&self) {
        self.doubt.renew();
    }

    /// Runs several statements (a transaction) on one connection, within the pool's limit in total.
    ///
    /// # Errors
    /// Those of `work`. [`Error::PoolTimedOut`] if no connection becomes free. [`crate::silent`]'s
    /// if it takes too long.
    pub async fn run<T, E: From<Error>>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut lent = self.lend().await?;
        let done =
            timeout(self.limit, work(lent.connection())).await.map_err(|_| self.fell_silent())?;
        lent.give_back(&self.warm, done.is_ok());
        done
    }

    /// Closes the connections when their current calls are done, within the pool's limit.
    pub async fn close(&self) {
        self.queue.close();
        self.urgent.close();
        let closed = async {
            let closed = self.shared.close();
            self.warm.close().await;
            closed.await;
        };
        if timeout(self.limit, closed).await.is_err() {
            tracing::debug!("could not close a pool's connections cleanly");
        }
    }

    /// Runs one call on a pooled connection.
    async fn call<T>(&self, work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        let done = self.run(work).await;
        if let Err(Error::Io(_) | Error::Protocol(_)) = &done {
            self.doubt();
        }
        done
    }

    async fn lend(&self) -> Result<Lent> {
        let queue = if self.is_urgent { &self.urgent } else { &self.queue };
        let place = queue.place().await?;
        if let Some(taken) = self.warm.take(|age, idle| self.doubt.concerns(age, idle)) {
            return Ok(Lent { taken, place });
        }
        let connection =
            self.shared.acquire().await.map_err(|error| named(&self.doubt.place, error))?;
        Ok(Lent { taken: Taken::new(connection), place })
    }

    fn fell_silent(&self) -> Error {
        self.doubt.raise();
        named(&self.doubt.place, silent(self.limit))
    }
}

/// Checks a connection that was unused for a while. The time for it is part of the acquire limit.
async fn is_alive(connection: &mut PgConnection, idle: PoolConnectionMetadata) -> Result<bool> {
    if idle.idle_for >= WARM {
        connection.ping().await?;
    }
    Ok(true)
}

/// A borrowed connection. If it is dropped in the middle of a call, it is closed and frees its
/// place in the pool at once.
struct Lent {
    taken: Taken,
    place: Place,
}

impl Lent {
    fn connection(&mut self) -> &mut PgConnection {
        self.taken.connection()
    }

    /// Returns the connection after its call. The next call can have it at once if this one ended
    /// well and left nothing behind, such as a transaction to roll back.
    fn give_back(mut self, warm: &Arc<Warm>, is_well: bool) {
        // The server has answered.
        self.place.answered();
        let raw = self.connection();
        let is_clean = is_well && !raw.should_flush() && !raw.is_in_transaction();
        let Self { taken, place } = self;
        let returned = if is_clean { warm.keep(taken) } else { Some(taken) };
        if let Some(taken) = returned {
            let warm = Arc::clone(warm);
            tokio::spawn(async move {
                warm.give_back(taken).await;
                drop(place);
            });
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
        // The limit holds per row: a slow reader is not the server's fault.
        Box::pin(async_stream::try_stream! {
            let mut lent = pool.lend().await?;
            {
                let mut rows = lent.connection().fetch_many(query);
                while let Some(row) = within(pool.limit, rows.try_next()).await? {
                    yield row;
                }
            }
            lent.give_back(&pool.warm, true);
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
