//! Answers questions, each in one snapshot that also shows the checkpoints.
//!
//! A snapshot is one statement, or a read-only transaction at REPEATABLE READ. The position of an
//! answer is therefore exactly the position of its rows, even while tables are switched. The wait
//! for a position happens between snapshots and holds no connection.

use std::sync::Arc;
use std::time::Duration;

use service_kit::consistency::ConsistencyToken;
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use super::failure::ReadError;
use super::finish::finish;
use super::seen::{self, Seen};
use super::stale;
use super::{Asked, Read};
use crate::database::Pools;
use crate::position::Watcher;
use crate::replica::{Server, Servers};

/// The maximum number of attempts of one read, if tables are switched during it.
pub(super) const MAX_TRIES: usize = 3;

/// An answer with the position that it shows.
#[derive(Debug, Clone)]
pub struct View<T> {
    /// The answer to the question.
    pub data: T,
    /// The position and state of the data behind the answer.
    pub seen: Seen,
}

/// Answers questions from the read tables. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(super) servers: Servers,
    pub(crate) watcher: Watcher,
}

impl Reader {
    /// A reader on these servers, which `watcher` wakes.
    pub fn new(servers: impl Into<Servers>, watcher: Watcher) -> Self {
        Self { servers: servers.into(), watcher }
    }

    /// Answers `question` with the current data.
    ///
    /// # Errors
    /// [`ReadError`] says why there is no answer.
    pub async fn read<R: Read>(&self, question: R) -> Result<View<R::Answer>, ReadError> {
        self.once(&Arc::new(question), None, self.servers.choose()).await
    }

    /// Answers `question` when its tables show the token's position, or gives up after `patience`.
    ///
    /// # Errors
    /// [`ReadError::Behind`] when it gives up, [`ReadError::Token`] if the position belongs to
    /// another history.
    pub async fn read_at<R: Read>(
        &self,
        question: R,
        token: ConsistencyToken,
        patience: Duration,
    ) -> Result<View<R::Answer>, ReadError> {
        let question = Arc::new(question);
        let deadline = Instant::now() + patience;
        let subscription = self.watcher.subscription(question.scopes(), token);
        if !subscription.is_behind() {
            match self.once(&question, Some(token), self.servers.choose()).await {
                Err(ReadError::Behind { .. }) => {}
                answer => return answer,
            }
        }
        let started = Instant::now();
        let mut waiting = subscription.wait().ok_or(ReadError::TooManyWaiters)?;
        let answer = loop {
            let in_time = tokio::time::timeout_at(deadline, waiting.woken()).await.is_ok();
            // A replica had its time. The primary may be further.
            let server = if in_time { self.servers.choose() } else { self.servers.primary() };
            match self.once(&question, Some(token), server).await {
                Err(ReadError::Behind { .. }) if in_time => {}
                answer => break answer,
            }
        };
        let outcome = if answer.is_ok() { "shown" } else { "gave_up" };
        metrics::histogram!("query_wait_duration_seconds", "outcome" => outcome)
            .record(started.elapsed().as_secs_f64());
        answer
    }

    /// Asks in one snapshot. If the caller hangs up, the read still finishes, so no transaction
    /// stays half begun.
    async fn once<R: Read>(
        &self,
        question: &Arc<R>,
        token: Option<ConsistencyToken>,
        mut server: Server,
    ) -> Result<View<R::Answer>, ReadError> {
        let (primary, question) = (self.servers.primary(), Arc::clone(question));
        finish(async move {
            let (mut tries, mut was_broken) = (0, false);
            loop {
                tries += 1;
                match snapshot(&server.pools, question.as_ref(), token.as_ref()).await {
                    Err(ReadError::PlanChanged) if tries < MAX_TRIES => {}
                    Err(error) if server.is_replica() && error.is_of_server() => {
                        if !error.is_conflict_with_replay() {
                            server.is_away();
                        }
                        server = primary.clone();
                    }
                    Err(error) if error.is_broken_connection() && !was_broken => {
                        // The other connections may be broken too, so only new ones are used from
                        // now on.
                        was_broken = true;
                        server.is_away();
                    }
                    answer => return answer,
                }
            }
        })
        .await
    }
}

async fn snapshot<R: Read>(
    pools: &Pools,
    question: &R,
    token: Option<&ConsistencyToken>,
) -> Result<View<R::Answer>, ReadError> {
    if R::IN_ONE_STATEMENT {
        let pool = if question.is_planned_once() { &pools.lookup } else { &pools.scan };
        let once = async |connection: &mut PgConnection| {
            let answer = ask(connection, question, token).await;
            if matches!(answer, Err(ReadError::PlanChanged)) {
                forget_plans(connection).await?;
            }
            answer
        };
        match pool.run(once).await {
            // Finding stale rows takes another statement, so both need one transaction.
            Ok(view) if view.seen.stale => {}
            answer => return answer,
        }
    }
    let scan = async |connection: &mut PgConnection| {
        let answer = ask_in_transaction(connection, question, token).await;
        if matches!(answer, Err(ReadError::PlanChanged)) {
            forget_plans(connection).await?;
        }
        answer
    };
    pools.scan.run(scan).await
}

/// Clears the prepared statements of a connection, after tables were switched.
pub(super) async fn forget_plans(connection: &mut PgConnection) -> sqlx::Result<()> {
    connection.clear_cached_statements().await
}

/// Rolls back a transaction that failed to begin, and returns the error.
///
/// It may have begun and then failed to lock the tables. The driver would not know that.
pub(super) async fn rolled_back(
    connection: &mut PgConnection,
    not_begun: sqlx::Error,
) -> ReadError {
    match sqlx::raw_sql("ROLLBACK").execute(connection).await {
        Ok(_) => not_begun.into(),
        Err(error) => error.into(),
    }
}

async fn ask_in_transaction<R: Read>(
    connection: &mut PgConnection,
    question: &R,
    token: Option<&ConsistencyToken>,
) -> Result<View<R::Answer>, ReadError> {
    let not_begun = match connection.begin_with(R::BEGIN).await {
        Ok(mut transaction) => {
            let mut view = ask(&mut transaction, question, token).await?;
            // Usually no row of the answer is stale.
            view.seen.stale =
                view.seen.stale && stale::look(&mut transaction, &R::shown(&view.data)).await?;
            // Nothing was written. Dropping the transaction rolls it back, and nobody waits for
            // that.
            return Ok(view);
        }
        Err(not_begun) => not_begun,
    };
    Err(rolled_back(connection, not_begun).await)
}

/// Asks inside one snapshot. The result is stale if any row of the projections is.
async fn ask<R: Read>(
    snapshot: &mut PgConnection,
    question: &R,
    token: Option<&ConsistencyToken>,
) -> Result<View<R::Answer>, ReadError> {
    let Asked { data, checkpoints } = question.ask(snapshot).await?;
    Ok(View { data, seen: seen::shown(&checkpoints, &question.scopes(), token)? })
}
