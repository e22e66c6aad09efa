//! Keeps the lease of a generation that is being built, on a connection of its own, while the builder's is busy for minutes; and
//! hears when somebody wants the build to pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_feed::{Lease, Term};
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::runner::PartKey;
use crate::runner::database;
use crate::runner::lease;

/// How often the lease is renewed and the wish to pause looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What the keeper has found out.
#[derive(Default)]
struct Found {
    lost: AtomicBool,
    pause_wanted: AtomicBool,
}

/// Keeps a lease until it is dropped.
pub(crate) struct Keeper {
    found: Arc<Found>,
    _task: AbortOnDropHandle<()>,
}

impl Keeper {
    /// Keeps the lease that `owner` has taken.
    pub(crate) fn keep(options: PgConnectOptions, key: &PartKey, owner: Uuid, term: Term) -> Self {
        let found = Arc::new(Found::default());
        let kept = Kept {
            options,
            projection: key.projection.name(),
            generation: key.generation,
            lease: lease::of(key, owner),
            owner,
            term,
        };
        let task = tokio::spawn(kept.run(Arc::clone(&found)));
        Self { found, _task: AbortOnDropHandle::new(task) }
    }

    /// Whether another process has taken the generation over, or may have.
    pub(crate) fn is_lost(&self) -> bool {
        self.found.lost.load(Ordering::Relaxed)
    }

    /// Whether somebody wants the build to pause.
    pub(crate) fn pause_is_wanted(&self) -> bool {
        self.found.pause_wanted.load(Ordering::Relaxed)
    }
}

struct Kept {
    options: PgConnectOptions,
    projection: &'static str,
    generation: i32,
    lease: Lease,
    owner: Uuid,
    term: Term,
}

impl Kept {
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
                    tracing::warn!(%error, "cannot renew the lease: will be tried again");
                    connection = None;
                }
            }
            if kept_at.elapsed() > self.lease.duration() {
                found.lost.store(true, Ordering::Relaxed);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Renews, and looks whether to pause. `false`: the lease is somebody else's.
    async fn look(&self, connection: &mut Option<PgConnection>) -> sqlx::Result<(bool, bool)> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(database::connect(&self.options, self.owner).await?),
        };
        let renewed = self.lease.renew(connection, self.term).await?;
        let pause_wanted = sqlx::query_scalar!(
            "SELECT pause_wanted FROM read_model.rebuilds WHERE projection = $1 AND generation = $2",
            self.projection,
            self.generation
        )
        .fetch_optional(connection)
        .await?;
        Ok((renewed, pause_wanted.unwrap_or(false)))
    }
}
