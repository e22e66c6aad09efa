//! The port to a destination of events: a receiver of webhooks ([`crate::receiver::Receiver`]), or
//! a queue. Feeds, retries and replays know nothing else of it.

use std::time::Duration;

use crate::message::Message;

/// Something that takes messages, each at least once.
pub trait Destination: Send + Sync {
    /// Delivers one message within a limit of its own. Dropping the future stops the attempt, of
    /// which nothing is known then.
    fn deliver(&self, message: &Message) -> impl Future<Output = Outcome> + Send;
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The destination has taken the message.
    Delivered,
    /// It has not, or nobody knows.
    Failed(Failure),
    /// Nothing was sent, because the destination keeps failing. It does not count as an attempt.
    Unsent {
        /// After what time an attempt makes sense.
        after: Duration,
    },
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// The HTTP status of the answer, if there is one.
    pub status: Option<u16>,
    /// How long the destination asks us to wait.
    pub retry_after: Option<Duration>,
}

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// It answered that it did not take the message.
    Status,
    /// It answered 410: it wants no more messages.
    Gone,
    /// It did not answer in time.
    TimedOut,
    /// No connection could be made, or its address is one that may not be reached.
    Unreachable,
    /// The connection broke before the answer.
    Lost,
    /// The log does not have the event any more, or it cannot be written.
    NoEvent,
}

impl FailureKind {
    /// The name, as in the tables and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Gone => "gone",
            Self::TimedOut => "timed-out",
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
            Self::NoEvent => "no-event",
        }
    }
}

impl Failure {
    /// A failure without an answer.
    pub const fn without_answer(kind: FailureKind) -> Self {
        Self { kind, status: None, retry_after: None }
    }
}
