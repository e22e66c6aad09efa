//! What the metrics of this crate mean.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Describes every metric that this crate records; call once the process has its recorder.
pub fn describe_metrics() {
    describe_histogram!(
        "eventstore_append_duration_seconds",
        Unit::Seconds,
        "How long batches of appends took from sending to their outcome"
    );
    describe_histogram!("eventstore_append_batch_size", Unit::Count, "How many appends went into one batch");
    describe_counter!("eventstore_events_appended_total", Unit::Count, "How many events this process appended");
    describe_counter!("eventstore_conflicts_total", Unit::Count, "How many appends of this process were refused");
    describe_gauge!("eventstore_append_queue", Unit::Count, "How many appends wait for the next batch");
    describe_gauge!("eventstore_head_position", Unit::Count, "The newest position that this process knows");
}
