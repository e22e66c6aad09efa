//! The relay's hold on its lease: renewed in the background, and looked at before each batch.
//!
//! A relay that renewed its lease a moment ago does not ask before each batch: a target that tells
//! where it ends refuses what does not follow, and for any other the cursor does not move without
//! the lease. A target asks the database before what neither guards, such as making a stream again.

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

/// How long the server lets a statement about the lease run.
pub(super) const STATEMENT_TIMEOUT: &str = "2s";
/// How long this side waits for it: a little longer. A connection that is slower is dropped, and
/// the lease with it.
pub(super) const STATEMENT_LIMIT: Duration = Duration::from_millis(2_500);
/// Renewals in one duration of the lease.
const RENEWALS: u32 = 3;
/// For this part of its duration after a renewal began, nobody else can have taken the lease,
/// however the clocks run.
const SURE: u32 = 2;

/// Somebody else leads, or nobody can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease is lost")]
pub struct LeaseLost;

/// A held lease. Dropped without [`Keeper::give_up`], it runs out by itself.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    renewing: JoinHandle<()>,
}

struct Shared {
    lease: Lease,
    term: Term,
    connection: Mutex<Connection>,
    /// When the last renewal that succeeded began.
    renewed: watch::Sender<Option<Instant>>,
    lost: CancellationToken,
}

impl Keeper {
    /// Holds the lease that was taken over `connection` in this term.
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

    /// Ends the waiting of whoever works under the lease.
    pub(super) fn lost(&self) -> CancellationToken {
        self.shared.lost.clone()
    }

    /// Whether the term still holds: asks only when the last renewal was too long ago to be sure,
    /// as after a pause. For what does no harm should it be wrong.
    pub(super) async fn holds(&self) -> Result<(), LeaseLost> {
        let shared = &self.shared;
        let is_sure = shared
            .renewed
            .borrow()
            .is_some_and(|began| began.elapsed() < shared.lease.duration() / SURE);
        if is_sure && !shared.lost.is_cancelled() { Ok(()) } else { self.check().await }
    }

    /// Asks the database whether the term still holds.
    pub(super) async fn check(&self) -> Result<(), LeaseLost> {
        let Shared { lease, term, .. } = &*self.shared;
        let holds =
            self.run("look", async |raw: &mut PgConnection| lease.holds(raw, *term).await).await?;
        if holds { Ok(()) } else { Err(self.lose()) }
    }

    /// Does something over the lease's connection. One that fails takes the lease with it.
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

    /// Somebody else leads, as the database says.
    pub(super) fn lose(&self) -> LeaseLost {
        self.shared.lose()
    }

    /// Lets the next leader start at once.
    pub(super) async fn give_up(self) {
        self.renewing.abort();
        let Shared { lease, term, connection, .. } = &*self.shared;
        let mut connection = connection.lock().await;
        match connection.run(async |raw: &mut PgConnection| lease.give_up(raw, *term).await).await {
            Ok(()) => tracing::info!(term = term.0, "gave the lease up"),
            Err(error) => tracing::warn!(%error, "could not give the lease up; it runs out"),
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

    /// At once: a publisher in the middle of a batch learns of it only afterwards.
    fn end(&self) -> LeaseLost {
        metrics::leading(false);
        self.lost.cancel();
        LeaseLost
    }
}
