//! The metrics of workers for Prometheus, by the name of the consumer.

use event_store::Position;
use metrics::{describe_gauge, gauge};

const POSITION: &str = "consumer_position";
const LAG: &str = "consumer_lag_events";

/// Describes the metrics.
pub(super) fn describe() {
    describe_gauge!(
        POSITION,
        "Position of the last event that took effect; absent while another process works"
    );
    describe_gauge!(
        LAG,
        "Events of the log that have not taken effect; absent while unknown, and while another \
            process works"
    );
}

/// Reports how far the consumer is.
#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
pub(super) fn at(consumer: &str, position: Position, head: Position) {
    gauge!(POSITION, "consumer" => consumer.to_owned()).set(position.0 as f64);
    gauge!(LAG, "consumer" => consumer.to_owned()).set((head.0 - position.0).max(0) as f64);
}

/// Marks both figures as unknown.
pub(super) fn unknown(consumer: &str) {
    for name in [POSITION, LAG] {
        gauge!(name, "consumer" => consumer.to_owned()).set(f64::NAN);
    }
}
