//! Descriptions of this crate's metrics, and functions that record some of them.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Describes every metric that this crate records. Call it once the process has its recorder.
pub fn describe_metrics() {
    describe_histogram!(
        "eventstore_append_duration_seconds",
        Unit::Seconds,
        "How long batches of appends took from sending to their outcome"
    );
    describe_histogram!(
        "eventstore_append_batch_size",
        Unit::Count,
        "How many appends went into one batch"
    );
    describe_histogram!(
        "eventstore_append_lock_wait_seconds",
        Unit::Seconds,
        "How long batches of appends waited in Postgres for the lock on the log"
    );
    describe_counter!(
        "eventstore_events_appended_total",
        Unit::Count,
        "How many events of which type this process appended"
    );
    describe_counter!(
        "eventstore_conflicts_total",
        Unit::Count,
        "How many appends of this process were refused, by the category of the stream that they \
            first name"
    );
    describe_gauge!("eventstore_append_queue", Unit::Count, "How many appends wait for an answer");
    describe_counter!(
        "eventstore_state_loads_total",
        Unit::Count,
        "Loads of a stream's state, one for all who asked at once, by cache: hit, miss, or none \
            for a state that is not cached"
    );
    describe_gauge!(
        "eventstore_cache_states",
        Unit::Count,
        "How many states of streams are in memory"
    );
    describe_gauge!("eventstore_cache_bytes", Unit::Bytes, "About how many bytes they take");
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
