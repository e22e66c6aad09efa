//! Limits that several parts of the engine share.

use std::time::Duration;

/// How long connecting to the read model may take.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(3);
