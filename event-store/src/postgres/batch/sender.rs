//! Sends batches over the one connection for appends; sends again, halves, and gives up in time.

use std::sync::Arc;
use std::time::Duration;

use postgres_kit::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{BatcherState, Request, metrics};
use crate::append::AppendOutcome;
use crate::append::prepared::Prepared;
use crate::error::StoreError;
use crate::postgres::PostgresOptions;
use crate::postgres::call::{self, Answers};
use crate::postgres::connect::append_connection;
use crate::postgres::continuity::Continuity;
use crate::postgres::error::{Meaning, meaning_of_append, unusable};
use crate::postgres::notices::Notices;
use crate::postgres::wake::Waker;

/// How long to wait before the same batch is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Up to so many writers, waiting or just answered, share one batch: the next one waits until those
/// just answered had their turn and came back. What a batch costs at least then counts once for all
/// of them. With more of them two groups take turns, and one prepares its appends while the other's
/// are written.
pub(super) const TOGETHER: usize = 128;

/// Owns the connection for appends.
pub(crate) struct Sender {
    options: Arc<PostgresOptions>,
    continuity: Arc<Continuity>,
    waker: Waker,
    connection: Option<Connection>,
    notices: Notices,
    state: BatcherState,
}

/// Why a batch got no answers.
enum Failure {
    /// Something in its data.
    Data(sqlx::Error),
    /// Nothing was appended, and the time is up.
    Unavailable(Option<sqlx::Error>),
    /// It may have been appended, and the time is up.
    Unknown(Option<sqlx::Error>),
    /// Nothing was appended and nothing will be.
    Unusable(StoreError),
}

impl std::borrow::Borrow<Prepared> for Request {
    fn borrow(&self) -> &Prepared {
        &self.prepared
    }
}

impl Sender {
    pub(crate) fn new(
        options: Arc<PostgresOptions>,
        continuity: Arc<Continuity>,
        waker: Waker,
        state: BatcherState,
    ) -> Self {
        Self { options, continuity, waker, connection: None, notices: Notices::new(), state }
    }

    /// Lets go of a connection whose state is not known.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Sends a batch and answers each of its members; `waiting` says how many others wait by then.
    pub(crate) async fn send(&mut self, batch: Vec<Request>, waiting: impl Fn() -> usize) {
        // A stack with the next batch on top: the halves of a halved batch keep their order.
        let mut batches = vec![batch];
        while let Some(mut batch) = batches.pop() {
            match self.call(&mut batch).await {
                _ if batch.is_empty() => {}
                Ok(answers) => self.answer(batch, answers, waiting()),
                Err(Failure::Data(error)) if batch.len() > 1 => {
                    tracing::warn!(members = batch.len(), %error, "a batch failed for something \
                        in its data and is halved");
                    let second = batch.split_off(batch.len() / 2);
                    batches.push(second);
                    batches.push(batch);
                }
                Err(failure) => {
                    self.state.doubt(!matches!(failure, Failure::Data(_)));
                    refuse(batch, failure);
                }
            }
        }
    }

    fn answer(&self, batch: Vec<Request>, answers: Answers, waiting: usize) {
        self.state.doubt(false);
        self.continuity.learn(answers.head);
        let events: u64 = answers.outcomes.iter().map(appended_events).sum();
        if events > 0 {
            self.waker.wake();
        }
        metrics::record(&batch, &answers);
        if batch.len() + waiting <= TOGETHER {
            deliver(batch, answers.outcomes);
        } else {
            // Beside the next batch: it need not wait until everyone has been woken.
            tokio::spawn(async move { deliver(batch, answers.outcomes) });
        }
    }

