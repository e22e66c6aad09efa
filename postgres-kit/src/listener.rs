//! A connection that receives notifications (`LISTEN`).

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Executor as _, Result};
use tokio::time::timeout;

use crate::deadline::{gone, within};

/// Receives the notifications of one channel. After a quiet time it pings the server, so that a
/// dead server is noticed.
pub struct Listener {
    raw: PgListener,
    quiet: Duration,
    limit: Duration,
}

impl Listener {
    /// Connects and listens on `channel`, each within `limit`. After `quiet` without a
    /// notification, [`Listener::heard`] pings the server, again within `limit`.
    ///
    /// # Errors
    /// Postgres's error, or [`crate::silent`]'s if Postgres did not answer in time.
    pub async fn open(
        options: &PgConnectOptions,
        channel: &str,
        quiet: Duration,
        limit: Duration,
    ) -> Result<Self> {
        // The driver's listener takes its connection out of a pool.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(limit)
            .connect_lazy_with(options.clone());
        let mut raw = within(limit, PgListener::connect_with(&pool)).await?;
        // An automatic reconnect would lose notifications without a word.
        raw.eager_reconnect(false);
        within(limit, raw.listen(channel)).await?;
        Ok(Self { raw, quiet, limit })
    }

    /// Waits for the next notification.
    ///
    /// # Errors
    /// The connection ended, or the server no longer answers. Open a new listener; notifications in
    /// between are lost.
    pub async fn heard(&mut self) -> Result<()> {
        loop {
            match timeout(self.quiet, self.raw.try_recv()).await {
                Ok(Ok(Some(_))) => return Ok(()),
                Ok(Ok(None)) => return Err(gone()),
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    within(self.limit, self.raw.execute("SELECT 1")).await?;
                }
            }
        }
    }
}
