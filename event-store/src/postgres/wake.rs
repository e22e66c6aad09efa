//! Wakes the relay with a debounced, empty notification after commits, on another connection.
//!
//! NOTIFY serialises the commits that carry it, so appends have none. The notification is a hint:
//! the relay polls anyway.

use std::time::Duration;

use postgres_kit::Pool;
use tokio::sync::mpsc;

/// The channel on which only the relay LISTENs.
pub const WAKE_CHANNEL: &str = "event_store_appended";
/// The shortest pause between two notifications, used while appends come one at a time.
const PAUSE_LEAST: Duration = Duration::from_millis(1);
/// The longest pause between two notifications. Under continuous appends the pause doubles up to
/// it: the relay is busy then, and each notification costs a commit.
const PAUSE_MOST: Duration = Duration::from_millis(10);

/// Requests wake-ups. A request is cheap, and many at once cause one notification.
#[derive(Clone)]
pub(crate) struct Waker(mpsc::Sender<()>);

impl Waker {
    /// Starts the task that notifies. It ends with the last `Waker`.
    pub(crate) fn start(pool: Pool) -> Self {
        let (wake, wanted) = mpsc::channel(1);
        tokio::spawn(run(wanted, pool));
        Self(wake)
    }

    pub(crate) fn wake(&self) {
        if self.0.try_send(()).is_err() {
            tracing::trace!("a wake-up is on its way already");
        }
    }
}

async fn run(mut wanted: mpsc::Receiver<()>, pool: Pool) {
    let mut pause = PAUSE_LEAST;
    while wanted.recv().await.is_some() {
        if let Err(error) = sqlx::query_file!("sql/wake_relay.sql").execute(&pool).await {
            tracing::debug!(%error, "the relay was not woken; it polls");
        }
        tokio::time::sleep(pause).await;
        pause = if wanted.is_empty() { PAUSE_LEAST } else { (pause * 2).min(PAUSE_MOST) };
    }
}
