//! The JetStream stream: its required configuration, and the calls to inspect and create it. It
//! makes no decisions.

use std::collections::HashMap;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::RequestErrorKind;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, LastRawMessageErrorKind, RawMessageErrorKind, RetentionPolicy,
    StorageType,
};
use async_nats::{HeaderMap, jetstream};
use event_store::{Epoch, Position};
use nats_kit::{NatsHandle, REQUEST_TIMEOUT};
use postgres_kit::Term;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::message::{MIN_MAX_PAYLOAD, STREAM, SUBJECTS};
use crate::relay::resume::ResumeError;
use crate::relay::target::TargetError;

/// The metadata key of the epoch that the stream carries.
pub(super) const META_EPOCH: &str = "daybook-epoch";
/// The metadata key of the term of the last leading relay.
pub(super) const META_TERM: &str = "daybook-term";
/// The oldest supported server version, which introduced atomic batches.
const OLDEST_SERVER: (i64, i64, i64) = (2, 12, 0);

/// Why a call to the broker failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    /// There is no connection, or no answer in time.
    #[error("NATS does not answer: {0}")]
    Away(String),
    /// The broker answers, but cannot be used in its current state.
    #[error("NATS cannot be used: {0}")]
    Unfit(String),
    /// The broker refused the call.
    #[error("NATS refused: {0}")]
    Refused(jetstream::Error),
}

impl BrokerError {
    pub(super) fn is_refusal(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Refused(error) if error.error_code() == code)
    }
}

impl From<BrokerError> for TargetError {
    fn from(error: BrokerError) -> Self {
        Self(error.to_string())
    }
}

impl From<BrokerError> for ResumeError {
    fn from(error: BrokerError) -> Self {
        Self::Target(error.into())
    }
}

/// The limits of the stream that operators choose.
#[derive(Debug, Clone)]
pub struct StreamLimits {
    /// The maximum number of messages kept. Older ones are discarded.
    pub max_messages: i64,
    /// The maximum number of bytes kept; -1 means no limit.
    pub max_bytes: i64,
    /// The number of replicas in a NATS cluster.
    pub replicas: usize,
}

/// The stream on the broker.
#[derive(Debug, Clone)]
pub(super) struct Broker {
    nats: NatsHandle,
    limits: StreamLimits,
}

/// An empty object as a request body. The server does not accept null.
#[derive(Serialize)]
struct NoBody {}

#[derive(Deserialize)]
struct Deleted {
    success: bool,
}

impl Broker {
    pub(super) fn new(nats: NatsHandle, limits: StreamLimits) -> Self {
        Self { nats, limits }
    }

    /// Refuses a server that is absent, too old, or has a too small `max_payload`.
    pub(super) fn check_server(&self) -> Result<(), BrokerError> {
        let info = self.nats.client().try_server_info().filter(|_| self.nats.is_connected());
        let info = info.ok_or_else(|| BrokerError::Away("not connected".to_owned()))?;
        let (major, minor, patch) = OLDEST_SERVER;
        if !self.nats.client().is_server_compatible(major, minor, patch) {
            return Err(BrokerError::Unfit(format!(
                "nats-server {} is older than {major}.{minor}",
                info.version
            )));
        }
        if info.max_payload < MIN_MAX_PAYLOAD {
            let found = info.max_payload;
            return Err(BrokerError::Unfit(format!(
                "max_payload is {found}; at least {MIN_MAX_PAYLOAD} bytes are needed"
            )));
        }
        Ok(())
    }

