//! The relay's metrics for Prometheus.

use metrics::{counter, describe_counter, describe_gauge, gauge};

/// Describes all metrics; call it once per process.
pub(super) fn describe() {
    describe_gauge!("relay_leader", "1 while this process leads, 0 while it is on standby");
    describe_gauge!("relay_term", "The latest term in which this process led");
    describe_gauge!(
        "relay_position",
        "Position of the last event known to be in the stream; absent while unknown"
    );
    describe_gauge!(
        "relay_lag_events",
        "Events of the log that are not known to be in the stream; absent while unknown, and \
            while another process leads"
    );
    describe_gauge!(
        "relay_lag_seconds",
        "Age of the oldest event that is not known to be in the stream; 0 if all are, absent \
            while unknown"
    );
    describe_counter!("relay_published_total", "Events handed to the broker, by result");
    describe_counter!(
        "relay_stubs_total",
        "Events published as a stub because they were too large for the broker"
    );
    describe_counter!(
        "relay_streams_made_total",
        "How often the stream was created or recreated because it was lost or foreign"
    );
    // Exported from the start, so that a rate has a first value.
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

/// Marks the position and lags as unknown.
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
