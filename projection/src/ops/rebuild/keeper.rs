//! Keeps the leases of a generation during a build, on a separate connection, because the builder's
//! may be busy for minutes. It also notices requests to pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postgres_kit::Connection;
use postgres_kit::{Lease, Term};
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::runner::database;

/// How often leases are renewed and pause requests are checked.
const EVERY: Duration = Duration::from_secs(1);

/// The keeper's findings.
#[derive(Default)]
struct Found {
    lost: AtomicBool,
    pause_wanted: AtomicBool,
}

/// Keeps leases until it is dropped.
pub(crate) struct Keeper {
    found: Arc<Found>,
    _task: AbortOnDropHandle<()>,
}

impl Keeper {
    /// Keeps leases that `owner` has taken, each with its term.
    pub(crate) fn keep(
        options: PgConnectOptions,
        (projection, generation): (&'static str, i32),
        owner: Uuid,
        leases: Vec<(Lease, Term)>,
    ) -> Self {
        let found = Arc::new(Found::default());
        let kept = HeldLeases { options, projection, generation, leases, owner };
        let task = tokio::spawn(kept.run(Arc::clone(&found)));
        Self { found, _task: AbortOnDropHandle::new(task) }
    }

    /// Whether another process has taken over the generation, or may have.
    pub(crate) fn is_lost(&self) -> bool {
        self.found.lost.load(Ordering::Relaxed)
    }

    /// Whether a pause was requested.
    pub(crate) fn pause_is_wanted(&self) -> bool {
        self.found.pause_wanted.load(Ordering::Relaxed)
    }
}

struct HeldLeases {
    options: PgConnectOptions,
    projection: &'static str,
    generation: i32,
    leases: Vec<(Lease, Term)>,
    owner: Uuid,
}

impl HeldLeases {
    async fn run(self, found: Arc<Found>) {
        let (mut connection, mut kept_at) = (None, Instant::now());
        loop {
            match self.look(&mut connection).await {
                Ok((true, pause_wanted)) => {
                    kept_at = Instant::now();
                    found.pause_wanted.store(pause_wanted, Ordering::Relaxed);
                }
                Ok((false, _)) => found.lost.store(true, Ordering::Relaxed),
                Err(error) => {
                    tracing::warn!(%error, "cannot renew the lease: will retry");
                    connection = None;
                }
            }
            if self.leases.iter().any(|(lease, _)| kept_at.elapsed() > lease.duration()) {
                found.lost.store(true, Ordering::Relaxed);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Renews the leases and checks for a pause request. The first value is false if another
    /// process holds a lease.
    async fn look(&self, connection: &mut Option<Connection>) -> sqlx::Result<(bool, bool)> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(database::connect(&self.options, self.owner).await?),
        };
        let mut renewed = true;
        for (lease, term) in &self.leases {
            renewed &= connection
                .run(async |raw: &mut PgConnection| lease.renew(raw, *term).await)
                .await?;
        }
        let pause_wanted = sqlx::query_scalar!(
            "SELECT pause_wanted FROM read_model.rebuilds WHERE projection = $1 AND generation = \
                $2",
            self.projection,
            self.generation
        )
        .fetch_optional(connection)
        .await?;
        Ok((renewed, pause_wanted.unwrap_or(false)))
    }
}
