//! The limits of one port: connections, clients, and bytes of request bodies.

use std::time::Duration;

use super::address::TrustedProxies;
use super::body_budget::BodyBudget;
use super::forwarded::ForwardedHeader;

/// The default maximum number of connections of a public port.
pub const MAX_CONNECTIONS: usize = 1024;
/// The default maximum number of connections per address.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 256;
/// The default maximum of request body bytes held by a process: 1,024 bodies of the largest size.
pub const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
/// How long a client may take to send a request head, counted from accept and from each answer.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// How long a client may leave an answer unread.
pub(super) const WRITE_DEADLINE: Duration = Duration::from_secs(30);
/// The maximum number of connections of the admin port. Probes and a scraper need only a few.
const MAX_ADMIN_CONNECTIONS: usize = 64;

/// The limits of one port. The defaults are those of a public port.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum number of connections. Beyond it, the connection that was idle longest is closed; if
    /// all are busy, the new one gets a 503.
    pub connections: usize,
    /// Maximum number of connections per address, and of concurrent requests per client behind a
    /// trusted proxy.
    pub per_address: usize,
    /// Proxies that are trusted to name the client. Their connections do not count by address.
    pub trusted_proxies: TrustedProxies,
    /// The header in which they name it.
    pub forwarded_header: ForwardedHeader,
    /// How long a client may take to send a request head.
    pub head_deadline: Duration,
    /// How long a client may leave an answer unread.
    pub write_deadline: Duration,
    /// The budget for request bodies held at once. Clones share one budget.
    pub bodies: BodyBudget,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            per_address: MAX_CONNECTIONS_PER_ADDRESS,
            trusted_proxies: TrustedProxies::default(),
            forwarded_header: ForwardedHeader::default(),
            head_deadline: HEAD_DEADLINE,
            write_deadline: WRITE_DEADLINE,
            bodies: BodyBudget::new(MAX_BODY_BYTES),
        }
    }
}

impl Limits {
    /// The limits of an admin port. Its budget is separate, so load on the public port cannot close
    /// it.
    pub(super) fn admin() -> Self {
        Self {
            connections: MAX_ADMIN_CONNECTIONS,
            per_address: MAX_ADMIN_CONNECTIONS,
            ..Self::default()
        }
    }
}
