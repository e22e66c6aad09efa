//! What the relay tells Prometheus.

use metrics::{counter, describe_counter, describe_gauge, gauge};

/// Describes every metric, once per process.
pub(super) fn describe() {
    describe_gauge!("relay_leader", "1 while this process leads, 0 while it stands by");
    describe_gauge!("relay_term", "The term in which this process led last");
    describe_gauge!(
        "relay_position",
        "The position of the last event that is known to be in the stream; left out while unknown"
    );
    describe_gauge!(
        "relay_lag_events",
        "How many events of the log are not known to be in the stream; left out while unknown, as \
            while another process leads"
    );
    describe_gauge!(
        "relay_lag_seconds",
        "Age of the oldest event that is not known to be in the stream; 0 when all are, left out \
            while unknown"
    );
    describe_counter!("relay_published_total", "Events handed to the broker, by result");
    describe_counter!(
        "relay_stubs_total",
        "Events published as a stub because they are too large for the broker"
    );
    describe_counter!(
        "relay_streams_made_total",
        "How often the stream was made anew because it was lost or foreign"
    );
    // Shown from the start, so that a rate has a first value.
    counter!("relay_published_total", "result" => "ok").increment(0);
}

pub(super) fn leading(leads: bool) {
    gauge!("relay_leader").set(if leads { 1.0 } else { 0.0 });
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
pub(super) fn term(term: i64) {
    gauge!("relay_term").set(term as f64);
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
pub(super) fn progress(position: i64, head: i64, oldest_age_seconds: f64) {
    gauge!("relay_position").set(position as f64);
    gauge!("relay_lag_events").set((head - position).max(0) as f64);
    gauge!("relay_lag_seconds").set(oldest_age_seconds.max(0.0));
}

/// Where the stream ends is not known, or not how far the log goes.
pub(super) fn unknown() {
    for name in ["relay_position", "relay_lag_events", "relay_lag_seconds"] {
        gauge!(name).set(f64::NAN);
    }
}

pub(super) fn published(result: &'static str, events: usize, stubs: usize) {
    counter!("relay_published_total", "result" => result).increment(events as u64);
    if stubs > 0 {
        counter!("relay_stubs_total").increment(stubs as u64);
    }
}

pub(super) fn stream_made() {
    counter!("relay_streams_made_total").increment(1);
}
