//! One snapshot of the read tables that several questions share. Their answers show the same
//! position and fit together.
//!
//! It has the tables of the projections that questions of GraphQL ask, because beginning a snapshot
//! locks each of them.
//!
//! It uses the connections for lists, which are few: on more connections at once, snapshots hold up
//! one another, and fewer of them end in a second.
//!
//! A separate task owns the transaction and answers one question after the other. So a [`Snapshot`]
//! borrows nothing and can be cloned, for example for code that loads one part of an answer. If the
//! caller hangs up, no transaction stays half begun.

use std::time::Duration;

use futures::future::BoxFuture;
use service_kit::consistency::ConsistencyToken;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::failure::ReadError;
use super::reader::{MAX_TRIES, Reader, View, forget_plans, rolled_back};
use super::{Asked, Projection, Read, seen, stale};
use crate::database::Pools;
use crate::scope::ReadScope;

/// The maximum number of questions queued in a snapshot. Further ones wait until the queue has
/// room.
const MAX_QUEUED: usize = 32;
/// The maximum time that a snapshot stays open, including its questions.
///
/// It is shorter than the limit of the pool, because the pool treats anything slower as a silent
/// server.
const OPEN_LIMIT: Duration = Duration::from_secs(4);

/// The projections that a snapshot shows.
struct Shared;

impl Shared {
    reads!("users", "orders", "products", "daily_sales");
}

/// The projections that questions in a snapshot may ask.
const PROJECTIONS: &[Projection] = Shared::PROJECTIONS;

/// Whether a snapshot shows all of these projections.
const fn shows(projections: &[Projection]) -> bool {
    let mut at = 0;
    while at < projections.len() {
        if !is_one_of(projections[at].as_bytes(), PROJECTIONS) {
            return false;
        }
        at += 1;
    }
    true
}

