//! Connections to the read model, and which of Postgres' errors pass by themselves.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Error};
use uuid::Uuid;

use super::lease;

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Connects for `owner`. The server ends what hangs: a lock that does not come, a statement without end, a transaction that its
/// owner forgot.
pub(crate) async fn connect(options: &PgConnectOptions, owner: Uuid) -> sqlx::Result<PgConnection> {
    let options = options.clone().application_name(&lease::application_name(owner)).options([
        ("lock_timeout", "5s"),
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "30s"),
        ("tcp_keepalives_idle", "5"),
        ("default_transaction_isolation", "read committed"),
    ]);
    let connected: sqlx::Result<PgConnection> = within(CONNECT_LIMIT, options.connect()).await;
    connected.map_err(|error| postgres_kit::named(&postgres_kit::place(&options), error))
}

/// Gives up what takes longer: a server, or the way to it, that has fallen silent closes no connection.
pub(crate) fn within<T, E: From<Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    // On the heap at once: what holds connections is large.
    let work = Box::pin(work);
    async move {
        let done = tokio::time::timeout(limit, work).await;
        done.unwrap_or_else(|_| {
            let what = format!("Postgres did not answer within {} s", limit.as_secs());
            Err(E::from(Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, what))))
        })
    }
}

/// Whether trying again later may help without anybody's doing.
pub(crate) fn is_transient(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed | Error::PoolTimedOut | Error::PoolClosed => {
            true
        }
        // By class of SQLSTATE: connections, serialisation and deadlocks, resources, locks and states, operator's
        // intervention, the system beneath.
        Error::Database(error) => error
            .code()
            .is_some_and(|code| ["08", "25", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))),
        _ => false,
    }
}
