//! The metrics of sagas for Prometheus, by saga and step.

use std::time::Duration;

use metrics::histogram;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};

use crate::action::Outcome;
use crate::instance::{Due, Part};

const STEP: &str = "saga_step_duration_seconds";
const COMPENSATIONS: &str = "saga_compensations_total";
const CONFLICTS: &str = "saga_conflicts_total";
const ENDED: &str = "saga_ended_total";
const INSTANCES: &str = "saga_instances";
const RUNNING: &str = "saga_driven";

/// Describes the metrics.
pub(crate) fn describe() {
    describe_histogram!(
        STEP,
        Unit::Seconds,
        "Time of one call of an action or a compensation, by saga, step, part and outcome"
    );
    describe_counter!(COMPENSATIONS, Unit::Count, "Compensations that succeeded, by saga and step");
    describe_counter!(
        CONFLICTS,
        Unit::Count,
        "Calls of inside actions that were repeated because another writer was faster"
    );
    describe_counter!(ENDED, Unit::Count, "Sagas that this process ended, by saga and state");
    describe_gauge!(
        INSTANCES,
        Unit::Count,
        "Sagas that have not ended, by saga and state; absent while unknown"
    );
    describe_gauge!(RUNNING, Unit::Count, "Sagas that this process drives now");
}

/// Records the time and the outcome of one call of an action or a compensation.
pub(crate) fn call(saga: &'static str, due: &Due, outcome: &Outcome, took: Duration) {
    let name = match outcome {
        Outcome::Done(_) | Outcome::Append(..) => "done",
        Outcome::Rejected(_) => "rejected",
        Outcome::Unavailable { .. } => "unavailable",
        Outcome::Stuck(_) => "stuck",
        Outcome::Pending => "pending",
    };
    let (step, part) = (due.step.name(), due.part.as_str());
    histogram!(STEP, "saga" => saga, "step" => step, "part" => part, "outcome" => name)
        .record(took.as_secs_f64());
    if due.part == Part::Compensation && name == "done" {
        counter!(COMPENSATIONS, "saga" => saga, "step" => step).increment(1);
    }
}

/// Counts a call that is repeated because another writer was faster.
pub(crate) fn conflict(saga: &'static str, step: &'static str) {
    counter!(CONFLICTS, "saga" => saga, "step" => step).increment(1);
}

/// Counts an instance that ended.
pub(crate) fn ended(saga: &str, state: &'static str) {
    counter!(ENDED, "saga" => saga.to_owned(), "state" => state).increment(1);
}

/// Reports the number of instances in a state; `None` if it is not known.
#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
pub(crate) fn instances(saga: &str, state: &'static str, count: Option<i64>) {
    gauge!(INSTANCES, "saga" => saga.to_owned(), "state" => state)
        .set(count.map_or(f64::NAN, |count| count as f64));
}

/// Reports how many instances this process drives.
#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
pub(crate) fn driven(count: usize) {
    gauge!(RUNNING).set(count as f64);
}
