//! The JetStream stream: how it must be configured, and the calls that look at it and make it.
//! Decides nothing.

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
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::lease::Term;
use crate::message::{MIN_MAX_PAYLOAD, STREAM, SUBJECTS};
use crate::nats::{NatsHandle, REQUEST_TIMEOUT};
use crate::relay::resume::ResumeError;
use crate::relay::target::TargetError;

/// In the stream's metadata: the history that it carries.
pub(super) const META_EPOCH: &str = "daybook-epoch";
/// In the stream's metadata: the term of the relay that led last.
pub(super) const META_TERM: &str = "daybook-term";
/// Atomic batches came with this version.
const OLDEST_SERVER: (i64, i64, i64) = (2, 12, 0);

/// Why the broker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum BrokerError {
    /// No connection, or no answer in time.
    #[error("NATS does not answer: {0}")]
    Away(String),
    /// It answers, but cannot be used as it is.
    #[error("NATS cannot be used: {0}")]
    Unfit(String),
    /// It refused the call.
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

/// What the stream may take, where the limits are the operator's to choose.
#[derive(Debug, Clone)]
pub struct StreamLimits {
    /// The most messages kept; older ones are discarded.
    pub max_messages: i64,
    /// The most bytes kept; -1 is no limit.
    pub max_bytes: i64,
    /// How many servers of a NATS cluster keep it.
    pub replicas: usize,
}

/// The stream on the broker.
#[derive(Debug, Clone)]
pub(super) struct Broker {
    nats: NatsHandle,
    limits: StreamLimits,
}

/// The server takes an empty object, not null, where a call has no body.
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

    /// Refuses a server that is absent, too old or too narrow.
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

    /// What the stream is now; `None` when there is none.
    pub(super) async fn info(&self) -> Result<Option<Info>, BrokerError> {
        match self.api("STREAM.INFO", &NoBody {}).await {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.is_refusal(ErrorCode::STREAM_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The headers of the message at a sequence, asked of the stream's leader; `None` when it is
    /// not there.
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

    /// Makes the stream, its first message to come at `first`.
    pub(super) async fn create(
        &self,
        epoch: Epoch,
        term: Term,
        first: Position,
    ) -> Result<Info, BrokerError> {
        let first_sequence = u64::try_from(first.0).ok().filter(|first| *first > 1);
        self.api("STREAM.CREATE", &Config { first_sequence, ..self.wanted(epoch, term) }).await
    }

    /// Brings the configuration of the stream up to date, where it differs.
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

    /// Deletes the stream; one that is not there is as good.
    pub(super) async fn delete(&self) -> Result<(), BrokerError> {
        match self.api::<_, Deleted>("STREAM.DELETE", &NoBody {}).await {
            Ok(Deleted { success: true }) => Ok(()),
            Ok(Deleted { success: false }) => {
                Err(BrokerError::Unfit(format!("the stream {STREAM} cannot be deleted")))
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

/// The client's own limit begins once the request is in its queue, which is full behind a silent
/// server.
async fn within<T>(request: impl Future<Output = T>) -> Result<T, BrokerError> {
    let answer = tokio::time::timeout(REQUEST_TIMEOUT, request).await;
    answer.map_err(|_| BrokerError::Away("no answer in time".to_owned()))
}

/// The server adds metadata and defaults of its own: only what is ours counts.
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
