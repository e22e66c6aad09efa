//! What the server does about a client that is lost.

use sqlx::postgres::PgConnectOptions;

/// A client that froze, or whose network is gone, may hold locks. These limits of the server end
/// its session.
const LIMITS: [(&str, &str); 5] = [
    ("idle_in_transaction_session_timeout", "5s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10s"),
];

/// The same options for a session that the server ends when its client is lost: a transaction in
/// which nothing happens for 5 s, or a network without an answer for about 10 s. Options that are
/// added later win.
#[must_use]
pub fn ended_when_lost(options: PgConnectOptions) -> PgConnectOptions {
    options.options(LIMITS)
}
