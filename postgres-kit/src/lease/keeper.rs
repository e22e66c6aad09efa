//! A held lease: it is renewed in the background, and checked before work that must not be done
//! without it.
//!
//! If the last renewal is recent, a check needs no query. Use such a check only where a wrong
//! answer does no harm, because the work itself is fenced by the term or refused by its target.
//! Where nothing else protects, ask the database with [`Keeper::check`].

use std::fmt;
use std::sync::Arc;

use sqlx::PgConnection;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Lease, Term};
use crate::Connection;

/// The number of renewals per lease duration.
const RENEWALS: u32 = 3;
/// After a renewal began, nobody else can have taken the lease for its duration divided by this,
/// whatever the clocks do.
const SURE: u32 = 2;

/// Another owner holds the lease, or that cannot be ruled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease is lost")]
pub struct LeaseLost;

/// A held lease that is renewed in the background. If it is dropped without [`Keeper::give_up`],
/// the lease expires by itself.
pub struct Keeper {
    shared: Arc<Shared>,
    renewing: AbortOnDropHandle<()>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { lease, term, .. } = &*self.shared;
        f.debug_struct("Keeper").field("lease", lease).field("term", term).finish_non_exhaustive()
    }
}

struct Shared {
    lease: Lease,
    term: Term,
    connection: Mutex<Connection>,
    /// When the last successful renewal began.
    renewed: watch::Sender<Option<Instant>>,
    lost: CancellationToken,
    on_loss: Box<dyn Fn() + Send + Sync>,
}

impl Keeper {
    /// Keeps a lease that was taken over `connection` in this term. Calls `on_loss` as soon as the
    /// lease is lost, before anything else can notice it; it must be quick.
    ///
    /// The connection's call limit bounds each renewal: it should be shorter than a third of the
    /// lease's duration. Call it inside a tokio runtime.
    pub fn start(
        lease: Lease,
        term: Term,
        connection: Connection,
        on_loss: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            lease,
            term,
            connection: Mutex::new(connection),
            renewed: watch::Sender::new(None),
            lost: CancellationToken::new(),
            on_loss: Box::new(on_loss),
        });
        let renewing = tokio::spawn(Arc::clone(&shared).renew_until_lost());
        Self { shared, renewing: AbortOnDropHandle::new(renewing) }
    }

    /// The term in which the lease is held.
    pub fn term(&self) -> Term {
        self.shared.term
    }

    /// The lease.
    pub fn lease(&self) -> &Lease {
        &self.shared.lease
    }

    /// A token that is cancelled when the lease is lost.
    pub fn lost(&self) -> CancellationToken {
        self.shared.lost.clone()
    }

    /// Whether the term still holds. It queries only if the last renewal is too old to be sure,
    /// such as after the process was paused. Use it only where a wrong answer does no harm.
    ///
    /// # Errors
    /// [`LeaseLost`].
    pub async fn holds(&self) -> Result<(), LeaseLost> {
        let shared = &self.shared;
        let is_sure = shared
            .renewed
            .borrow()
            .is_some_and(|began| began.elapsed() < shared.lease.duration() / SURE);
        if is_sure && !shared.lost.is_cancelled() { Ok(()) } else { self.check().await }
    }

    /// Checks with the database whether the term still holds.
    ///
    /// # Errors
    /// [`LeaseLost`].
    pub async fn check(&self) -> Result<(), LeaseLost> {
        let Shared { lease, term, .. } = &*self.shared;
        let holds =
            self.run("look", async |raw: &mut PgConnection| lease.holds(raw, *term).await).await?;
        if holds { Ok(()) } else { Err(self.lose()) }
    }

    /// Runs work on the lease's connection. A failure loses the lease. `what` names the work in the
    /// log.
    ///
    /// # Errors
    /// [`LeaseLost`].
    pub async fn run<T>(
        &self,
        what: &'static str,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, LeaseLost> {
        if self.shared.lost.is_cancelled() {
            return Err(LeaseLost);
        }
        self.shared.run(what, work).await
    }

    /// Records that another owner holds the lease, as work fenced by the term has found.
    pub fn lose(&self) -> LeaseLost {
        self.shared.lose()
    }

    /// Releases the lease, so that the next owner can start at once.
    pub async fn give_up(self) {
        self.renewing.abort();
        let Shared { lease, term, connection, .. } = &*self.shared;
        let mut connection = connection.lock().await;
        match connection.run(async |raw: &mut PgConnection| lease.give_up(raw, *term).await).await {
            Ok(()) => tracing::info!(term = term.0, "gave up the lease"),
            Err(error) => tracing::warn!(%error, "could not give up the lease; it will expire"),
        }
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

    /// Reports the loss at once, because work in progress notices it only afterwards.
    fn end(&self) -> LeaseLost {
        (self.on_loss)();
        self.lost.cancel();
        LeaseLost
    }
}
