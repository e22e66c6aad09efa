//! Connects to the read model's database.

use std::time::Duration;

use postgres_kit::{Connection, ended_when_lost};
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use super::lease;
use crate::limits::CONNECT_LIMIT;

/// How long a call may take, unless it has its own limit. It is longer than the lock timeout.
const CALL_LIMIT: Duration = Duration::from_secs(3);

/// Connects for `owner`. Each call has a deadline on this side. The server ends whatever hangs on
/// its side: a wait for a lock, an endless statement, a forgotten transaction.
pub(crate) async fn connect(options: &PgConnectOptions, owner: Uuid) -> sqlx::Result<Connection> {
    let options = options.clone().application_name(&lease::application_name(owner));
    let options = ended_when_lost(options).options([
        ("lock_timeout", "2s"),
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("default_transaction_isolation", "read committed"),
    ]);
    let connected = Connection::open(&options, CONNECT_LIMIT, CALL_LIMIT).await;
    connected.map_err(|error| postgres_kit::named(&postgres_kit::place(&options), error))
}
