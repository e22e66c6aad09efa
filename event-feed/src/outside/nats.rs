//! A durable consumer of the JetStream stream, for programs that have no access to the log.
//!
//! An event is acknowledged after its effects were committed, or after it was stored as a dead
//! letter. NATS delivers it again after a delay if it failed, and counts the deliveries. Dead
//! letters are in a stream of this consumer, `DEAD_<name>`.
//!
//! The stream of events keeps no copy for a retry, and what it holds stays encrypted, so only dead
//! letters have to be blanked. A stream that was lost and created again begins one refill window
//! before the head, and the consumer with it.

use std::convert::Infallible;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{AckKind, Message};
use futures::StreamExt as _;
use postgres_kit::Pauses;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::policy::{Retries, Step};
use super::receiver::{Incoming, Receiver};
use super::taking::{Drained, Taking};
use crate::message::{STREAM, decode};
use crate::nats::{NatsHandle, REQUEST_TIMEOUT};

mod letters;

use letters::Letters;

/// The first pause after an error. It doubles up to [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// The time without a sign from the consumer after which NATS delivers an event again.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// How often the consumer shows that it still works on an event.
const PROGRESS: Duration = Duration::from_secs(10);
/// How often NATS shows that a subscription is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long one request for events waits.
const EXPIRES: Duration = Duration::from_secs(30);

/// The limits of a consumer.
#[derive(Debug, Clone)]
pub struct NatsConsumerSettings {
    /// The subjects of the events that it gets, such as `events.order.*`; all if it is empty.
    pub subjects: Vec<String>,
    /// How often an event is tried.
    pub retries: Retries,
    /// The maximum number of events that are not acknowledged, including those that wait to be
    /// tried again.
    pub unacknowledged: u16,
    /// How long the receiver may take for one event.
    pub limit: Duration,
}

impl Default for NatsConsumerSettings {
    fn default() -> Self {
        Self {
            subjects: Vec::new(),
            retries: Retries::default(),
            unacknowledged: 1_000,
            limit: Duration::from_secs(30),
        }
    }
}

/// The name cannot be the name of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a consumer: letters, digits, hyphens and underscores")]
pub struct InvalidConsumerName(String);

