//! The control of the sandbox, which stands in for the payment provider and the shipper.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use local_servers::loopback_client;
use serde::Deserialize;
use serde_json::Value;

/// How long the sandbox may take to answer. It may have counted many thousands of keys.
const LIMIT: Duration = Duration::from_secs(30);

/// The sandbox.
pub(super) struct Gateway {
    http: reqwest::Client,
    address: String,
}

/// The requests and effects of an idempotency key.
#[derive(Deserialize)]
struct Key {
    requests: u64,
    effects: u64,
}

/// The effects for an order.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Order {
    authorised: u64,
    captured: u64,
    captured_amount: i64,
    released: u64,
    refunded: u64,
    refunded_amount: i64,
    shipped: u64,
    cancelled: u64,
}

/// What the sandbox was asked for, and what took effect.
#[derive(Deserialize)]
pub(super) struct Counts {
    keys: BTreeMap<String, Key>,
    orders: BTreeMap<String, Order>,
}

impl Gateway {
    /// The sandbox at an address.
    pub(super) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self { http: loopback_client(LIMIT)?, address: format!("http://{address}") })
    }

    /// Sets the rates of faults.
    pub(super) async fn set_faults(&self, faults: &Value) -> anyhow::Result<()> {
        let put = self.http.put(format!("{}/_faults", self.address)).json(faults);
        put.send().await?.error_for_status().context("the faults")?;
        Ok(())
    }

    /// What took effect since the sandbox began.
    pub(super) async fn counts(&self) -> anyhow::Result<Counts> {
        let get = self.http.get(format!("{}/_counts", self.address)).send().await?;
        get.error_for_status()?.json().await.context("the counts")
    }
}

impl Order {
    /// Whether nothing took effect twice.
    fn is_once(&self) -> bool {
        let counts = [self.authorised, self.captured, self.released, self.refunded, self.shipped];
        counts.iter().chain([&self.cancelled]).all(|count| *count <= 1)
    }

    /// Whether it was paid and shipped.
    const fn is_fulfilled(&self) -> bool {
        self.captured == 1 && self.refunded == 0 && self.shipped == 1 && self.cancelled == 0
    }

    /// Whether nothing is left of it.
    const fn is_undone(&self) -> bool {
        self.captured_amount == self.refunded_amount
            && self.authorised == self.captured + self.released
            && self.shipped == self.cancelled
    }
}

impl Counts {
    /// The number of requests under idempotency keys.
    pub(super) fn requests(&self) -> u64 {
        self.keys.values().map(|key| key.requests).sum()
    }

    /// The number of orders that were paid and shipped.
    pub(super) fn fulfilled(&self) -> usize {
        self.orders.values().filter(|order| order.is_fulfilled()).count()
    }

    /// Fails if something took effect twice, or if more orders than `parked` are neither fulfilled
    /// nor undone.
    pub(super) fn check(&self, parked: i64) -> anyhow::Result<()> {
        let key = self.keys.iter().find(|(_, key)| key.effects > 1);
        ensure!(key.is_none(), "the key {:?} took effect twice", key.map(|(name, _)| name));
        let order = self.orders.iter().find(|(_, order)| !order.is_once());
        ensure!(order.is_none(), "something took effect twice: {order:?}");
        let halves: Vec<_> = self
            .orders
            .iter()
            .filter(|(_, order)| !order.is_fulfilled() && !order.is_undone())
            .collect();
        let is_explained = i64::try_from(halves.len())? <= parked;
        ensure!(is_explained, "{} orders are half done: {:?}", halves.len(), halves.first());
        Ok(())
    }
}
