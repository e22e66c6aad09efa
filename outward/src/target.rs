//! One system that is called: all limits come together here.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use crate::answer::{Answer, Verdict};
use crate::backoff::Backoff;
use crate::breaker::{Breaker, Permit, Refused};
use crate::breaker_state::State;
use crate::budget::Budget;
use crate::bulkhead::Bulkhead;
use crate::effect::Effect;
use crate::error::{CallError, Reason};
use crate::http::{Http, SendError, Transport};
use crate::request::{Repeat, Request};
use crate::retry_after::retry_after;
use crate::settings::Settings;
use crate::{telemetry, trace};

#[cfg(test)]
mod tests;

/// A system that is called. Share it: its limits hold for all calls through it.
#[derive(Debug)]
pub struct Target<T = Http> {
    name: Arc<str>,
    transport: T,
    settings: Settings,
    breaker: Breaker,
    budget: Budget,
    bulkhead: Bulkhead,
}

/// How things are with a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The name of the target, as in metrics.
    pub target: Arc<str>,
    /// The state of its circuit breaker.
    pub state: State,
    /// The number of recent attempts, by the breaker's window.
    pub attempts: u32,
    /// The number of recent attempts that failed.
    pub failed: u32,
    /// The number of attempts under way.
    pub under_way: usize,
    /// The number of calls that wait for a place.
    pub waiting: usize,
    /// The number of retries that the budget allows now.
    pub retries: f64,
}

/// What one attempt met, if that is not a final answer.
struct Failed {
    reason: Reason,
    effect: Effect,
    retry_after: Option<Duration>,
    /// Whether another attempt of the same call makes sense.
    is_repeatable: bool,
    /// Whether the attempt was sent.
    is_sent: bool,
}

impl<T: Transport> Target<T> {
    /// A target with a name for errors and metrics.
    pub fn new(name: impl Into<Arc<str>>, transport: T, settings: Settings) -> Self {
        telemetry::describe();
        let name = name.into();
        Self {
            breaker: Breaker::new(Arc::clone(&name), settings.breaker),
            budget: Budget::new(settings.budget),
            bulkhead: Bulkhead::new(settings.bulkhead),
            name,
            transport,
            settings,
        }
    }

    /// How things are with the target.
    pub fn report(&self) -> Report {
        let (state, attempts, failed) = self.breaker.state();
        let (under_way, waiting) = self.bulkhead.load();
        let (target, retries) = (Arc::clone(&self.name), self.budget.saved());
        Report { target, state, attempts, failed, under_way, waiting, retries }
    }

    /// Calls the target: sends the request until there is a final answer, or no further attempt is
    /// allowed. An answer is final with any status that another attempt would get again.
    ///
    /// # Errors
    /// [`CallError`], which says whether the call may have taken effect.
    pub async fn call(&self, mut request: Request) -> Result<Answer, CallError> {
        let result = match request.seal() {
            Ok(()) => self.attempts(request).await,
            Err(_) => Err(self.error(Failed::before_sending(Reason::Key), Effect::None, 0)),
        };
        telemetry::called(&self.name, &result);
        result
    }

