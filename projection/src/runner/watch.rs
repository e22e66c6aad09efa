//! The runner's readiness and metrics.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use event_feed::FollowError;
use event_store::KeyError;
use event_store::{EventStore, Position, WrittenType};
use service_kit::clock::SharedClock;
use service_kit::health::{Component, Health};
use service_kit::telemetry;

use super::pulse::Pulse;
use super::slot::Slot;
use super::{RunError, Standing};
use crate::chain;
use crate::pause::Pause;

/// A projection that is behind and has not moved for this long makes the process not ready.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(8);

/// The connections of the runner besides those of its partitions: one that looks for work.
const OTHER_CONNECTIONS: u32 = 1;

/// The gauges of each partition.
const GAUGES: [&str; 4] = [
    "projection_position",
    "projection_lag_events",
    "projection_lag_seconds",
    "projection_parked_events",
];

/// Readiness and metrics of a runner.
#[derive(Debug, Clone)]
pub struct Watch {
    event_store: Component,
    subject_keys: Component,
    read_model: Component,
    projections: Component,
    nats: Component,
    event_types: Component,
    pauses: Component,
    clock: SharedClock,
    pulse: Pulse,
    /// The head of the log when a process without partitions last read it.
    asked: Arc<Mutex<Position>>,
    /// The partitions whose gauges are set.
    told: Arc<Mutex<BTreeSet<(String, i32)>>>,
}

impl Watch {
    /// Adds the runner's partitions to `health`.
    pub fn new(health: &Health, clock: SharedClock) -> Self {
        describe();
        let subject_keys = health.component("subject_keys");
        // Keys are read only when an event needs them.
        subject_keys.ready();
        Self {
            event_store: health.component("event_store"),
            subject_keys,
            read_model: health.component("read_model"),
            projections: health.component("projections"),
            nats: health.optional_component("nats"),
            event_types: health.optional_component("event_types"),
            pauses: health.optional_component("pauses"),
            clock,
            pulse: Pulse::default(),
            asked: Arc::new(Mutex::new(Position::START)),
            told: Arc::default(),
        }
    }

    /// The runner's pulse.
    pub(crate) const fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Reports that the runner has made no progress for this long. Its last figures are no longer
    /// correct.
    pub(crate) fn hangs(&self, silence: Duration) {
        self.projections.not_ready(format!("nothing has moved for {} s", silence.as_secs()));
        self.told.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(unknown);
    }

    /// Reports the events of the log that this program cannot read. A projection that handles such
    /// a type stops when it reaches one.
    pub fn unreadable(&self, types: &[WrittenType]) {
        if types.is_empty() {
            return self.event_types.ready();
        }
        let list = types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        tracing::error!(types = list, "the log holds events that this program cannot read");
        self.event_types
            .not_ready(format!("the log holds events that this program cannot read: {list}"));
    }

    /// Checks whether the log can be read, for a process without partitions, which reads nothing.
    pub(crate) async fn look_at(&self, store: &dyn EventStore) -> bool {
        match store.head().await {
            Ok(head) => {
                *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = head.mark.position;
                self.store_answers();
            }
            Err(error) => {
                self.store_fails(&error.into());
                return false;
            }
        }
        true
    }

    /// Reports that the log can be read.
    pub(crate) fn store_answers(&self) {
        self.event_store.ready();
    }

    /// Reports that the log cannot be read.
    pub(crate) fn store_fails(&self, error: &FollowError) {
        tracing::warn!(error = chain(error), "cannot read the log: will retry");
        self.event_store.not_ready(chain(error));
    }

    /// Reports that the keys of personal data cannot be read.
    pub(crate) fn keys_fail(&self, error: &KeyError) {
        tracing::warn!(error = chain(error), "cannot read the keys of personal data: will retry");
        self.subject_keys.not_ready(error.to_string());
    }

    /// Reports that the keys of personal data can be read.
    pub(crate) fn keys_answer(&self) {
        self.subject_keys.ready();
    }

    /// Reports that the read model's database cannot be reached.
    pub(crate) fn read_model_fails(&self, error: &sqlx::Error) {
        tracing::warn!(%error, "cannot reach the read model's database: will retry");
        self.read_model.not_ready("its database cannot be reached");
    }

    /// Reports whether NATS is connected. Without NATS the log is polled.
    pub(crate) fn nats(&self, connected: Option<bool>) {
        match connected {
            Some(true) => self.nats.ready(),
            Some(false) => self.nats.not_ready("not connected: the log is polled"),
            None => self.nats.not_ready("not configured: the log is polled"),
        }
    }

    /// Reports the paused projections. A pause is no failure, so the process stays ready.
    pub(crate) fn pauses(&self, pauses: &[Pause]) {
        if pauses.is_empty() {
            return self.pauses.ready();
        }
        let words = pauses.iter().map(|pause| {
            let Pause { projection, paused_by, reason, since } = pause;
            let since = since.format("%Y-%m-%d %H:%M:%S");
            format!("{projection} is paused by {paused_by} since {since} UTC: {reason}")
        });
        self.pauses.not_ready(words.collect::<Vec<_>>().join("; "));
    }

