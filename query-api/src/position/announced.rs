//! Checkpoint updates from NATS. Without NATS, a waiting query only answers some milliseconds
//! later.

use std::time::Duration;

use futures::StreamExt as _;
use nats_kit::NatsHandle;
use service_kit::health::Component;
use tokio_util::sync::CancellationToken;

use super::{CheckpointUpdate, Watcher};

const SUBJECTS: &str = "checkpoints.*";
/// How long the connection may take to send the subscription.
const CONFIRM_LIMIT: Duration = Duration::from_secs(2);
/// The interval of looks at the connection, for health.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The pause before subscribing again, after the subscription failed or ended.
const REST: Duration = Duration::from_secs(1);

/// The message that the projector sends after each commit. It has more fields, which are not needed
/// here.
#[derive(Debug, serde::Deserialize)]
struct Announcement {
    projection: String,
    #[serde(flatten)]
    said: CheckpointUpdate,
}

/// Listens until cancelled. The connection is made again as often as needed.
pub async fn listen(
    watcher: Watcher,
    nats: NatsHandle,
    health: Component,
    stop: CancellationToken,
) {
    let rounds = async {
        loop {
            let error = hear(&watcher, &nats, &health).await;
            health.not_ready(error.to_string());
            tokio::time::sleep(REST).await;
        }
    };
    stop.run_until_cancelled(rounds).await;
}

#[derive(Debug, thiserror::Error)]
enum HearError {
    #[error("the subscription was refused: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
    #[error("NATS took no subscription within {} s", CONFIRM_LIMIT.as_secs())]
    Silent(#[from] tokio::time::error::Elapsed),
    #[error("the subscription ended")]
    Ended,
}

/// Listens until the subscription ends. The client subscribes again after every reconnect.
async fn hear(watcher: &Watcher, nats: &NatsHandle, health: &Component) -> HearError {
    let subscribing = tokio::time::timeout(CONFIRM_LIMIT, nats.client().subscribe(SUBJECTS));
    let mut announcements = match subscribing.await {
        Ok(Ok(announcements)) => announcements,
        Ok(Err(error)) => return error.into(),
        Err(error) => return error.into(),
    };
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            announcement = announcements.next() => match announcement {
                Some(message) => take(watcher, &message),
                None => return HearError::Ended,
            },
            _ = looks.tick() => report(nats, health).await,
        }
    }
}

/// Reports whether announcements can come: the server has what was sent to it.
async fn report(nats: &NatsHandle, health: &Component) {
    if !nats.is_connected() {
        health.not_ready("disconnected");
    } else if !health.is_ready() {
        match tokio::time::timeout(CONFIRM_LIMIT, nats.client().flush()).await {
            Ok(Ok(())) => health.ready(),
            Ok(Err(error)) => health.not_ready(error.to_string()),
            Err(_) => health.not_ready("the connection takes no message"),
        }
    }
}

fn take(watcher: &Watcher, message: &async_nats::Message) {
    match serde_json::from_slice::<Announcement>(&message.payload) {
        Ok(announced) => watcher.moved(&announced.projection, announced.said),
        Err(error) => {
            tracing::warn!(%error, subject = %message.subject, "an announcement could not be \
                read");
        }
    }
}
