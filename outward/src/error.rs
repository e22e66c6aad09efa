//! Why a call failed, and whether it may have taken effect.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::address::InvalidAddress;
use crate::answer::Answer;
use crate::effect::Effect;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[error("{target}: {reason}")]
pub struct CallError {
    /// The name of the target, as in metrics.
    pub target: Arc<str>,
    /// What the last attempt met.
    #[source]
    pub reason: Reason,
    /// Whether any of the attempts may have taken effect.
    pub effect: Effect,
    /// After what time another call makes sense, if the target or the breaker says so.
    pub retry_after: Option<Duration>,
    /// How many attempts were sent.
    pub attempts: u32,
}

/// What an attempt met. No text of it has the request's address, headers or body.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The circuit breaker is open, or all its probes are under way. Nothing was sent.
    #[error("its circuit breaker is open")]
    CircuitOpen,
    /// The bulkhead is full. Nothing was sent.
    #[error("{at_once} calls to it are under way, and {waiting} more wait already")]
    Busy {
        /// The maximum number of calls at once.
        at_once: usize,
        /// The maximum number of calls that wait.
        waiting: usize,
    },
    /// The call's time ran out before anything was sent.
    #[error("no call to it ended in time to make room for this one")]
    NoRoomInTime,
    /// The target did not answer in time.
    #[error("it did not answer in time")]
    TimedOut,
    /// No connection could be made. Nothing was sent.
    #[error("it cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// The connection broke before the whole answer was there.
    #[error("the connection broke before its answer was complete")]
    Lost(#[source] Box<dyn Error + Send + Sync>),
    /// The answer is longer than it may be.
    #[error("its answer is longer than {limit} bytes")]
    TooLong {
        /// The maximum length, in bytes.
        limit: usize,
    },
    /// The target answered that another attempt is needed, and none was left.
    #[error("it answered {}", .0.status.as_u16())]
    Answered(Box<Answer>),
    /// The request's path is not below the target's address.
    #[error("the path of the request leads elsewhere")]
    Path(#[source] InvalidAddress),
    /// The idempotency key cannot be sent in a header.
    #[error("the idempotency key has characters that a header cannot have")]
    Key,
}

impl CallError {
    /// The last answer, if there is one.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.reason {
            Reason::Answered(answer) => Some(answer),
            _ => None,
        }
    }
}
