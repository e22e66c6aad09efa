//! The circuit breaker: calls to a target that keeps failing are refused for a while, so that they
//! fail at once and the target can recover.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::breaker_state::State;
use crate::telemetry;

mod window;

use window::Window;

/// After what time a refused call makes sense again while probes are under way.
const PROBE_PAUSE: Duration = Duration::from_secs(1);

/// When calls are refused.
#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// The time that attempts count.
    pub window: Duration,
    /// The minimum number of attempts in the window. With fewer, the breaker stays closed.
    pub min_attempts: u32,
    /// The part of failed attempts in the window that opens the breaker, from 0 to 1.
    pub failed_part: f64,
    /// How long the breaker stays open.
    pub open_for: Duration,
    /// How many probes there are at once when it is half open, and how many must succeed.
    pub probes: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            min_attempts: 10,
            failed_part: 0.5,
            open_for: Duration::from_secs(10),
            probes: 3,
        }
    }
}

/// The circuit breaker of one target.
#[derive(Debug)]
pub(crate) struct Breaker {
    target: Arc<str>,
    settings: BreakerSettings,
    circuit: Mutex<Circuit>,
}

#[derive(Debug)]
struct Circuit {
    phase: Phase,
    /// Counts the changes of state. What an attempt from before a change met says nothing about
    /// the target now.
    changes: u64,
}

#[derive(Debug)]
enum Phase {
    Closed(Window),
    Open { until: Instant },
    HalfOpen { under_way: u32, succeeded: u32 },
}

/// The breaker refuses an attempt: it is open, or enough probes are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// After what time another call makes sense.
    pub(crate) retry_after: Duration,
}

/// Lets one attempt pass. Dropped without a result, it counts as nothing.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    breaker: &'a Breaker,
    /// The number of changes when the attempt began.
    changes: u64,
    is_counted: bool,
}

impl Breaker {
    pub(crate) fn new(target: Arc<str>, settings: BreakerSettings) -> Self {
        telemetry::breaker_state(&target, State::Closed);
        let phase = Phase::Closed(Window::new(settings.window));
        Self { target, settings, circuit: Mutex::new(Circuit { phase, changes: 0 }) }
    }

    /// Lets an attempt pass, or refuses it.
    pub(crate) fn admit(&self) -> Result<Permit<'_>, Refused> {
        let mut circuit = self.circuit();
        if matches!(circuit.phase, Phase::Open { until } if until <= Instant::now()) {
            self.change(&mut circuit, Phase::HalfOpen { under_way: 0, succeeded: 0 });
        }
        refusal(&circuit.phase, self.settings.probes).map_or(Ok(()), Err)?;
        if let Phase::HalfOpen { under_way, .. } = &mut circuit.phase {
            *under_way += 1;
        }
        Ok(Permit { breaker: self, changes: circuit.changes, is_counted: false })
    }

    /// Whether an attempt would be refused now.
    pub(crate) fn refusal(&self) -> Option<Refused> {
        refusal(&self.circuit().phase, self.settings.probes)
    }

    /// The state, and the numbers of attempts and of failed ones in the window.
    pub(crate) fn state(&self) -> (State, u32, u32) {
        match &mut self.circuit().phase {
            Phase::Closed(window) => {
                let (attempts, failed) = window.counts();
                (State::Closed, attempts, failed)
            }
            Phase::Open { .. } => (State::Open, 0, 0),
            Phase::HalfOpen { succeeded, .. } => (State::HalfOpen, *succeeded, 0),
        }
    }

    fn open(&self, circuit: &mut Circuit) {
        let until = Instant::now() + self.settings.open_for;
        self.change(circuit, Phase::Open { until });
    }

    fn change(&self, circuit: &mut Circuit, phase: Phase) {
        circuit.phase = phase;
        circuit.changes += 1;
        let state = match &circuit.phase {
            Phase::Closed(_) => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        };
        telemetry::breaker_changed(&self.target, state);
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why an attempt would be refused now.
fn refusal(phase: &Phase, probes: u32) -> Option<Refused> {
    match phase {
        Phase::Closed(_) => None,
        Phase::Open { until } => {
            let left = until.saturating_duration_since(Instant::now());
            (!left.is_zero()).then_some(Refused { retry_after: left })
        }
        Phase::HalfOpen { under_way, succeeded } => {
            let is_enough = under_way + succeeded >= probes;
            is_enough.then_some(Refused { retry_after: PROBE_PAUSE })
        }
    }
}

impl Permit<'_> {
    /// Counts the attempt as one in which the target answered.
    pub(crate) fn succeeded(self) {
        self.count(false);
    }

    /// Counts the attempt as one in which the target failed.
    pub(crate) fn failed(self) {
        self.count(true);
    }

    fn count(mut self, has_failed: bool) {
        self.is_counted = true;
        let settings = &self.breaker.settings;
        let mut circuit = self.breaker.circuit();
        if circuit.changes != self.changes {
            return;
        }
        match &mut circuit.phase {
            Phase::Closed(window) => {
                window.add(has_failed);
                let (attempts, failed) = window.counts();
                let part = f64::from(failed) / f64::from(attempts.max(1));
                if attempts >= settings.min_attempts && part >= settings.failed_part {
                    self.breaker.open(&mut circuit);
                }
            }
            Phase::HalfOpen { .. } if has_failed => self.breaker.open(&mut circuit),
            Phase::HalfOpen { under_way, succeeded } => {
                *under_way -= 1;
                *succeeded += 1;
                if *succeeded >= settings.probes {
                    let window = Window::new(settings.window);
                    self.breaker.change(&mut circuit, Phase::Closed(window));
                }
            }
            // Nothing is admitted in this state, so no attempt of it ends.
            Phase::Open { .. } => {}
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_counted {
            return;
        }
        let mut circuit = self.breaker.circuit();
        if circuit.changes == self.changes
            && let Phase::HalfOpen { under_way, .. } = &mut circuit.phase
        {
            *under_way -= 1;
        }
    }
}

#[cfg(test)]
mod tests;
