//! The wake-up: LISTEN on a connection of its own, outside any transaction. A hint only: the leader polls as well.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long to wait before the connection is made anew.
const RETRY: Duration = Duration::from_secs(1);
const ACQUIRE_LIMIT: Duration = Duration::from_secs(2);

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
        let error = match listener(&connect, channel).await {
            Ok(mut listener) => loop {
                // What was notified before the connection stood is lost: look at once.
                woken.notify_one();
                // Its own way to connect again says nothing when it fails; an end of the connection is ours to handle.
                match listener.try_recv().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break "the connection ended".to_owned(),
                    Err(error) => break error.to_string(),
                }
            },
            Err(error) => error.to_string(),
        };
        tracing::debug!(error, "not listening for wake-ups; polling goes on");
        tokio::time::sleep(RETRY).await;
    }
}

async fn listener(connect: &PgConnectOptions, channel: &str) -> Result<PgListener, sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_LIMIT).connect_lazy_with(connect.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    Ok(listener)
}
