//! The metrics and log lines of outward calls.

use std::time::Duration;

use crate::breaker_state::State;
use crate::effect::Effect;
use crate::error::{CallError, Reason};

/// Describes the metrics.
pub(crate) fn describe() {
    metrics::describe_counter!(
        "outward_calls",
        "Calls to a target by outcome: answered, refused (nothing was sent), failed (it took no \
            effect), unknown (it may have taken effect)"
    );
    metrics::describe_counter!("outward_retries", "Attempts after the first one of each call");
    metrics::describe_counter!(
        "outward_retries_denied",
        "Attempts that were not repeated because the budget of retries was used up"
    );
    metrics::describe_histogram!(
        "outward_attempt_duration_seconds",
        metrics::Unit::Seconds,
        "The time of one attempt, with its whole answer"
    );
    metrics::describe_gauge!(
        "circuit_breaker_state",
        "The state of a target's circuit breaker: 0 closed, 1 half open, 2 open"
    );
    metrics::describe_counter!(
        "circuit_breaker_changes",
        "Changes of the state of a target's circuit breaker"
    );
}

/// Shows the state of a breaker.
pub(crate) fn breaker_state(target: &str, state: State) {
    let value = match state {
        State::Closed => 0.0,
        State::HalfOpen => 1.0,
        State::Open => 2.0,
    };
    metrics::gauge!("circuit_breaker_state", "target" => target.to_owned()).set(value);
}

/// Records that a breaker changed its state.
pub(crate) fn breaker_changed(target: &str, state: State) {
    breaker_state(target, state);
    let labels = [("target", target.to_owned()), ("to", state.name().to_owned())];
    metrics::counter!("circuit_breaker_changes", &labels).increment(1);
    match state {
        State::Open => tracing::warn!(target_name = target, "a circuit breaker opened"),
        State::HalfOpen => tracing::info!(target_name = target, "a circuit breaker is half open"),
        State::Closed => tracing::info!(target_name = target, "a circuit breaker closed"),
    }
}

/// Records the time of an attempt.
pub(crate) fn attempted(target: &str, time: Duration) {
    metrics::histogram!("outward_attempt_duration_seconds", "target" => target.to_owned())
        .record(time.as_secs_f64());
}

/// Records that a call is repeated, or that the budget does not allow it.
pub(crate) fn repeated(target: &str, is_within_budget: bool) {
    let name = if is_within_budget { "outward_retries" } else { "outward_retries_denied" };
    metrics::counter!(name, "target" => target.to_owned()).increment(1);
}

/// Records how a call ended.
pub(crate) fn called<T>(target: &str, result: &Result<T, CallError>) {
    let outcome = match result {
        Ok(_) => "answered",
        Err(error) if error.effect == Effect::Unknown => "unknown",
        Err(error) if is_refused(&error.reason) => "refused",
        Err(_) => "failed",
    };
    let labels = [("target", target.to_owned()), ("outcome", outcome.to_owned())];
    metrics::counter!("outward_calls", &labels).increment(1);
}

/// Whether this process refused the call.
const fn is_refused(reason: &Reason) -> bool {
    use Reason::{Busy, CircuitOpen, Key, NoRoomInTime, Path};
    matches!(reason, CircuitOpen | Busy { .. } | NoRoomInTime | Path(_) | Key)
}
