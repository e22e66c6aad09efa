//! The attempts of one round: at most so many at once, each of which builds its message just
//! before it is sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_store::{Epoch, RecordedEvent};
use futures::StreamExt as _;
use futures::stream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::event_at;
use crate::destination::{Destination, Failure, FailureKind, Outcome};
use crate::message::{Form, Message};
use crate::sending::Sending;
use crate::tables::{Due, Failed, Results};
use crate::telemetry;

/// How long a feed rests if the log or the keys cannot be read.
const AWAY: Duration = Duration::from_secs(1);

/// One delivery to try.
#[derive(Debug)]
pub(super) enum Job {
    /// An event that was not tried before.
    First(Box<RecordedEvent>),
    /// A delivery that failed before. Its event is read from the log again.
    Repeat(Due),
}

impl Job {
    fn position(&self) -> i64 {
        match self {
            Self::First(event) => event.position.0,
            Self::Repeat(due) => due.position,
        }
    }

    fn event_id(&self) -> Uuid {
        match self {
            Self::First(event) => event.id,
            Self::Repeat(due) => due.event_id,
        }
    }

    fn event_type(&self) -> String {
        match self {
            Self::First(event) => event.event_type.as_str().to_owned(),
            // Its row has it.
            Self::Repeat(_) => String::new(),
        }
    }

    /// The number of attempts before.
    fn attempts(&self) -> i32 {
        match self {
            Self::First(_) => 0,
            Self::Repeat(due) => due.attempts,
        }
    }
}

/// The attempts of a round.
pub(super) struct Attempts<'a, D> {
    pub(super) sending: &'a Sending,
    pub(super) destination: &'a D,
    pub(super) form: Form,
    pub(super) epoch: Epoch,
    pub(super) stop: &'a CancellationToken,
    /// How long to leave the destination alone, once it refused an attempt.
    pub(super) rest: Option<Duration>,
    /// Whether the destination wants no more.
    pub(super) is_gone: bool,
    /// When the next attempt of a replay may begin, and the time between two.
    pub(super) pace: Option<(&'a mut Instant, Duration)>,
}

impl<D: Destination> Attempts<'_, D> {
    /// Tries the jobs, in their order. After the first one that shows that the destination takes
    /// nothing now, no other begins. The results are those of the first jobs, without a gap.
    pub(super) async fn make(&mut self, jobs: Vec<Job>) -> Results {
        let starts = self.starts(jobs.len());
        let halted = AtomicBool::new(false);
        let is_on = || !halted.load(Ordering::Relaxed) && !self.stop.is_cancelled();
        let ended: Vec<(Job, Outcome)> = stream::iter(jobs.into_iter().zip(starts))
            .take_while(|_| std::future::ready(is_on()))
            .map(|(job, start)| {
                let (this, halted) = (&*self, &halted);
                async move {
                    if let Some(start) = start {
                        sleep_until(start).await;
                    }
                    let outcome = this.attempt(&job).await;
                    if takes_nothing(&outcome) {
                        halted.store(true, Ordering::Relaxed);
                    }
                    (job, outcome)
                }
            })
            .buffered(self.sending.limits.at_once)
            .collect()
            .await;
        let mut results = Results::default();
        for (job, outcome) in ended {
            self.count(&mut results, &job, &outcome);
        }
        results
    }

    /// When each of the next attempts may begin.
    fn starts(&mut self, count: usize) -> Vec<Option<Instant>> {
        let Some((next, interval)) = &mut self.pace else { return vec![None; count] };
        let mut start = (**next).max(Instant::now());
        let starts = (0..count).map(|_| {
            let this = start;
            start += *interval;
            Some(this)
        });
        let starts = starts.collect();
        **next = start;
        starts
    }

    async fn attempt(&self, job: &Job) -> Outcome {
        let message = match self.message(job).await {
            Ok(message) => message,
            Err(outcome) => return outcome,
        };
        self.destination.deliver(&message).await
    }

    /// Builds the message of an event. An erased subject has no values in it, however late it is.
    async fn message(&self, job: &Job) -> Result<Message, Outcome> {
        let no_event = || Outcome::Failed(Failure::without_answer(FailureKind::NoEvent));
        let away = |error: &(dyn std::error::Error + 'static)| {
            tracing::warn!(error = cli_kit::describe(error), "an event cannot be read now");
            Outcome::Unsent { after: AWAY }
        };
        let event = match job {
            Job::First(event) => (**event).clone(),
            Job::Repeat(due) => event_at(self.sending, due.position, due.event_id)
                .await
                .map_err(|error| away(&error))?
                .ok_or_else(no_event)?,
        };
        let mut event = [event];
        if self.form.personal {
            let Some(vault) = &self.sending.vault else {
                tracing::error!("a subscription has personal data, and this process has no keys");
                return Err(Outcome::Unsent { after: AWAY });
            };
            let unreadable = vault.reveal(&mut event).await.map_err(|error| away(&error))?;
            if let Some(unreadable) = unreadable.first() {
                let position = unreadable.0.0;
                tracing::error!(position, "a personal field of the event cannot be decrypted");
            }
        }
        let [event] = event;
        self.form.message(&event, self.epoch).map_err(|error| {
            let position = event.position.0;
            tracing::error!(position, error = cli_kit::describe(&error), "cannot be sent");
            no_event()
        })
    }

    fn count(&mut self, results: &mut Results, job: &Job, outcome: &Outcome) {
        let (attempts, limits) = (job.attempts(), &self.sending.limits);
        let (attempts, pause, error, status) = match outcome {
            Outcome::Delivered => {
                telemetry::attempted(self.form.subscription, "delivered");
                results.any_attempt = true;
                results.delivered.push(job.position());
                return;
            }
            Outcome::Unsent { after } => {
                telemetry::attempted(self.form.subscription, "unsent");
                self.rest = Some(self.rest.unwrap_or_default().max(*after));
                (attempts, Some(*after), "unsent", None)
            }
            Outcome::Failed(Failure { kind, status, retry_after }) => {
                telemetry::attempted(self.form.subscription, kind.as_str());
                results.any_attempt = true;
                self.is_gone |= *kind == FailureKind::Gone;
                let attempts = attempts.saturating_add(1);
                let is_hopeless = *kind == FailureKind::NoEvent;
                let pause = if is_hopeless { None } else { limits.pause(attempts, *retry_after) };
                (attempts, pause, kind.as_str(), *status)
            }
        };
        results.failed.push(Failed {
            position: job.position(),
            event_id: job.event_id(),
            event_type: job.event_type(),
            attempts,
            pause,
            error,
            status,
        });
    }
}

/// Whether no further attempt makes sense now.
const fn takes_nothing(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Unsent { .. } => true,
        Outcome::Failed(failure) => matches!(failure.kind, FailureKind::Gone),
        Outcome::Delivered => false,
    }
}
