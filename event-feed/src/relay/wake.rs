//! The wake-up: LISTEN on a connection of its own, outside any transaction. A hint only: the leader
//! polls as well.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use postgres_kit::Listener;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long to wait before the connection is made anew.
const RETRY: Duration = Duration::from_secs(1);
/// How long connecting, and each sign that the server is still there, may take.
const LIMIT: Duration = Duration::from_secs(2);
/// How long it may be quiet before the server is asked for a sign. Until one that is silent is
/// left, polling goes on.
const QUIET: Duration = Duration::from_secs(5);

/// Listens while it lives.
pub(super) struct Wake {
    woken: Arc<Notify>,
    listening: JoinHandle<()>,
}

impl Wake {
    /// Starts to listen on `channel`.
    pub(super) fn start(connect: PgConnectOptions, channel: &'static str) -> Self {
        let woken = Arc::new(Notify::new());
        let listening = tokio::spawn(listen(connect, channel, Arc::clone(&woken)));
        Self { woken, listening }
    }

    /// Waits for the next wake-up; one that came in between counts.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(connect: PgConnectOptions, channel: &'static str, woken: Arc<Notify>) {
    loop {
        let Err(error) = hear(&connect, channel, &woken).await;
        tracing::debug!(%error, "not listening for wake-ups; polling goes on");
        tokio::time::sleep(RETRY).await;
    }
}

async fn hear(
    connect: &PgConnectOptions,
    channel: &str,
    woken: &Notify,
) -> Result<Infallible, sqlx::Error> {
    let mut listener = Listener::open(connect, channel, QUIET, LIMIT).await?;
    loop {
        // What was notified before the connection stood is lost: look at once.
        woken.notify_one();
        listener.heard().await?;
    }
}