const fn is_one_of(name: &[u8], all: &[Projection]) -> bool {
    let mut at = 0;
    while at < all.len() {
        if is_same(name, all[at].as_bytes()) {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// Makes Postgres plan the statements of a transaction once for all values, as on the connections
/// for lookups.
const PLAN_ONCE: &str = "; SET LOCAL plan_cache_mode = force_generic_plan;
    SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off";
/// Makes Postgres plan further statements for their own values, as usual for lists.
const PLAN_FOR_VALUES: &str = "SET LOCAL plan_cache_mode = force_custom_plan;
    SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = on";
/// The statements that begin a snapshot.
const BEGIN: &str = postgres_kit::sql!(Shared::BEGIN, PLAN_ONCE);

/// Answers questions in one snapshot. Clones use the same snapshot.
#[derive(Debug, Clone)]
pub struct Snapshot {
    queue: mpsc::Sender<Box<dyn Queued>>,
}

impl Snapshot {
    /// Answers a question as of the snapshot.
    ///
    /// # Errors
    /// [`ReadError`] says why there is no answer. It is [`ReadError::SnapshotLost`] if an earlier
    /// question failed in the database, or if the snapshot was open for too long.
    pub async fn ask<R: Read>(&self, question: R) -> Result<View<R::Answer>, ReadError> {
        const { assert!(shows(R::PROJECTIONS), "the snapshot does not lock these tables") };
        let (reply, answer) = oneshot::channel();
        let asked = Box::new(AskedHere { question, reply });
        self.queue.send(asked).await.map_err(|_| ReadError::SnapshotLost)?;
        answer.await.unwrap_or(Err(ReadError::SnapshotLost))
    }
}

impl Reader {
    /// Calls `ask` with a snapshot of users, orders, products and daily sales, so it can ask
    /// several questions. A question of other tables does not compile.
    ///
    /// The snapshot is taken when the first question is asked.
    ///
    /// With `wait`, it waits until the tables that were asked show the token's position, at most
    /// for the given time. `ask` is then called again with a new snapshot. The same happens if
    /// tables are switched or the connection breaks. So `ask` must have no other effect than
    /// asking. It sees every error that a retry cannot fix.
    ///
    /// # Errors
    /// [`ReadError`] if there is no snapshot.
    pub async fn snapshot<T, A: Future<Output = T>>(
        &self,
        wait: Option<(ConsistencyToken, Duration)>,
        ask: impl Fn(Snapshot) -> A,
    ) -> Result<T, ReadError> {
        let (token, patience) = wait.unzip();
        let deadline = patience.map(|patience| Instant::now() + patience);
        let (mut tries, mut was_broken, mut was_of_replica) = (0, false, false);
        loop {
            tries += 1;
            // This opens before the snapshot, so no checkpoint update is missed.
            let subscription = token.map(|token| self.watcher.subscription(Vec::new(), token));
            // A replica had its time. The primary may be further.
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let on_primary = is_over || was_of_replica;
            let server = if on_primary { self.servers.primary() } else { self.servers.choose() };
            let (answer, end) = match once(server.pools.clone(), token, &ask).await {
                Err(error) if server.is_replica() && error.is_of_server() => {
                    if !error.is_conflict_with_replay() {
                        server.is_away();
                    }
                    was_of_replica = true;
                    continue;
                }
                Err(error) if error.is_broken_connection() && !was_broken => {
                    was_broken = true;
                    server.is_away();
                    continue;
                }
                done => done?,
            };
            match end {
                End::PlanChanged if tries < MAX_TRIES => {}
                End::Broken if server.is_replica() => {
                    server.is_away();
                    was_of_replica = true;
                }
                End::Broken if !was_broken => {
                    was_broken = true;
                    server.is_away();
                }
                End::Behind(scopes) => {
                    let (Some(subscription), Some(deadline)) = (subscription, deadline) else {
                        return Ok(answer);
                    };
                    if Instant::now() >= deadline {
                        return Ok(answer);
                    }
                    let waiting = subscription.about(scopes).wait();
                    let mut waiting = waiting.ok_or(ReadError::TooManyWaiters)?;
                    // Try once more at the end of the wait, whether or not it was woken.
                    drop(timeout_at(deadline, waiting.woken()).await);
                    tries = 0;
                }
                End::Well | End::PlanChanged | End::Broken => return Ok(answer),
            }
        }
    }
}

/// Opens a snapshot, calls `ask` with it, and returns how it ended.
async fn once<T, A: Future<Output = T>>(
    pools: Pools,
    token: Option<ConsistencyToken>,
    ask: &impl Fn(Snapshot) -> A,
) -> Result<(T, End), ReadError> {
    let (queue, questions) = mpsc::channel(MAX_QUEUED);
    let (opened, mut is_open) = oneshot::channel();
    let task = tokio::spawn(async move {
        // Who asks nothing needs no connection.
        let mut questions = questions;
        let Some(first) = questions.recv().await else { return Ok(End::Well) };
        let questions = Questions { first, others: questions };
        let work = async |connection: &mut PgConnection| {
            let end = serve(connection, token, questions, opened).await;
            if matches!(end, Ok(End::PlanChanged)) {
                forget_plans(connection).await?;
            }
            end
        };
        pools.scan.run(work).await
    });
    let answer = ask(Snapshot { queue }).await;
    // All clones of the snapshot are gone now. If one is left, the snapshot ends at its time limit.
    match task.await.map_err(|error| ReadError::Panicked(error.into()))? {
        Ok(end) => Ok((answer, end)),
        Err(error) if is_open.try_recv().is_ok() => Ok((answer, End::of(&error, Vec::new()))),
        Err(error) => Err(error),
    }
}

/// How a snapshot ended.
#[derive(Debug)]
enum End {
    /// All questions were answered, or failed for good.
    Well,
    /// A prepared statement was out of date.
    PlanChanged,
    /// The connection broke.
    Broken,
    /// These scopes did not show the wanted position yet.
    Behind(Vec<ReadScope>),
}

impl End {
    fn of(error: &ReadError, scopes: Vec<ReadScope>) -> Self {
        match error {
            ReadError::PlanChanged => Self::PlanChanged,
            ReadError::Behind { .. } => Self::Behind(scopes),
            error if error.is_broken_connection() => Self::Broken,
            _ => Self::Well,
        }
    }
}

/// The first question of a snapshot, and the queue of the others.
struct Questions {
    first: Box<dyn Queued>,
    others: mpsc::Receiver<Box<dyn Queued>>,
}

/// Answers questions in one transaction until no more can come.
async fn serve(
    connection: &mut PgConnection,
    token: Option<ConsistencyToken>,
    questions: Questions,
    opened: oneshot::Sender<()>,
) -> Result<End, ReadError> {
    let deadline = Instant::now() + OPEN_LIMIT;
    let not_begun = match connection.begin_with(BEGIN).await {
        // Nothing is written. Dropping the transaction rolls it back.
        Ok(transaction) => return answer(transaction, token, questions, (opened, deadline)).await,
        Err(not_begun) => not_begun,
    };
    Err(rolled_back(connection, not_begun).await)
}

async fn answer(
    mut transaction: Transaction<'_, Postgres>,
    token: Option<ConsistencyToken>,
    Questions { first, mut others }: Questions,
    (opened, deadline): (oneshot::Sender<()>, Instant),
) -> Result<End, ReadError> {
    let mut open = Open {
        connection: &mut transaction,
        token,
        end: End::Well,
        is_planned_for_values: false,
        is_over: false,
    };
    if opened.send(()).is_err() {
        return Ok(End::Well);
    }
    first.answer(&mut open).await;
    while !open.is_over
        && let Ok(Some(question)) = timeout_at(deadline, others.recv()).await
    {
        question.answer(&mut open).await;
    }
    Ok(open.end)
}

/// An open snapshot.
struct Open<'c> {
    connection: &'c mut PgConnection,
    token: Option<ConsistencyToken>,
    end: End,
    /// Whether the statements are planned for their own values from now on.
    is_planned_for_values: bool,
    /// Whether a statement failed, which ends the transaction.
    is_over: bool,
}

impl Open<'_> {
    async fn ask<R: Read>(&mut self, question: &R) -> Result<View<R::Answer>, ReadError> {
        if !question.is_planned_once() && !self.is_planned_for_values {
            let planned = sqlx::raw_sql(PLAN_FOR_VALUES).execute(&mut *self.connection).await;
            planned.map_err(|error| self.failed(error.into()))?;
            self.is_planned_for_values = true;
        }
        let Asked { data, checkpoints } = match question.ask(&mut *self.connection).await {
            Ok(asked) => asked,
            Err(error) => return Err(self.failed(error.into())),
        };
        let scopes = question.scopes();
        let mut seen = match seen::shown(&checkpoints, &scopes, self.token.as_ref()) {
            Ok(seen) => seen,
            Err(error) => {
                if let (ReadError::Behind { .. }, End::Behind(all)) = (&error, &mut self.end) {
                    all.extend(scopes);
                } else {
                    self.end = End::of(&error, scopes);
                }
                return Err(error);
            }
        };
        if seen.stale {
            let look = stale::look(self.connection, &R::shown(&data)).await;
            seen.stale = look.map_err(|error| self.failed(error.into()))?;
        }
        Ok(View { data, seen })
    }

    /// Notes that a statement failed.
    fn failed(&mut self, error: ReadError) -> ReadError {
        self.is_over = true;
        self.end = End::of(&error, Vec::new());
        error
    }
}

/// A question on its way to the snapshot's task.
trait Queued: Send {
    fn answer<'s>(self: Box<Self>, open: &'s mut Open<'_>) -> BoxFuture<'s, ()>;
}

struct AskedHere<R: Read> {
    question: R,
    reply: oneshot::Sender<Result<View<R::Answer>, ReadError>>,
}

impl<R: Read> Queued for AskedHere<R> {
    fn answer<'s>(self: Box<Self>, open: &'s mut Open<'_>) -> BoxFuture<'s, ()> {
        Box::pin(async move {
            let answer = open.ask(&self.question).await;
            // If the caller hung up, nobody needs the answer.
            drop(self.reply.send(answer));
        })
    }
}
