//! Descriptions of this crate's metrics, and functions that record some of them.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Describes every metric that this crate records. Call it once the process has its recorder.
pub fn describe_metrics() {
    describe_histogram!(
        "eventstore_append_duration_seconds",
        Unit::Seconds,
        "Time of append batches from sending to their outcome"
    );
    describe_histogram!("eventstore_append_batch_size", Unit::Count, "Appends per batch");
    describe_histogram!(
        "eventstore_append_lock_wait_seconds",
        Unit::Seconds,
        "Time that append batches waited in Postgres for the lock on the log"
    );
    describe_counter!(
        "eventstore_events_appended_total",
        Unit::Count,
        "Events appended by this process, by type"
    );
    describe_counter!(
        "eventstore_conflicts_total",
        Unit::Count,
        "Refused appends of this process, by the category of the first stream that they name"
    );
    describe_gauge!("eventstore_append_queue", Unit::Count, "Appends that wait for an answer");
    describe_histogram!(
        "eventstore_read_round_size",
        Unit::Count,
        "Streams that were read by one statement"
    );
    describe_counter!(
        "eventstore_state_loads_total",
        Unit::Count,
        "Loads of stream states, with concurrent ones counted once, by cache: hit, miss, or none \
            for a state that is not cached"
    );
    describe_gauge!("eventstore_cache_states", Unit::Count, "Stream states in memory");
    describe_gauge!(
        "eventstore_cache_bytes",
        Unit::Bytes,
        "Approximate size of the stream states in memory"
    );
    describe_counter!(
        "eventstore_snapshots_total",
        Unit::Count,
        "Snapshots used, taken, failed, or passed_over because too many waited"
    );
}

/// Counts a loaded state: cached, not cached, or loaded without a cache.
pub(crate) fn state_loaded(cached: Option<bool>) {
    let cache = match cached {
        Some(true) => "hit",
        Some(false) => "miss",
        None => "none",
    };
    metrics::counter!("eventstore_state_loads_total", "cache" => cache).increment(1);
}

/// Records how many states are in memory and how many bytes they take.
#[allow(clippy::cast_precision_loss, reason = "metrics are floats; sizes stay exact up to 2^53")]
pub(crate) fn cache_holds((states, bytes): (usize, usize)) {
    metrics::gauge!("eventstore_cache_states").set(states as f64);
    metrics::gauge!("eventstore_cache_bytes").set(bytes as f64);
}

/// Counts the result of a snapshot.
pub(crate) fn snapshot(result: &'static str) {
    metrics::counter!("eventstore_snapshots_total", "result" => result).increment(1);
}

/// Records the number of streams that one statement read.
#[allow(clippy::cast_precision_loss, reason = "metrics are floats; rounds are small")]
pub(crate) fn read_round(streams: usize) {
    metrics::histogram!("eventstore_read_round_size").record(streams as f64);
}
