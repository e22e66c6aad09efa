//! The metrics of the command API: names, descriptions, and one function that records each.

use std::time::Duration;

use event_store::{AppendOutcome, Position, StoreError};
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::application::command::Done;
use crate::application::error::CommandError;
use crate::application::repository::RepositoryError;

/// Describes every metric of this crate. Call it after the recorder is installed.
pub fn describe() {
    describe_histogram!(
        "command_duration_seconds",
        Unit::Seconds,
        "How long commands took, by command and outcome"
    );
    describe_counter!(
        "command_races_lost",
        "How often a command was decided again because something else came first, by command"
    );
    describe_counter!(
        "idempotency_replays",
        "How many commands were answered as an earlier one with the same key, by command"
    );
    describe_gauge!(
        "eventstore_head_position",
        "Position of the last event of the log; left out while the log cannot be asked"
    );
}

/// Records the position of the log's head. With `None` the head cannot be read, and other processes
/// may append in the meantime.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
pub fn head(position: Option<Position>) {
    gauge!("eventstore_head_position").set(position.map_or(f64::NAN, |position| position.0 as f64));
}

/// Records the duration and the outcome of a command.
pub fn command_ended(command: &'static str, result: &Result<Done, CommandError>, took: Duration) {
    histogram!("command_duration_seconds", "command" => command, "outcome" => outcome(result))
        .record(took.as_secs_f64());
    if matches!(result, Ok(Done { replayed: true, .. })) {
        counter!("idempotency_replays", "command" => command).increment(1);
    }
}

/// Records the duration and the outcome of the append of a batch.
pub fn batch_ended(result: &Result<AppendOutcome, RepositoryError>, took: Duration) {
    let outcome = match result {
        Ok(AppendOutcome::Appended(_)) => "done",
        Ok(AppendOutcome::Repeated { .. }) => "replayed",
        Ok(AppendOutcome::Refused(_)) => "refused",
        Err(RepositoryError::Store(StoreError::OutcomeUnknown(_))) => "unknown",
        Err(_) => "failed",
    };
    histogram!("command_duration_seconds", "command" => "batch", "outcome" => outcome)
        .record(took.as_secs_f64());
}

/// Records that a command lost a race and is decided again.
pub fn race_lost(command: &'static str) {
    counter!("command_races_lost", "command" => command).increment(1);
}

fn outcome(result: &Result<Done, CommandError>) -> &'static str {
    match result {
        Ok(Done { replayed: true, .. }) => "replayed",
        Ok(Done { replayed: false, .. }) => "done",
        Err(CommandError::Repository(RepositoryError::Store(StoreError::OutcomeUnknown(_)))) => {
            "unknown"
        }
        Err(error) if error.is_refusal() => "refused",
        Err(_) => "failed",
    }
}