    /// Calls until there is an answer or every member's time is up. Members whose callers gave up
    /// before anything was sent drop out.
    async fn call(&mut self, batch: &mut Vec<Request>) -> Result<Answers, Failure> {
        let mut unknown = false;
        loop {
            self.state.pulse.beat();
            let Some(until) = batch.iter().map(|r| r.deadline).max() else {
                return Err(Failure::Unavailable(None));
            };
            let error = match timeout_at(until, self.attempt(batch, unknown)).await {
                Ok(Ok(answers)) => return Ok(answers),
                Ok(Err(Attempt::NotSent(StoreError::Unavailable(error)))) => error,
                Ok(Err(Attempt::NotSent(error))) if unknown => {
                    tracing::error!(%error, members = batch.len(), "what came of a batch cannot \
                        be found out");
                    return Err(Failure::Unknown(None));
                }
                Ok(Err(Attempt::NotSent(error))) => return Err(Failure::Unusable(error)),
                Ok(Err(Attempt::Failed(error))) => match meaning_of_append(&error) {
                    // Sent before: whoever succeeded then would be found by its ids, so the data
                    // error is this attempt's alone.
                    Meaning::Data => return Err(Failure::Data(error)),
                    Meaning::Unusable if unknown => return Err(Failure::Unknown(Some(error))),
                    Meaning::Unusable => return Err(Failure::Unusable(unusable(error))),
                    Meaning::Busy => {
                        if !unknown {
                            batch.iter().for_each(Request::mark_queued);
                        }
                        Some(error)
                    }
                    Meaning::Lost => {
                        self.disconnect();
                        unknown = true;
                        Some(error)
                    }
                },
                Err(_) => {
                    // Whether a call was under way is not known: its connection may hold one.
                    unknown = unknown || self.connection.is_some();
                    self.disconnect();
                    None
                }
            };
            if let Some(error) = &error {
                tracing::warn!(%error, members = batch.len(), unknown, "a batch got no answer");
            }
            let again = Instant::now() + RETRY_PAUSE;
            if again >= until {
                return Err(if unknown {
                    Failure::Unknown(error)
                } else {
                    Failure::Unavailable(error)
                });
            }
            sleep_until(again).await;
        }
    }

    async fn attempt(&mut self, batch: &mut Vec<Request>, again: bool) -> Result<Answers, Attempt> {
        self.continuity.check().await.map_err(Attempt::NotSent)?;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(
                append_connection(&self.options, &self.continuity)
                    .await
                    .map_err(Attempt::NotSent)?,
            ),
        };
        if !again {
            batch.retain(Request::mark_sent);
            if batch.is_empty() {
                return Err(Attempt::NotSent(StoreError::Unavailable(None)));
            }
        }
        let started = Instant::now();
        let call = connection.run(async |raw: &mut PgConnection| call::append(raw, batch).await);
        let (answers, warned) = self.notices.during(call).await;
        let answers = answers.map_err(Attempt::Failed)?;
        if warned {
            return Err(Attempt::Failed(sqlx::Error::Protocol(
                "the commit's wait for a synchronous standby was cancelled".into(),
            )));
        }
        metrics::sent(started.elapsed(), answers.waited);
        if let Err(error) = self.continuity.accept(answers.epoch).await {
            tracing::warn!(%error, "a batch was answered by a server that is not proved to be the \
                log's");
            return Err(Attempt::Failed(sqlx::Error::Protocol(
                "the answer came from another history".into(),
            )));
        }
        Ok(answers)
    }
}

/// Why one attempt failed.
enum Attempt {
    NotSent(StoreError),
    Failed(sqlx::Error),
}

fn deliver(batch: Vec<Request>, outcomes: Vec<AppendOutcome>) {
    for (request, outcome) in batch.into_iter().zip(outcomes) {
        request.answer(Ok(outcome));
    }
}

fn appended_events(outcome: &AppendOutcome) -> u64 {
    match outcome {
        AppendOutcome::Appended(appended) => appended.count.into(),
        AppendOutcome::Repeated { .. } | AppendOutcome::Refused(_) => 0,
    }
}

/// Answers every member of a batch that failed; the cause goes to the first, and was logged.
fn refuse(batch: Vec<Request>, failure: Failure) {
    let mut members = batch.into_iter();
    let Some(first) = members.next() else { return };
    let (to_first, to_others): (StoreError, fn() -> StoreError) = match failure {
        Failure::Data(error) => (StoreError::Database(error), || StoreError::Unavailable(None)),
        Failure::Unavailable(error) => {
            (StoreError::Unavailable(error), || StoreError::Unavailable(None))
        }
        Failure::Unknown(error) => {
            (StoreError::OutcomeUnknown(error), || StoreError::OutcomeUnknown(None))
        }
        Failure::Unusable(error) => {
            tracing::error!(%error, "the event store cannot be appended to");
            let why = error.to_string();
            let same = || match &error {
                StoreError::OtherHistory(why) => StoreError::OtherHistory(why.clone()),
                StoreError::Unsafe(why) => StoreError::Unsafe(why.clone()),
                _ => StoreError::Unusable(why.clone()),
            };
            members.by_ref().for_each(|request| request.answer(Err(same())));
            (error, || StoreError::Unavailable(None))
        }
    };
    first.answer(Err(to_first));
    for request in members {
        request.answer(Err(to_others()));
    }
}
