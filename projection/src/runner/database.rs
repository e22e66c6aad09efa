//! Connections to the read model.

use std::time::Duration;

use postgres_kit::Connection;
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use super::lease;
use crate::limits::CONNECT_LIMIT;

/// How long one call may take that names no other limit: more than a lock is waited for.
const CALL_LIMIT: Duration = Duration::from_secs(3);

/// Connects for `owner`. Each call has a deadline here. The server ends what hangs there: a lock
/// that does not come, a statement without end, a transaction that its owner forgot.
pub(crate) async fn connect(options: &PgConnectOptions, owner: Uuid) -> sqlx::Result<Connection> {
    let options = options.clone().application_name(&lease::application_name(owner)).options([
        ("lock_timeout", "2s"),
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("tcp_keepalives_idle", "5"),
        ("default_transaction_isolation", "read committed"),
    ]);
    let connected = Connection::open(&options, CONNECT_LIMIT, CALL_LIMIT).await;
    connected.map_err(|error| postgres_kit::named(&postgres_kit::place(&options), error))
}
