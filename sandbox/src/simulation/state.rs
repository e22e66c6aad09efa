//! The state of the sandbox: a fold of the entries of its journal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::simulation::payments::{Payment, Refund};
use crate::simulation::shipments::Shipment;

/// What is appended to the journal.
#[expect(clippy::large_enum_variant, reason = "one exists at a time")]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A request under a key arrived.
    Asked {
        /// The idempotency key.
        key: String,
        /// What it asks for.
        operation: String,
    },
    /// A request was carried out, or refused for good.
    Done {
        /// The idempotency key, if it has one.
        key: Option<String>,
        /// The hash of the request.
        fingerprint: String,
        /// The answer, which repeats get again.
        answer: Saved,
        /// What it changed; `None` if it took no effect.
        change: Option<Change>,
        /// The event that tells of it.
        hook: Option<Hook>,
    },
    /// An event was delivered.
    Delivered {
        /// The number of the event.
        hook: u64,
    },
}

/// An answer that is kept for repeats: its HTTP status and its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// What a request changed. Each has the thing as it is afterwards.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    Authorised(Payment),
    Declined(Payment),
    Captured(Payment),
    Released(Payment),
    Refunded(Payment, Refund),
    Shipped(Shipment),
    Cancelled(Shipment),
    Delivered(Shipment),
}

/// An event to deliver.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Hook {
    pub(crate) number: u64,
    /// When it happened, in milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) event: Value,
    #[serde(default)]
    pub(crate) about: About,
}

/// What an event is about, which decides who gets it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum About {
    #[default]
    Payment,
    Shipment,
}

/// What is known of a key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Key {
    pub(crate) count: Count,
    /// The hash of its request, and its answer.
    pub(crate) done: Option<(String, Saved)>,
}

/// How often something was asked for under a key, and took effect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// What was asked for.
    pub operation: String,
    /// The number of requests.
    pub requests: u64,
    /// The number of effects.
    pub effects: u64,
}

/// What took effect for an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderCount {
    /// The number of authorisations.
    pub authorised: u64,
    /// The number of captures.
    pub captured: u64,
    /// The amount of all captures, as the provider counts it.
    pub captured_amount: i64,
    /// The number of released authorisations.
    pub released: u64,
    /// The number of refunds.
    pub refunded: u64,
    /// The amount of all refunds.
    pub refunded_amount: i64,
    /// The number of declined authorisations.
    pub declined: u64,
    /// The number of shipments.
    pub shipped: u64,
    /// The number of cancelled shipments.
    pub cancelled: u64,
    /// The number of delivered shipments.
    pub delivered: u64,
}

/// What was asked for and took effect since the file was created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The requests and effects of each idempotency key.
    pub keys: BTreeMap<String, Count>,
    /// The effects for each order. Those without an order are under an empty name.
    pub orders: BTreeMap<String, OrderCount>,
    /// The number of events that are still to be delivered.
    pub undelivered: usize,
}

/// Everything that the journal says.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) payments: BTreeMap<u64, Payment>,
    pub(crate) refunds: BTreeMap<u64, Refund>,
    pub(crate) shipments: BTreeMap<u64, Shipment>,
    pub(crate) keys: BTreeMap<String, Key>,
    orders: BTreeMap<String, OrderCount>,
    pub(crate) hooks: BTreeMap<u64, Hook>,
    pub(crate) next_hook: u64,
}

impl State {
    /// Changes the state as an entry says.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Asked { key, operation } => {
                let count = &mut self.keys.entry(key.clone()).or_default().count;
                count.operation.clone_from(operation);
                count.requests += 1;
            }
            Entry::Done { key, fingerprint, answer, change, hook } => {
                if let Some(key) = key {
                    let known = self.keys.entry(key.clone()).or_default();
                    known.done = Some((fingerprint.clone(), answer.clone()));
                    known.count.effects += u64::from(change.is_some());
                }
                if let Some(change) = change {
                    self.change(change);
                }
                if let Some(hook) = hook {
                    self.next_hook = hook.number + 1;
                    self.hooks.insert(hook.number, hook.clone());
                }
            }
            Entry::Delivered { hook } => {
                self.hooks.remove(hook);
            }
        }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Authorised(payment) => {
                self.order(payment.order()).authorised += 1;
                self.payments.insert(payment.number, payment.clone());
            }
            Change::Declined(payment) => {
                self.order(payment.order()).declined += 1;
                self.payments.insert(payment.number, payment.clone());
            }
            Change::Captured(payment) => {
                let order = self.order(payment.order());
                order.captured += 1;
                order.captured_amount += payment.captured;
                self.payments.insert(payment.number, payment.clone());
            }
            Change::Released(payment) => {
                self.order(payment.order()).released += 1;
                self.payments.insert(payment.number, payment.clone());
            }
            Change::Refunded(payment, refund) => {
                let order = self.order(payment.order());
                order.refunded += 1;
                order.refunded_amount += refund.amount;
                self.payments.insert(payment.number, payment.clone());
                self.refunds.insert(refund.number, refund.clone());
            }
            Change::Shipped(shipment) => {
                self.order(&shipment.order).shipped += 1;
                self.shipments.insert(shipment.number, shipment.clone());
            }
            Change::Cancelled(shipment) => {
                self.order(&shipment.order).cancelled += 1;
                self.shipments.insert(shipment.number, shipment.clone());
            }
            Change::Delivered(shipment) => {
                self.order(&shipment.order).delivered += 1;
                self.shipments.insert(shipment.number, shipment.clone());
            }
        }
    }

    fn order(&mut self, order: &str) -> &mut OrderCount {
        self.orders.entry(order.to_owned()).or_default()
    }

    /// The counts so far, for tests to read.
    pub(crate) fn counts(&self) -> Counts {
        let keys = self.keys.iter().map(|(key, known)| (key.clone(), known.count.clone()));
        let (orders, undelivered) = (self.orders.clone(), self.hooks.len());
        Counts { keys: keys.collect(), orders, undelivered }
    }
}
