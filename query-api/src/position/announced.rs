//! Checkpoint updates from NATS. Without NATS, a waiting query only answers some milliseconds
//! later.

use std::time::Duration;

use futures::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::health::Component;
use tokio_util::sync::CancellationToken;

use super::{CheckpointUpdate, Watcher};

const SUBJECTS: &str = "checkpoints.*";
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long the server may take to confirm the subscription.
const CONFIRM_LIMIT: Duration = Duration::from_secs(2);
const PING_EVERY: Duration = Duration::from_secs(5);
/// The pause before reconnecting, after the connection failed or ended.
const REST: Duration = Duration::from_secs(1);

/// The message that the projector sends after each commit. It has more fields, which are not needed
/// here.
#[derive(Debug, serde::Deserialize)]
struct Announcement {
    projection: String,
    #[serde(flatten)]
    said: CheckpointUpdate,
}

/// Listens until cancelled, and reconnects as often as needed.
pub async fn listen(
    watcher: Watcher,
    url: SecretString,
    health: Component,
    stop: CancellationToken,
) {
    let rounds = async {
        loop {
            if let Err(error) = hear(&watcher, &url, &health).await {
                health.not_ready(error.to_string());
            }
            tokio::time::sleep(REST).await;
        }
    };
    stop.run_until_cancelled(rounds).await;
}

#[derive(Debug, thiserror::Error)]
enum HearError {
    #[error("the NATS address is not valid (expected nats://[user:password@]host[:port])")]
    Address(#[source] std::io::Error),
    #[error("NATS cannot be reached: {0}")]
    Connect(#[from] async_nats::ConnectError),
    #[error("the subscription was refused: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
    #[error("the subscription was not confirmed: {0}")]
    Flush(#[from] async_nats::client::FlushError),
    #[error("NATS did not confirm the subscription within {} s", CONFIRM_LIMIT.as_secs())]
    Silent(#[from] tokio::time::error::Elapsed),
    #[error("the subscription ended")]
    Ended,
}

async fn hear(watcher: &Watcher, url: &SecretString, health: &Component) -> Result<(), HearError> {
    let said = health.clone();
    let server: async_nats::ServerAddr = url.expose_secret().parse().map_err(HearError::Address)?;
    // The client does not take a login from the address.
    let options = match (server.username(), server.password()) {
        (Some(user), Some(password)) => {
            async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
        }
        _ => async_nats::ConnectOptions::new(),
    };
    let options = options
        .name("query-api")
        .connection_timeout(CONNECT_LIMIT)
        .ping_interval(PING_EVERY)
        .event_callback(move |event| {
            let said = said.clone();
            async move {
                match event {
                    async_nats::Event::Connected => said.ready(),
                    async_nats::Event::Disconnected => said.not_ready("disconnected"),
                    event => tracing::debug!(%event, "NATS"),
                }
            }
        });
    let client = options.connect(server).await?;
    let mut announcements = tokio::time::timeout(CONFIRM_LIMIT, async {
        let announcements = client.subscribe(SUBJECTS).await?;
        client.flush().await?;
        Ok::<_, HearError>(announcements)
    })
    .await??;
    health.ready();
    while let Some(message) = announcements.next().await {
        match serde_json::from_slice::<Announcement>(&message.payload) {
            Ok(announced) => watcher.moved(&announced.projection, announced.said),
            Err(error) => {
                tracing::warn!(%error, subject = %message.subject, "an announcement could not be \
                    read");
            }
        }
    }
    Err(HearError::Ended)
}
