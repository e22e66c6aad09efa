//! The relay's metrics for Prometheus.

use metrics::{counter, describe_counter, describe_gauge, gauge};

/// Describes all metrics.
fn describe() {
    describe_gauge!("relay_leader", "1 while this process leads for the target, 0 while it is on standby");
    describe_gauge!("relay_term", "The latest term in which this process led for the target");
    describe_gauge!(
        "relay_position",
        "Position of the last event known to be in the target; absent while unknown"
    );
    describe_gauge!(
        "relay_lag_events",
        "Events of the log that are not known to be in the target; absent while unknown, and \
            while another process leads"
    );
    describe_gauge!(
        "relay_lag_seconds",
        "Age of the oldest event that is not known to be in the target; 0 if all are, absent \
            while unknown"
    );
    describe_counter!("relay_published_total", "Events handed to the target, by result");
    describe_counter!(
        "relay_stubs_total",
        "Events published as a stub because they were too large for the target"
    );
    describe_counter!(
        "relay_streams_made_total",
        "How often the stream was created or recreated because it was lost or foreign"
    );
}

/// Exports the first values of a target, so that a rate has one.
pub(super) fn start(target: &'static str) {
    describe();
    counter!("relay_published_total", "target" => target, "result" => "ok").increment(0);
    leading(target, false);
    unknown(target);
}

pub(super) fn leading(target: &'static str, leads: bool) {
    gauge!("relay_leader", "target" => target).set(if leads { 1.0 } else { 0.0 });
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
pub(super) fn term(target: &'static str, term: i64) {
    gauge!("relay_term", "target" => target).set(term as f64);
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
pub(super) fn progress(
    target: &'static str,
    position: i64,
    head: i64,
    oldest_age_seconds: f64,
) {
    gauge!("relay_position", "target" => target).set(position as f64);
    gauge!("relay_lag_events", "target" => target).set((head - position).max(0) as f64);
    gauge!("relay_lag_seconds", "target" => target).set(oldest_age_seconds.max(0.0));
}

/// Marks the position and lags as unknown.
pub(super) fn unknown(target: &'static str) {
    for name in ["relay_position", "relay_lag_events", "relay_lag_seconds"] {
        gauge!(name, "target" => target).set(f64::NAN);
    }
}

pub(super) fn published(
    target: &'static str,
    result: &'static str,
    events: usize,
    stubs: usize,
) {
    let published = counter!("relay_published_total", "target" => target, "result" => result);
    published.increment(events as u64);
    if stubs > 0 {
        counter!("relay_stubs_total", "target" => target).increment(stubs as u64);
    }
}

pub(super) fn stream_made() {
    counter!("relay_streams_made_total").increment(1);
}
