//! What a target answers, and whether to ask again.

use std::fmt;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use crate::effect::Effect;

/// The answer of a target. Its `Debug` shows only the status: the body may hold personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers, as the target sent them.
    pub headers: HeaderMap,
    /// The whole body, within [`Settings::max_answer`](crate::Settings::max_answer).
    pub body: Bytes,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status.as_u16(), self.body.len())
    }
}

/// What an answer means for the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This is the answer, good or bad. Another attempt would get the same one.
    Final,
    /// Another attempt may get a better one. The effect is that of the attempt that got this one.
    Again(Effect),
}

/// Judges an answer by its status, as HTTP defines it. A call with 429 took no effect. With 408,
/// 500, 502, 503 or 504 it may have taken effect. All others are final.
pub fn judge(answer: &Answer) -> Verdict {
    match answer.status.as_u16() {
        429 => Verdict::Again(Effect::None),
        408 | 500 | 502 | 503 | 504 => Verdict::Again(Effect::Unknown),
        _ => Verdict::Final,
    }
}