    /// Reports the state of every partition.
    pub(crate) fn partitions(&self, slots: &[Slot]) {
        self.pulse.beat();
        let head = self.head(slots);
        metrics::gauge!("eventstore_head_position").set(head.map_or(f64::NAN, figure));
        self.forget_all_but(slots);
        let partitions = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        telemetry::most_connections("partitions", partitions.saturating_add(OTHER_CONNECTIONS));
        let (mut troubles, mut needs_action) = (Vec::new(), false);
        for slot in slots {
            self.partition(slot, head);
            // Queries do not use standby generations.
            if slot.standby_generation().is_some() {
                continue;
            }
            let stalled = slot.progress.head > slot.progress.position
                && slot.progress.moved_at.elapsed() > STALLED_AFTER;
            match slot.standing() {
                Standing::Stopped(reason) => {
                    needs_action = true;
                    troubles.push(format!("{} is stopped: {reason}", slot.title()));
                }
                Standing::At(_) | Standing::Waiting if stalled => {
                    troubles.push(format!("{} is behind and does not move", slot.title()));
                }
                Standing::At(_) | Standing::Waiting => {}
            }
        }
        if troubles.is_empty() {
            // At the start it is not known yet whether the partitions can be projected.
            if slots.iter().all(Slot::is_known) {
                self.projections.ready();
            }
        } else if needs_action {
            self.projections.needs_action(troubles.join("; "));
        } else {
            self.projections.not_ready(troubles.join("; "));
        }
        let failures = || slots.iter().filter_map(Slot::failure);
        if let Some(RunError::Store(error)) =
            failures().find(|error| matches!(error, RunError::Store(_)))
        {
            self.event_store.not_ready(chain(error));
        }
        match failures().find(|error| error.of_database().is_some()) {
            Some(error) => self.read_model.not_ready(error.to_string()),
            None => self.read_model.ready(),
        }
    }

    /// The head of the log; `None` while the log cannot be read, because the last known head may be
    /// old.
    fn head(&self, slots: &[Slot]) -> Option<i64> {
        let seen = slots.iter().map(|slot| slot.progress.head.0).max().unwrap_or(0);
        let reads = slots.iter().any(|slot| slot.mark().is_some());
        let asked =
            if reads { 0 } else { self.asked.lock().unwrap_or_else(PoisonError::into_inner).0 };
        let head = seen.max(asked);
        (self.event_store.is_ready() && (reads || head > 0)).then_some(head)
    }

    /// Clears the figures of partitions that no longer exist, for example after a drop.
    fn forget_all_but(&self, slots: &[Slot]) {
        let is_there = |(label, partition): &(String, i32)| {
            slots.iter().any(|slot| slot.partition() == *partition && slot.label() == *label)
        };
        self.told.lock().unwrap_or_else(PoisonError::into_inner).retain(|partition| {
            let stays = is_there(partition);
            if !stays {
                unknown(partition);
            }
            stays
        });
    }

    fn partition(&self, slot: &Slot, head: Option<i64>) {
        let (partition, progress) = ((slot.label(), slot.partition()), &slot.progress);
        // Only the owner of a partition knows its position. A former owner must not continue to
        // report its last figures.
        let is_anothers = progress.head == Position::START && slot.standing() == Standing::Waiting;
        if is_anothers || slot.may_be_elsewhere() {
            return unknown(&partition);
        }
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(partition.clone());
        let labels = labels(&partition);
        let alive_at = self.clock.now() - progress.moved_at.elapsed();
        metrics::gauge!("projection_heartbeat_timestamp_seconds", &labels)
            .set(figure(alive_at.timestamp_millis()) / 1_000.0);
        metrics::gauge!("projection_position", &labels).set(figure(progress.position.0));
        let parked = i64::try_from(progress.parked).unwrap_or(i64::MAX);
        metrics::gauge!("projection_parked_events", &labels).set(figure(parked));
        // Without the log's head the lag is unknown.
        let lag = head.map(|head| (head - progress.position.0).max(0));
        let age = |at: DateTime<Utc>| (self.clock.now() - at).num_milliseconds().max(0);
        let oldest = lag.and_then(|lag| if lag > 0 { progress.oldest.map(age) } else { Some(0) });
        metrics::gauge!("projection_lag_events", &labels).set(lag.map_or(f64::NAN, figure));
        metrics::gauge!("projection_lag_seconds", &labels)
            .set(oldest.map_or(f64::NAN, |age| figure(age) / 1_000.0));
    }
}

/// Clears the figures of a partition.
fn unknown(partition: &(String, i32)) {
    for gauge in GAUGES {
        metrics::gauge!(gauge, &labels(partition)).set(f64::NAN);
    }
}

fn labels((projection, partition): &(String, i32)) -> [(&'static str, String); 2] {
    [("projection", projection.clone()), ("partition", partition.to_string())]
}

fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge};
    describe_gauge!(
        "projection_position",
        "Position of the last event that took effect in the partition of the projection"
    );
    describe_gauge!(
        "projection_lag_events",
        "Events of the log that the projection has yet to take in"
    );
    describe_gauge!(
        "projection_lag_seconds",
        Unit::Seconds,
        "Age of the oldest event that the projection has yet to take in"
    );
    describe_gauge!(
        "projection_heartbeat_timestamp_seconds",
        Unit::Seconds,
        "When the projection last moved or had nothing to do, as Unix time"
    );
    describe_gauge!(
        "projection_parked_events",
        "Events that a fold refused, and those held back behind them, once for each row"
    );
    describe_counter!(
        "projection_events_total",
        "Events that a partition met: applied, ignored (a type that its projection does not \
            handle, or the business of other partitions), parked (once for each row) or refused \
            (it stopped there)"
    );
    describe_gauge!(
        "eventstore_head_position",
        "Position of the last event of the log, as last seen by this process"
    );
}

#[allow(
    clippy::cast_precision_loss,
    reason = "metrics are floats; positions stay exact up to 2^53"
)]
fn figure(value: i64) -> f64 {
    value as f64
}
