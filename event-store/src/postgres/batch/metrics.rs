//! The metrics of batches. `telemetry.rs` describes their names.
//!
//! The appending program bounds the labels: they are its event types and stream categories.

use std::time::Duration;

use metrics::Gauge;

use super::Request;
use crate::append::AppendOutcome;
use crate::event::EventType;
use crate::postgres::call::Answers;

/// The category label of an append without a stream.
const NO_STREAM: &str = "none";

/// The gauge of appends that wait for an answer. Callers update it, so it stays true while the
/// server is silent.
#[derive(Clone)]
pub(super) struct Queue(Gauge);

/// One waiting append; dropping it lowers the gauge.
pub(super) struct Waiting(Gauge);

impl Queue {
    /// Makes the gauge with the recorder that is installed now.
    pub(super) fn new() -> Self {
        Self(metrics::gauge!("eventstore_append_queue"))
    }

    /// Counts one more waiting append.
    pub(super) fn wait(&self) -> Waiting {
        self.0.increment(1.0);
        Waiting(self.0.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Records that a batch was answered after `took`; its call waited `waited` seconds for the lock.
pub(super) fn sent(took: Duration, waited: f64) {
    metrics::histogram!("eventstore_append_duration_seconds").record(took.as_secs_f64());
    metrics::histogram!("eventstore_append_lock_wait_seconds").record(waited);
}

/// Counts the outcomes of a batch.
pub(super) fn record(batch: &[Request], answers: &Answers) {
    // A batch has few types, so a list is faster than a map.
    let mut types: Vec<(&EventType, u64)> = Vec::new();
    for (request, outcome) in batch.iter().zip(&answers.outcomes) {
        match outcome {
            AppendOutcome::Appended(_) => {
                for (event, _) in request.prepared.events() {
                    match types.iter_mut().find(|(known, _)| *known == &event.event_type) {
                        Some((_, count)) => *count += 1,
                        None => types.push((&event.event_type, 1)),
                    }
                }
            }
            AppendOutcome::Refused(_) => {
                let category = request
                    .prepared
                    .append
                    .streams
                    .first()
                    .map_or(NO_STREAM, |s| s.stream.category());
                metrics::counter!("eventstore_conflicts_total", "aggregate" => category.to_owned())
                    .increment(1);
            }
            AppendOutcome::Repeated { .. } => {}
        }
    }
    for (event_type, count) in types {
        metrics::counter!("eventstore_events_appended_total",
            "type" => event_type.as_str().to_owned())
        .increment(count);
    }
    metrics::histogram!("eventstore_append_batch_size").record(float(batch.len()));
}

#[expect(clippy::cast_precision_loss, reason = "counts are bounded far below 2^52")]
fn float(number: usize) -> f64 {
    number as f64
}
