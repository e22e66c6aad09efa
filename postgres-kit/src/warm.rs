//! Connections between two calls. The driver's pool asks the server whether a returned connection
//! is alive, which costs a round trip for each call. A connection whose call ended well is alive,
//! so it waits here for the next call. One that waits too long goes back to the driver's pool. If
//! enough others stay open there, it is closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures::future::join_all;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, Postgres};
use tokio::time::timeout;

/// A connection used this recently is reused without a ping. If it broke since, its call fails.
pub(crate) const WARM: Duration = Duration::from_secs(1);
/// How long the ping of a returned connection may take, or the close of one that is not needed.
const RETURN_LIMIT: Duration = Duration::from_secs(2);
/// After this time a connection goes back to the driver's pool even if it is always in use. That
/// replaces connections that are too old.
const KEEP_LIMIT: Duration = Duration::from_secs(10);

/// The connections of one pool that are between two calls.
#[derive(Debug)]
pub(crate) struct Warm {
    /// The driver's pool.
    shared: PgPool,
    /// The maximum number of connections that stay open there.
    max_idle: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The one used last is the last one.
    waiting: Vec<Waiting>,
    /// The number of connections on their way to the driver's pool.
    returning: usize,
    /// Whether a task takes out those that wait too long.
    is_swept: bool,
    is_closed: bool,
}

/// A connection that waits for its next call. It is closed when dropped, which needs no runtime.
#[derive(Debug)]
struct Waiting {
    taken: Taken,
    since: Instant,
}

/// A connection taken from the driver's pool. It is closed when dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    connection: Option<PoolConnection<Postgres>>,
    /// When it was taken.
    at: Instant,
}

impl Taken {
    pub(crate) fn new(connection: PoolConnection<Postgres>) -> Self {
        Self { connection: Some(connection), at: Instant::now() }
    }

    #[allow(clippy::expect_used, reason = "it is taken by giving back only, which consumes self")]
    pub(crate) fn connection(&mut self) -> &mut PoolConnection<Postgres> {
        self.connection.as_mut().expect("a connection is there until it is given back")
    }

    /// Returns it to the driver's pool, which pings it first. The ping has a limit, because a
    /// silent server would otherwise keep the place forever.
    async fn give_back(mut self) {
        if let Some(mut connection) = self.connection.take()
            && timeout(RETURN_LIMIT, connection.return_to_pool()).await.is_err()
        {
            tracing::debug!("a returned connection did not answer its ping");
        }
    }

    /// Closes it.
    async fn close(mut self) {
        if let Some(connection) = self.connection.take()
            && !matches!(timeout(RETURN_LIMIT, connection.close()).await, Ok(Ok(())))
        {
            tracing::debug!("a connection that is not needed could not be closed cleanly");
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

/// The right of one connection to go back to the driver's pool.
struct Returning<'w>(&'w Warm);

impl Drop for Returning<'_> {
    fn drop(&mut self) {
        self.0.state().returning -= 1;
    }
}

impl Warm {
    /// Connections of the driver's pool `shared`, of which at most `max_idle` stay open unused.
    pub(crate) fn new(shared: PgPool, max_idle: u32) -> Arc<Self> {
        let max_idle = usize::try_from(max_idle).unwrap_or(usize::MAX);
        Arc::new(Self { shared, max_idle, state: Mutex::default() })
    }

    /// The connection that was used last, if it was used recently. Connections that `is_doubtful`
    /// returns true for are closed. It gets two times: since the connection was taken from the
    /// driver's pool, and since its last call.
    pub(crate) fn take(
        self: &Arc<Self>,
        is_doubtful: impl Fn(Duration, Duration) -> bool,
    ) -> Option<Taken> {
        let mut doubtful = Vec::new();
        let mut state = self.state();
        loop {
            let idle = state.waiting.last()?.since.elapsed();
            if idle >= WARM {
                // All others wait longer. The driver's pool needs their places.
                let old: Vec<_> = state.waiting.drain(..).map(|one| one.taken).collect();
                drop(state);
                let warm = Arc::clone(self);
                tokio::spawn(async move { warm.give_all_back(old).await });
                return None;
            }
            let Waiting { taken, .. } = state.waiting.pop()?;
            if !is_doubtful(taken.at.elapsed(), idle) {
                return Some(taken);
            }
            doubtful.push(taken);
        }
    }

    /// Keeps a connection for the next call. Returns it if it must go back to the driver's pool.
    pub(crate) fn keep(self: &Arc<Self>, taken: Taken) -> Option<Taken> {
        let mut state = self.state();
        if state.is_closed || taken.at.elapsed() >= KEEP_LIMIT {
            return Some(taken);
        }
        state.waiting.push(Waiting { taken, since: Instant::now() });
        if !state.is_swept {
            state.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        None
    }

    /// Takes out the connections that wait too long. `None` if no others wait.
    fn old(&self) -> (Vec<Taken>, bool) {
        let mut state = self.state();
        // Those that wait longest come first.
        let old = state.waiting.iter().take_while(|one| one.since.elapsed() >= WARM).count();
        let old = state.waiting.drain(..old).map(|one| one.taken).collect();
        state.is_swept = !state.waiting.is_empty();
        (old, state.is_swept)
    }

    /// Returns all connections, and keeps no more.
    pub(crate) async fn close(&self) {
        let waiting = {
            let mut state = self.state();
            state.is_closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.give_all_back(waiting.into_iter().map(|one| one.taken)).await;
    }

    /// The number of connections that wait.
    pub(crate) fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Returns a connection to the driver's pool, or closes it if enough are unused there.
    pub(crate) async fn give_back(&self, taken: Taken) {
        match self.room() {
            Some(_returning) => taken.give_back().await,
            None => taken.close().await,
        }
    }

    async fn give_all_back(&self, connections: impl IntoIterator<Item = Taken>) {
        join_all(connections.into_iter().map(|taken| self.give_back(taken))).await;
    }

    /// Room for one more unused connection in the driver's pool. Those on their way count, so that
    /// several that come back at once are not too many.
    fn room(&self) -> Option<Returning<'_>> {
        let mut state = self.state();
        if self.shared.num_idle() + state.returning >= self.max_idle {
            return None;
        }
        state.returning += 1;
        Some(Returning(self))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state stays valid when a caller panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the connections that wait too long, until none waits.
async fn sweep(warm: Weak<Warm>) {
    loop {
        tokio::time::sleep(WARM).await;
        let Some(warm) = warm.upgrade() else { return };
        let (old, is_more) = warm.old();
        warm.give_all_back(old).await;
        if !is_more {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
