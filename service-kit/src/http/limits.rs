//! What one port takes on: connections, clients, and bytes of request bodies.

use std::time::Duration;

use super::address::TrustedProxies;
use super::body_budget::BodyBudget;

/// How many connections a public port holds unless it is told otherwise.
pub const MAX_CONNECTIONS: usize = 1024;
/// How many of them one address may hold.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 256;
/// How many bytes of request bodies a process holds unless it is told otherwise: 1,024 bodies of
/// the largest size.
pub const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
/// How long a client may take to send a request's head: from accept, and from each answer on.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// How many connections the admin port holds. Probes and a scraper need a few.
const MAX_ADMIN_CONNECTIONS: usize = 64;

/// What one port takes on. The defaults are those of a public port.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many connections are held. With one more, the connection that was idle longest is
    /// closed; if all are busy, the newcomer is answered 503.
    pub connections: usize,
    /// How many of them one address may hold, and how many requests at once a client behind a
    /// trusted proxy may have.
    pub per_address: usize,
    /// Whose `X-Forwarded-For` is believed. Their connections do not count by address.
    pub trusted_proxies: TrustedProxies,
    /// How long a client may take to send a request's head.
    pub head_deadline: Duration,
    /// The bytes of request bodies that are held at once. Clones share one budget.
    pub bodies: BodyBudget,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            per_address: MAX_CONNECTIONS_PER_ADDRESS,
            trusted_proxies: TrustedProxies::default(),
            head_deadline: HEAD_DEADLINE,
            bodies: BodyBudget::new(MAX_BODY_BYTES),
        }
    }
}

impl Limits {
    /// An admin port's: a budget of its own, so that no load on the public port closes it.
    pub(super) fn admin() -> Self {
        Self {
            connections: MAX_ADMIN_CONNECTIONS,
            per_address: MAX_ADMIN_CONNECTIONS,
            ..Self::default()
        }
    }
}
