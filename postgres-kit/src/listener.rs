//! A connection that hears notifications.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Executor as _, Result};
use tokio::time::timeout;

use crate::deadline::{gone, within};

/// Hears the notifications of one channel. A server that says nothing is asked now and then whether
/// it is still there, so that one that is silent for good is left.
pub struct Listener {
    raw: PgListener,
    quiet: Duration,
    limit: Duration,
}

impl Listener {
    /// Connects and listens on `channel`, each within `limit`. After `quiet` without a notification
    /// the server is asked for a sign, for which it has `limit` again.
    ///
    /// # Errors
    /// What Postgres said; [`crate::silent`]'s error when it said nothing.
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
        // It would reconnect without saying so, and what was notified meanwhile would be lost.
        raw.eager_reconnect(false);
        within(limit, raw.listen(channel)).await?;
        Ok(Self { raw, quiet, limit })
    }

    /// Waits for the next notification.
    ///
    /// # Errors
    /// The connection ended, or the server gives no sign any more: open another one. What was
    /// notified in between is lost.
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
