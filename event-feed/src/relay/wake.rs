//! Wake-ups: LISTEN on a separate connection, outside any transaction. They are only a hint,
//! because the leader also polls.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use postgres_kit::Listener;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The pause before reconnecting.
const RETRY: Duration = Duration::from_secs(1);
/// How long connecting, and each check of the server, may take.
const LIMIT: Duration = Duration::from_secs(2);
/// How long it may be quiet before the server is pinged. Polling covers the time until a silent
/// server is noticed.
const QUIET: Duration = Duration::from_secs(5);

/// Listens until it is dropped.
pub(super) struct Wake {
    woken: Arc<Notify>,
    listening: JoinHandle<()>,
}

impl Wake {
    /// Starts listening on `channel`.
    pub(super) fn start(connect: PgConnectOptions, channel: &'static str) -> Self {
        let woken = Arc::new(Notify::new());
        let listening = tokio::spawn(listen(connect, channel, Arc::clone(&woken)));
        Self { woken, listening }
    }

    /// Waits for the next wake-up. One that came since the last call counts.
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
        tracing::debug!(%error, "not listening for wake-ups; still polling");
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
        // Notifications before the connection was up are lost, so look at once.
        woken.notify_one();
        listener.heard().await?;
    }
}
