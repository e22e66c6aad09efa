//! The relay's hold on its lease: it is renewed in the background and checked before each batch.
//!
//! If the last renewal is recent, no query is needed before a batch. A target that tells where it
//! ends refuses what does not follow, and for other targets the cursor cannot move without the
//! lease. Where neither protects, such as recreating a stream, the target checks with the database.

use std::sync::Arc;
use std::time::Duration;

use postgres_kit::Connection;
use sqlx::PgConnection;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::metrics;
use crate::lease::{Lease, Term};

/// The server's limit for a statement about the lease.
pub(super) const STATEMENT_TIMEOUT: &str = "2s";
/// The client's limit for such a statement, which is slightly longer. A slower connection is
/// dropped, and the lease is lost with it.
pub(super) const STATEMENT_LIMIT: Duration = Duration::from_millis(2_500);
/// The number of renewals per lease duration.
const RENEWALS: u32 = 3;
/// After a renewal began, nobody else can have taken the lease for its duration divided by this,
/// whatever the clocks do.
const SURE: u32 = 2;

/// Another relay leads, or that cannot be ruled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease is lost")]
pub struct LeaseLost;

/// A held lease. If it is dropped without [`Keeper::give_up`], it expires by itself.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    renewing: JoinHandle<()>,
}

struct Shared {
    lease: Lease,
    term: Term,
    connection: Mutex<Connection>,
    /// When the last successful renewal began.
    renewed: watch::Sender<Option<Instant>>,
    lost: CancellationToken,
}

impl Keeper {
    /// Holds a lease that was taken over `connection` in this term.
    pub(super) fn start(lease: Lease, term: Term, connection: Connection) -> Self {
        let shared = Arc::new(Shared {
            lease,
            term,
            connection: Mutex::new(connection),
            renewed: watch::Sender::new(None),
            lost: CancellationToken::new(),
        });
        let renewing = tokio::spawn(Arc::clone(&shared).renew_until_lost());
        Self { shared, renewing }
    }

    pub(super) fn term(&self) -> Term {
        self.shared.term
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.shared.lease
    }

    /// A token that is cancelled when the lease is lost.
    pub(super) fn lost(&self) -> CancellationToken {
        self.shared.lost.clone()
    }

    /// Whether the term still holds. It queries only if the last renewal is too old to be sure,
    /// such as after a pause. Use it only where a wrong answer does no harm.
    pub(super) async fn holds(&self) -> Result<(), LeaseLost> {
        let shared = &self.shared;
        let is_sure = shared
            .renewed
            .borrow()
            .is_some_and(|began| began.elapsed() < shared.lease.duration() / SURE);
        if is_sure && !shared.lost.is_cancelled() { Ok(()) } else { self.check().await }
    }

    /// Checks with the database whether the term still holds.
    pub(super) async fn check(&self) -> Result<(), LeaseLost> {
        let Shared { lease, term, .. } = &*self.shared;
        let holds =
            self.run("look", async |raw: &mut PgConnection| lease.holds(raw, *term).await).await?;
        if holds { Ok(()) } else { Err(self.lose()) }
    }

    /// Runs work on the lease's connection. A failure loses the lease.
    pub(super) async fn run<T>(
        &self,
        what: &'static str,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, LeaseLost> {
        if self.shared.lost.is_cancelled() {
            return Err(LeaseLost);
        }
        self.shared.run(what, work).await
    }

    /// Records that another relay leads, as the database says.
    pub(super) fn lose(&self) -> LeaseLost {
        self.shared.lose()
    }

    /// Releases the lease, so that the next leader can start at once.
    pub(super) async fn give_up(self) {
        self.renewing.abort();
        let Shared { lease, term, connection, .. } = &*self.shared;
        let mut connection = connection.lock().await;
        match connection.run(async |raw: &mut PgConnection| lease.give_up(raw, *term).await).await {
            Ok(()) => tracing::info!(term = term.0, "gave up the lease"),
            Err(error) => tracing::warn!(%error, "could not give up the lease; it will expire"),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Shared {
    async fn renew_until_lost(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.lease.duration() / RENEWALS);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let began = async |raw: &mut PgConnection| {
                let began = Instant::now();
                Ok(self.lease.renew(raw, self.term).await?.then_some(began))
            };
            match self.run("renew", began).await {
                Ok(Some(began)) => drop(self.renewed.send_replace(Some(began))),
                Ok(None) => {
                    self.lose();
                    return;
                }
                Err(LeaseLost) => return,
            }
        }
    }

    async fn run<T>(
        &self,
        what: &'static str,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, LeaseLost> {
        let mut connection = self.connection.lock().await;
        let done = connection.run(work).await;
        drop(connection);
        done.map_err(|error| {
            tracing::warn!(what, %error, "the lease's connection failed");
            self.end()
        })
    }

    fn lose(&self) -> LeaseLost {
        tracing::warn!(term = self.term.0, "the lease is lost");
        self.end()
    }

    /// Updates the metric at once, because a publisher in a batch notices the loss only afterwards.
    fn end(&self) -> LeaseLost {
        metrics::leading(false);
        self.lost.cancel();
        LeaseLost
    }
}