/// Why a subscription ended. The consumer subscribes again.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("NATS: {0}: {1}")]
    Failed(&'static str, String),
    #[error("NATS does not answer in time: {0}")]
    Silent(&'static str),
    #[error("NATS ended the subscription")]
    Ended,
    #[error("the process is stopping")]
    Drained,
}

impl From<Drained> for Interrupted {
    fn from(_: Drained) -> Self {
        Self::Drained
    }
}

/// Waits for NATS's answer to a call.
async fn called<T, E: std::fmt::Display>(
    what: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, Interrupted> {
    match timeout(REQUEST_TIMEOUT, call).await {
        Ok(answered) => answered.map_err(|error| Interrupted::Failed(what, error.to_string())),
        Err(_) => Err(Interrupted::Silent(what)),
    }
}

/// Hands the events of the stream to a receiver. Copies of one name share the events, so run one
/// copy if the order matters.
pub struct NatsConsumer<R> {
    nats: NatsHandle,
    name: String,
    subjects: Vec<String>,
    unacknowledged: u16,
    taking: Taking<R>,
}

impl<R: Receiver> NatsConsumer<R> {
    /// Creates a consumer with this durable name.
    ///
    /// # Errors
    /// [`InvalidConsumerName`].
    pub fn new(
        nats: NatsHandle,
        name: &str,
        settings: NatsConsumerSettings,
        receiver: R,
    ) -> Result<Self, InvalidConsumerName> {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if name.is_empty() || !name.chars().all(is_valid) {
            return Err(InvalidConsumerName(name.to_owned()));
        }
        let NatsConsumerSettings { subjects, retries, unacknowledged, limit } = settings;
        let taking = Taking::new(receiver, retries, limit);
        Ok(Self { nats, name: name.to_owned(), subjects, unacknowledged, taking })
    }

    /// Runs until `drain` is cancelled, then finishes the current event.
    pub async fn run(mut self, drain: CancellationToken) {
        let mut pauses = Pauses::new(RETRY_FIRST, RETRY_MOST);
        while !drain.is_cancelled() {
            match self.session(&drain, &mut pauses).await {
                Ok(()) | Err(Interrupted::Drained) => return,
                Err(error) => {
                    tracing::warn!(consumer = self.name, %error, "interrupted: will retry");
                    tokio::select! {
                        () = tokio::time::sleep(pauses.next_pause()) => {}
                        () = drain.cancelled() => return,
                    }
                }
            }
        }
    }

    /// Consumes with one subscription until `drain` is cancelled.
    async fn session(
        &mut self,
        drain: &CancellationToken,
        pauses: &mut Pauses,
    ) -> Result<(), Interrupted> {
        let letters = Letters::open(&self.nats, &self.name).await?;
        let stream = called("find the stream", self.nats.jetstream().get_stream(STREAM)).await?;
        let consumer = called("declare the consumer", stream.create_consumer(self.config())).await?;
        let messages = consumer.stream().heartbeat(HEARTBEAT).expires(EXPIRES);
        let mut messages = called("subscribe", messages.messages()).await?;
        tracing::info!(consumer = self.name, "subscribed");
        loop {
            let message = tokio::select! {
                biased;
                () = drain.cancelled() => return Ok(()),
                message = messages.next() => message.ok_or(Interrupted::Ended)?,
            };
            let message =
                message.map_err(|error| Interrupted::Failed("receive", error.to_string()))?;
            let answer = self.handle(&letters, &message, drain).await?;
            called("acknowledge", message.double_ack_with(answer)).await?;
            pauses.reset();
        }
    }

    fn config(&self) -> pull::Config {
        pull::Config {
            durable_name: Some(self.name.clone()),
            ack_policy: AckPolicy::Explicit,
            deliver_policy: DeliverPolicy::All,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            max_ack_pending: self.unacknowledged.into(),
            filter_subjects: self.subjects.clone(),
            ..pull::Config::default()
        }
    }

    /// Handles one event, and returns what to tell NATS.
    async fn handle(
        &mut self,
        letters: &Letters,
        message: &Message,
        drain: &CancellationToken,
    ) -> Result<AckKind, Interrupted> {
        let headers = message.headers.clone().unwrap_or_default();
        let decoded = match decode(&message.subject, &headers, &message.payload) {
            Ok(decoded) => decoded,
            Err(error) => {
                tracing::error!(consumer = self.name, %error, "a message is no event");
                let payload = message.payload.clone();
                letters.add(headers, payload, 1, Some(&error.to_string())).await?;
                return Ok(AckKind::Ack);
            }
        };
        let info = message.info();
        let delivered = info.map_err(|error| Interrupted::Failed("receive", error.to_string()))?;
        let attempts = u32::try_from(delivered.delivered.saturating_sub(1)).unwrap_or(u32::MAX);
        let mut incoming = Incoming::new(decoded, attempts);
        let handling = async {
            if attempts > 0 {
                self.taking.blank(&mut incoming, drain).await?;
            }
            self.taking.step(&incoming, drain).await
        };
        let (attempts, reason) = match working_on(message, handling).await? {
            Step::Acknowledge => {
                if let Some(subject) = incoming.erased_subject() {
                    working_on(message, letters.blank(subject)).await?;
                }
                return Ok(AckKind::Ack);
            }
            Step::Retry { attempts, delay, reason } => {
                tracing::warn!(position = %incoming.mark.position, attempts, reason, "failed");
                return Ok(AckKind::Nak(Some(delay)));
            }
            Step::Bury { attempts, reason } => (attempts, reason),
        };
        tracing::error!(position = %incoming.mark.position, attempts, "an event is a dead letter");
        let is_erased = self.taking.blank(&mut incoming, drain).await?;
        // The reason may repeat what was in the event.
        let reason = if is_erased { None } else { Some(reason.as_str()) };
        let data = incoming.event.as_ref().map(|event| event.data.get().to_owned());
        letters.add(headers, data.unwrap_or_default().into(), attempts, reason).await?;
        Ok(AckKind::Ack)
    }
}

/// Shows NATS that the consumer works on a message, until the work ends.
async fn working_on<T>(message: &Message, work: impl Future<Output = T>) -> T {
    tokio::select! {
        done = work => done,
        never = show_progress(message) => match never {},
    }
}

async fn show_progress(message: &Message) -> Infallible {
    let mut ticks = interval(PROGRESS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Err(error) = message.ack_with(AckKind::Progress).await {
            tracing::debug!(%error, "NATS cannot be told that an event is worked on");
        }
    }
}
