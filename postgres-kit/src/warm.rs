//! Connections between two calls. The driver's pool asks the server whether a returned connection
//! is alive, which costs a round trip for each call. A connection whose call ended well is alive,
//! so it waits here for the next call. One that waits too long goes back to the driver's pool.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures::future::join_all;
use sqlx::pool::PoolConnection;
use sqlx::postgres::Postgres;
use tokio::time::timeout;

/// A connection used this recently is reused without a ping. If it broke since, its call fails.
pub(crate) const WARM: Duration = Duration::from_secs(1);
/// How long the ping of a returned connection may take.
const RETURN_LIMIT: Duration = Duration::from_secs(2);
/// After this time a connection goes back to the driver's pool even if it is always in use. That
/// replaces connections that are too old.
const KEEP_LIMIT: Duration = Duration::from_secs(10);

/// The connections of one pool that are between two calls.
#[derive(Debug, Default)]
pub(crate) struct Warm {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The one used last is the last one.
    waiting: Vec<Waiting>,
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
    pub(crate) async fn give_back(mut self) {
        if let Some(mut connection) = self.connection.take()
            && timeout(RETURN_LIMIT, connection.return_to_pool()).await.is_err()
        {
            tracing::debug!("a returned connection did not answer its ping");
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

impl Warm {
    /// The connection that was used last, if it was used recently. Connections that `is_doubtful`
    /// returns true for are closed. It gets two times: since the connection was taken from the
    /// driver's pool, and since its last call.
    pub(crate) fn take(&self, is_doubtful: impl Fn(Duration, Duration) -> bool) -> Option<Taken> {
        let mut doubtful = Vec::new();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let idle = state.waiting.last()?.since.elapsed();
            if idle >= WARM {
                // All others wait longer. The driver's pool needs their places.
                let old: Vec<_> = state.waiting.drain(..).map(|one| one.taken).collect();
                drop(state);
                tokio::spawn(give_back(old));
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
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that wait longest come first.
        let old = state.waiting.iter().take_while(|one| one.since.elapsed() >= WARM).count();
        let old = state.waiting.drain(..old).map(|one| one.taken).collect();
        state.is_swept = !state.waiting.is_empty();
        (old, state.is_swept)
    }

    /// Returns all connections, and keeps no more.
    pub(crate) async fn close(&self) {
        let waiting = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.is_closed = true;
            std::mem::take(&mut state.waiting)
        };
        give_back(waiting.into_iter().map(|one| one.taken)).await;
    }

    /// The number of connections that wait.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.len()
    }
}

async fn give_back(connections: impl IntoIterator<Item = Taken>) {
    join_all(connections.into_iter().map(Taken::give_back)).await;
}

/// Returns the connections that wait too long, until none waits.
async fn sweep(warm: Weak<Warm>) {
    loop {
        tokio::time::sleep(WARM).await;
        let Some((old, is_more)) = warm.upgrade().map(|warm| warm.old()) else { return };
        give_back(old).await;
        if !is_more {
            return;
        }
    }
}
