//! What every call to a port carries.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What every call to a port carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The key of what the call does. All attempts at the same thing have the same key, and two
    /// different things never do.
    pub key: Uuid,
    /// When the first attempt was sent, or earlier. Look-ups search from here on.
    pub since: DateTime<Utc>,
    /// When the last attempt began, or later. Look-ups search up to here; `None` for now.
    pub until: Option<DateTime<Utc>>,
    /// The W3C trace context that the call belongs to.
    pub traceparent: Option<String>,
    /// The time limit of the call with all its attempts, if it is shorter than that of the target.
    pub limit: Option<Duration>,
}

impl Call {
    /// A call outside any trace, with the time limit of its target.
    pub const fn new(key: Uuid, since: DateTime<Utc>) -> Self {
        Self { key, since, until: None, traceparent: None, limit: None }
    }
}