    /// The current state of the stream; `None` if it does not exist.
    pub(super) async fn info(&self) -> Result<Option<Info>, BrokerError> {
        match self.api("STREAM.INFO", &NoBody {}).await {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.is_refusal(ErrorCode::STREAM_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the headers of a message by sequence from the stream's leader; `None` if there is no
    /// such message.
    pub(super) async fn headers_at(&self, sequence: u64) -> Result<Option<HeaderMap>, BrokerError> {
        let context = self.nats.jetstream();
        let stream = within(context.get_stream_no_info(STREAM)).await?;
        let stream = stream.map_err(|error| BrokerError::Away(error.to_string()))?;
        match within(stream.get_raw_message(sequence)).await? {
            Ok(message) => Ok(Some(message.headers)),
            Err(error) => match error.kind() {
                RawMessageErrorKind::NoMessageFound => Ok(None),
                LastRawMessageErrorKind::JetStream(refusal) => Err(BrokerError::Refused(refusal)),
                other => Err(BrokerError::Away(other.to_string())),
            },
        }
    }

    /// Creates the stream. Its first message will have the sequence `first`.
    pub(super) async fn create(
        &self,
        epoch: Epoch,
        term: Term,
        first: Position,
    ) -> Result<Info, BrokerError> {
        let first_sequence = u64::try_from(first.0).ok().filter(|first| *first > 1);
        self.api("STREAM.CREATE", &Config { first_sequence, ..self.wanted(epoch, term) }).await
    }

    /// Updates the stream's configuration if it differs.
    pub(super) async fn update(
        &self,
        info: &Info,
        epoch: Epoch,
        term: Term,
    ) -> Result<(), BrokerError> {
        let wanted =
            Config { first_sequence: info.config.first_sequence, ..self.wanted(epoch, term) };
        if is_as_wanted(&info.config, &wanted) {
            return Ok(());
        }
        self.api::<_, Info>("STREAM.UPDATE", &wanted).await.map(drop)
    }

    /// Deletes the stream, if it exists.
    pub(super) async fn delete(&self) -> Result<(), BrokerError> {
        match self.api::<_, Deleted>("STREAM.DELETE", &NoBody {}).await {
            Ok(Deleted { success: true }) => Ok(()),
            Ok(Deleted { success: false }) => {
                Err(BrokerError::Unfit(format!("could not delete the stream {STREAM}")))
            }
            Err(error) if error.is_refusal(ErrorCode::STREAM_NOT_FOUND) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn wanted(&self, epoch: Epoch, term: Term) -> Config {
        Config {
            name: STREAM.to_owned(),
            description: Some(
                "The log's newest events, in order; a copy: the event store is the truth"
                    .to_owned(),
            ),
            subjects: vec![SUBJECTS.to_owned()],
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            max_messages: self.limits.max_messages,
            max_bytes: self.limits.max_bytes,
            max_messages_per_subject: -1,
            max_consumers: -1,
            max_message_size: -1,
            num_replicas: self.limits.replicas,
            deny_delete: true,
            deny_purge: true,
            allow_direct: true,
            allow_atomic_publish: true,
            metadata: HashMap::from([
                (META_EPOCH.to_owned(), epoch.to_string()),
                (META_TERM.to_owned(), term.0.to_string()),
            ]),
            ..Config::default()
        }
    }

    async fn api<P: Serialize, T: DeserializeOwned>(
        &self,
        call: &str,
        payload: &P,
    ) -> Result<T, BrokerError> {
        match within(self.nats.jetstream().request(format!("{call}.{STREAM}"), payload)).await? {
            Ok(Response::Ok(answer)) => Ok(answer),
            Ok(Response::Err { error }) => Err(BrokerError::Refused(error)),
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                Err(BrokerError::Unfit("JetStream is not enabled, or not for this user".to_owned()))
            }
            Err(error) => Err(BrokerError::Away(error.to_string())),
        }
    }
}

/// Limits the whole request. The client's own limit starts only when the request is in its queue,
/// which is full if the server is silent.
async fn within<T>(request: impl Future<Output = T>) -> Result<T, BrokerError> {
    let answer = tokio::time::timeout(REQUEST_TIMEOUT, request).await;
    answer.map_err(|_| BrokerError::Away("no answer in time".to_owned()))
}

/// Compares only our own settings, because the server adds metadata and defaults.
fn is_as_wanted(found: &Config, wanted: &Config) -> bool {
    let ours = |c: &Config| {
        (
            (
                c.subjects.clone(),
                c.discard,
                c.max_messages,
                c.max_bytes,
                c.max_messages_per_subject,
                c.max_consumers,
            ),
            (
                c.max_message_size,
                c.num_replicas,
                c.deny_delete,
                c.deny_purge,
                c.allow_direct,
                c.allow_atomic_publish,
            ),
            (
                c.max_age,
                c.metadata.get(META_EPOCH).cloned(),
                c.metadata.get(META_TERM).cloned(),
                c.description.clone(),
            ),
        )
    };
    ours(found) == ours(wanted)
}