    async fn attempts(&self, mut request: Request) -> Result<Answer, CallError> {
        let limit = request.total_limit.unwrap_or(self.settings.total_limit);
        let deadline = Instant::now() + limit.min(self.settings.total_limit);
        let mut pauses = Backoff::new(self.settings.first_pause, self.settings.longest_pause);
        let trace = request.traceparent.take();
        let (mut effect, mut sent) = (Effect::None, 0);
        self.budget.deposit();
        loop {
            if let Some(span) = trace.as_deref().and_then(trace::child) {
                request.headers.insert(trace::TRACEPARENT, span);
            }
            let failed = match self.attempt(&request, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            sent += u32::from(failed.is_sent);
            if request.repeat != Repeat::Reads {
                effect = effect.max(failed.effect);
            }
            let pause = pauses.next_pause() + failed.retry_after.unwrap_or_default();
            if !self.may_repeat(&request, &failed, (effect, sent), deadline, pause) {
                return Err(self.error(failed, effect, sent));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether the call goes on after a failed attempt.
    fn may_repeat(
        &self,
        request: &Request,
        failed: &Failed,
        (effect, sent): (Effect, u32),
        deadline: Instant,
        pause: Duration,
    ) -> bool {
        let is_safe = effect == Effect::None || request.repeat != Repeat::Unsafe;
        let is_in_time = Instant::now() + pause < deadline;
        let is_sensible = failed.is_repeatable && sent < self.settings.attempts;
        if !is_safe || !is_in_time || !is_sensible {
            return false;
        }
        let is_within_budget = self.budget.withdraw();
        telemetry::repeated(&self.name, is_within_budget);
        is_within_budget
    }

    /// One attempt, within the limits.
    async fn attempt(&self, request: &Request, deadline: Instant) -> Result<Answer, Failed> {
        // Not to wait for a place only to be refused then.
        self.breaker.refusal().map_or(Ok(()), |refused| Err(Failed::from(refused)))?;
        let _place = match timeout_at(deadline, self.bulkhead.enter()).await {
            Ok(entered) => entered.map_err(Failed::before_sending)?,
            Err(_) => return Err(Failed::before_sending(Reason::NoRoomInTime)),
        };
        let permit = self.breaker.admit()?;
        let began = Instant::now();
        let limit = self.settings.attempt_limit.min(deadline.saturating_duration_since(began));
        let result = timeout(limit, self.transport.send(request)).await;
        telemetry::attempted(&self.name, began.elapsed());
        match result {
            Ok(Ok(answer)) => self.judged(answer, permit),
            Ok(Err(error)) => Err(Failed::sending(error, permit)),
            Err(_) => {
                // A call that is nearly out of time says little about its target.
                if limit * 2 >= self.settings.attempt_limit {
                    permit.failed();
                }
                Err(Failed::sent(Reason::TimedOut, Effect::Unknown, None))
            }
        }
    }

    fn judged(&self, answer: Answer, permit: Permit<'_>) -> Result<Answer, Failed> {
        let verdict = (self.settings.judge)(&answer);
        if answer.status.is_server_error() {
            permit.failed();
        } else {
            permit.succeeded();
        }
        match verdict {
            Verdict::Final => Ok(answer),
            Verdict::Again(effect) => {
                let wait = retry_after(&answer.headers, self.settings.max_retry_after);
                Err(Failed::sent(Reason::Answered(Box::new(answer)), effect, wait))
            }
        }
    }

    fn error(&self, failed: Failed, effect: Effect, attempts: u32) -> CallError {
        let Failed { reason, retry_after, .. } = failed;
        CallError { target: Arc::clone(&self.name), reason, effect, retry_after, attempts }
    }
}

impl Failed {
    /// An attempt that was never sent, and would not be now.
    const fn before_sending(reason: Reason) -> Self {
        let (effect, retry_after) = (Effect::None, None);
        Self { reason, effect, retry_after, is_repeatable: false, is_sent: false }
    }

    /// An attempt that was sent, or tried to be.
    const fn sent(reason: Reason, effect: Effect, retry_after: Option<Duration>) -> Self {
        Self { reason, effect, retry_after, is_repeatable: true, is_sent: true }
    }

    /// An attempt without an answer.
    fn sending(error: SendError, permit: Permit<'_>) -> Self {
        let reason = match error {
            SendError::Path(invalid) => return Self::before_sending(Reason::Path(invalid)),
            SendError::TooLong { limit } => {
                // The target works. It would send the same again.
                permit.succeeded();
                let failed = Self::sent(Reason::TooLong { limit }, Effect::Unknown, None);
                return Self { is_repeatable: false, ..failed };
            }
            SendError::Unreachable(source) => {
                permit.failed();
                return Self::sent(Reason::Unreachable(source), Effect::None, None);
            }
            SendError::Lost(source) => Reason::Lost(source),
        };
        permit.failed();
        Self::sent(reason, Effect::Unknown, None)
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        let retry_after = Some(refused.retry_after);
        Self { retry_after, ..Self::before_sending(Reason::CircuitOpen) }
    }
}
