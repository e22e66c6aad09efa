//! Sends batches over the one append connection: retries, halves, and gives up in time.

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

/// The pause before the same batch is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The number of writers, waiting or just answered, up to which all share one batch. The next batch
/// then waits until those just answered have run and returned, so all share the fixed cost of a
/// batch. With more writers, two groups take turns: one prepares its appends while the other's are
/// written.
pub(super) const TOGETHER: usize = 128;

/// The owner of the append connection.
pub(crate) struct Sender {
    options: Arc<PostgresOptions>,
    continuity: Arc<Continuity>,
    waker: Waker,
    connection: Option<Connection>,
    notices: Notices,
    state: BatcherState,
}

/// The reason why a batch got no answers.
enum Failure {
    /// Its data caused an error.
    Data(sqlx::Error),
    /// The deadline passed, and nothing was appended.
    Unavailable(Option<sqlx::Error>),
    /// It may have been appended, but no answer came before the deadline.
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

    /// Drops a connection whose state is unknown.
    pub(crate) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Sends a batch and answers each of its members. `waiting` returns the number of other waiting
    /// appends.
    pub(crate) async fn send(&mut self, batch: Vec<Request>, waiting: impl Fn() -> usize) {
        // A stack with the next batch on top, so the halves of a batch keep their order.
        let mut batches = vec![batch];
        while let Some(mut batch) = batches.pop() {
            match self.call(&mut batch).await {
                _ if batch.is_empty() => {}
                Ok(answers) => self.answer(batch, answers, waiting()),
                Err(Failure::Data(error)) if batch.len() > 1 => {
                    tracing::warn!(members = batch.len(), %error, "a batch failed because \
                        of its data and is halved");
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
        self.continuity.learn_head(answers.head);
        let events: u64 = answers.outcomes.iter().map(appended_events).sum();
        if events > 0 {
            self.waker.wake();
        }
        metrics::record(&batch, &answers);
        if batch.len() + waiting <= TOGETHER {
            deliver(batch, answers.outcomes);
        } else {
            // Deliver concurrently with the next batch, which need not wait until all callers are
            // woken.
            tokio::spawn(async move { deliver(batch, answers.outcomes) });
        }
    }

    /// Calls until an answer arrives or every member's deadline has passed. Members whose callers
    /// gave up before the first send are removed.
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
                    tracing::error!(%error, members = batch.len(), "the outcome of a batch is \
                        unknown");
                    return Err(Failure::Unknown(None));
                }
                Ok(Err(Attempt::NotSent(error))) => return Err(Failure::Unusable(error)),
                Ok(Err(Attempt::Failed(error))) => match meaning_of_append(&error) {
                    // If an earlier attempt had succeeded, the ids would show it. The data error is
                    // therefore that of this attempt.
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
                    // The connection may have had a call in flight, so the outcome is unknown.
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

/// The reason why one attempt failed.
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

/// Answers every member of a failed batch. The first gets the cause, which was logged.
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
