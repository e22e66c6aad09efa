//! The metrics of webhooks. The label `subscription` has at most
//! [`MAX_SUBSCRIPTIONS`](crate::limits::MAX_SUBSCRIPTIONS) values at once.

use std::collections::BTreeSet;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use uuid::Uuid;

use crate::tables::SubscriptionRow;

const ATTEMPTS: &str = "webhook_attempts";
const LAG: &str = "webhook_lag_events";
const WAITING: &str = "webhook_waiting_deliveries";
const PARKED: &str = "webhook_parked_deliveries";
const PAUSED: &str = "webhook_subscription_paused";

/// Describes the metrics.
pub(crate) fn describe() {
    describe_counter!(
        ATTEMPTS,
        "Attempts to deliver an event, by subscription and outcome: delivered, unsent (the \
            receiver is left alone for a while), or the kind of failure"
    );
    describe_gauge!(
        LAG,
        "Events of the log after the position of a subscription; absent while another process sends"
    );
    describe_gauge!(WAITING, "Deliveries of a subscription that wait for another attempt");
    describe_gauge!(PARKED, "Deliveries of a subscription that a person must decide about");
    describe_gauge!(PAUSED, "1 if nothing is sent to a subscription until somebody resumes it");
}

/// Counts an attempt.
pub(crate) fn attempted(subscription: Uuid, outcome: &'static str) {
    let labels = [("subscription", subscription.to_string()), ("outcome", outcome.to_owned())];
    counter!(ATTEMPTS, &labels).increment(1);
}

/// The gauges of all subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    shown: BTreeSet<Uuid>,
}

impl Gauges {
    /// Shows how things are with the subscriptions, while the log ends at `head`. Those that are
    /// gone have no value any more.
    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
    pub(crate) fn show(&mut self, rows: &[SubscriptionRow], head: Option<i64>) {
        let there: BTreeSet<Uuid> = rows.iter().map(|row| row.id).collect();
        for gone in self.shown.difference(&there) {
            unknown(*gone);
        }
        for row in rows {
            let set = |name: &'static str, value: f64| {
                gauge!(name, "subscription" => row.id.to_string()).set(value);
            };
            set(LAG, head.map_or(f64::NAN, |head| (head - row.position).max(0) as f64));
            set(WAITING, row.waiting as f64);
            set(PARKED, row.parked as f64);
            set(PAUSED, if row.paused_for.is_some() { 1.0 } else { 0.0 });
        }
        self.shown = there;
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        self.shown.iter().copied().for_each(unknown);
    }
}

/// Marks the gauges of a subscription as unknown.
fn unknown(subscription: Uuid) {
    for name in [LAG, WAITING, PARKED, PAUSED] {
        gauge!(name, "subscription" => subscription.to_string()).set(f64::NAN);
    }
}
