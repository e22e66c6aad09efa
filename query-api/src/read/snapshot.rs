//! One snapshot of the read tables that several questions share, so that their answers show the
//! same position and fit each other.
//!
//! The transaction belongs to a task of its own, which answers one question after the other. So a
//! [`Snapshot`] borrows nothing, can be cloned and handed to code that loads a part of an answer,
//! and a caller who hangs up leaves no transaction half begun.

use std::time::Duration;

use futures::future::BoxFuture;
use service_kit::consistency::ConsistencyToken;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::failure::ReadError;
use super::reader::{MAX_TRIES, Reader, View, forget_plans, rolled_back};
use super::scope::ReadScope;
use super::seen::{self, Checkpoint};
use super::{All, Read, stale};
use crate::database::Pools;

/// How many questions wait for their turn in a snapshot. More wait for a place.
const MAX_QUEUED: usize = 32;
/// How long a snapshot stays open, its questions included. Shorter than the limit of the pool,
/// which takes what is slower for a silent server.
const OPEN_LIMIT: Duration = Duration::from_secs(4);

/// Answers questions in one snapshot. Clones ask the same one.
#[derive(Debug, Clone)]
pub struct Snapshot {
    queue: mpsc::Sender<Box<dyn Queued>>,
}

impl Snapshot {
    /// Answers a question as of the snapshot.
    ///
    /// # Errors
    /// [`ReadError`]. [`ReadError::SnapshotLost`] after an earlier question failed in the
    /// database, or when the snapshot was open for too long.
    pub async fn ask<R: Read>(&self, question: R) -> Result<View<R::Answer>, ReadError> {
        let (reply, answer) = oneshot::channel();
        let asked = Box::new(AskedHere { question, reply });
        self.queue.send(asked).await.map_err(|_| ReadError::SnapshotLost)?;
        answer.await.unwrap_or(Err(ReadError::SnapshotLost))
    }
}

impl Reader {
    /// Calls `ask` with a snapshot of all read tables, in which it may ask several questions.
    ///
    /// With `wait`, a token and for how long at most: until the tables that are asked show the
    /// token's position. Then `ask` is called again with a new snapshot, as it is when the tables
    /// were switched meanwhile or the connection broke; so it must do nothing but ask. A question
    /// that failed for good says so to `ask`.
    ///
    /// # Errors
    /// [`ReadError`]: there is no snapshot.
    pub async fn snapshot<T>(
        &self,
        wait: Option<(ConsistencyToken, Duration)>,
        ask: impl AsyncFn(Snapshot) -> T,
    ) -> Result<T, ReadError> {
        let (token, patience) = wait.unzip();
        let deadline = patience.map(|patience| Instant::now() + patience);
        let (mut tries, mut was_broken) = (0, false);
        loop {
            tries += 1;
            // Opened before the snapshot, so that no move of a checkpoint is missed.
            let subscription = token.map(|token| self.watcher.subscription(Vec::new(), token));
            let (answer, end) = match once(self.pools.clone(), token, &ask).await {
                Err(error) if error.is_broken_connection() && !was_broken => {
                    was_broken = true;
                    self.pools.doubt();
                    continue;
                }
                done => done?,
            };
            match end {
                End::PlanChanged if tries < MAX_TRIES => {}
                End::Broken if !was_broken => {
                    was_broken = true;
                    self.pools.doubt();
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
                    // One more look at the end of the wait, whether or not it was woken.
                    drop(timeout_at(deadline, waiting.woken()).await);
                    tries = 0;
                }
                End::Well | End::PlanChanged | End::Broken => return Ok(answer),
            }
        }
    }
}

/// Opens a snapshot, asks in it, and says how it ended.
async fn once<T>(
    pools: Pools,
    token: Option<ConsistencyToken>,
    ask: &impl AsyncFn(Snapshot) -> T,
) -> Result<(T, End), ReadError> {
    let (queue, questions) = mpsc::channel(MAX_QUEUED);
    let (opened, is_open) = oneshot::channel();
    let task = tokio::spawn(async move {
        let work = async |connection: &mut PgConnection| {
            let end = serve(connection, token, questions, opened).await;
            if matches!(end, Ok(End::PlanChanged)) {
                forget_plans(connection).await?;
            }
            end
        };
        pools.scan.run(work).await
    });
    if is_open.await.is_err() {
        let end = task.await.map_err(ReadError::Panicked)?;
        return Err(end.err().unwrap_or(ReadError::SnapshotLost));
    }
    let answer = ask(Snapshot { queue }).await;
    // Its clones are gone with it; if one is not, the snapshot ends at its limit.
    let end = task.await.map_err(ReadError::Panicked)?;
    Ok((answer, end.unwrap_or_else(|error| End::of(&error, Vec::new()))))
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
    /// What was read of these did not show the wanted position yet.
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

/// Answers questions in one transaction until nobody asks any more.
async fn serve(
    connection: &mut PgConnection,
    token: Option<ConsistencyToken>,
    questions: mpsc::Receiver<Box<dyn Queued>>,
    opened: oneshot::Sender<()>,
) -> Result<End, ReadError> {
    let deadline = Instant::now() + OPEN_LIMIT;
    let not_begun = match connection.begin_with(All::BEGIN).await {
        // Nothing is written: the transaction is rolled back once it is dropped.
        Ok(transaction) => return answer(transaction, token, questions, (opened, deadline)).await,
        Err(not_begun) => not_begun,
    };
    Err(rolled_back(connection, not_begun).await)
}

async fn answer(
    mut transaction: Transaction<'_, Postgres>,
    token: Option<ConsistencyToken>,
    mut questions: mpsc::Receiver<Box<dyn Queued>>,
    (opened, deadline): (oneshot::Sender<()>, Instant),
) -> Result<End, ReadError> {
    let checkpoints = seen::checkpoints(&mut transaction).await?;
    let mut open =
        Open { connection: &mut transaction, checkpoints, token, end: End::Well, is_over: false };
    if opened.send(()).is_err() {
        return Ok(End::Well);
    }
    while let Ok(Some(question)) = timeout_at(deadline, questions.recv()).await {
        question.answer(&mut open).await;
        if open.is_over {
            break;
        }
    }
    Ok(open.end)
}

/// A snapshot that is open.
struct Open<'c> {
    connection: &'c mut PgConnection,
    checkpoints: Vec<Checkpoint>,
    token: Option<ConsistencyToken>,
    end: End,
    /// A statement failed, and with it the transaction.
    is_over: bool,
}

impl Open<'_> {
    async fn ask<R: Read>(&mut self, question: &R) -> Result<View<R::Answer>, ReadError> {
        let scopes = ReadScope::of(question);
        let mut seen = match seen::shown(&self.checkpoints, &scopes, self.token.as_ref()) {
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
        let asked = async {
            let data = question.ask(&mut *self.connection).await?.data;
            seen.stale = seen.stale && stale::look(self.connection, &R::shown(&data)).await?;
            Ok(View { data, seen })
        };
        asked.await.inspect_err(|error| {
            self.is_over = true;
            self.end = End::of(error, Vec::new());
        })
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
            // Nobody waits for the answer of a caller who hung up.
            drop(self.reply.send(answer));
        })
    }
}
