//! A shop with one product in a running stack, and what its sandbox counts.

use std::collections::BTreeMap;

use acceptance::{Client, RunningStack, until};
use anyhow::{Context as _, Result, ensure};
use local_servers::loopback_client;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ENDED;

/// How long a request to the sandbox may take.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

/// What took effect for an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct OrderCount {
    pub(crate) authorised: u64,
    pub(crate) captured: u64,
    pub(crate) captured_amount: i64,
    pub(crate) released: u64,
    pub(crate) refunded: u64,
    pub(crate) refunded_amount: i64,
    pub(crate) shipped: u64,
    pub(crate) cancelled: u64,
}

#[derive(Deserialize)]
struct Count {
    effects: u64,
}

#[derive(Deserialize)]
struct Counts {
    keys: BTreeMap<String, Count>,
    orders: BTreeMap<String, OrderCount>,
}

/// One product and one user of a running stack.
pub(crate) struct Shop {
    client: Client,
    http: reqwest::Client,
    sandbox: String,
    pub(crate) product: String,
    user: String,
    stock: i64,
}

impl Shop {
    /// Adds a product with this number of units, and a user.
    pub(crate) async fn open(stack: &RunningStack, stock: i64) -> Result<Self> {
        let endpoints = stack.endpoints()?;
        let client = endpoints.client()?;
        let body = json!({"name": "cd", "unit_price": "10.00", "currency": "USD", "stock": stock});
        let product = client.post("/api/v1/products", &body).await?.expect(StatusCode::CREATED)?;
        let product = product.id()?.to_owned();
        let body = json!({"email": format!("ada-{product}@example.com"), "name": "Ada"});
        let user = client.post("/api/v1/users", &body).await?.expect(StatusCode::CREATED)?;
        let (user, http) = (user.id()?.to_owned(), loopback_client(LIMIT)?);
        Ok(Self { client, http, sandbox: endpoints.sandbox, product, user, stock })
    }

    /// Places and confirms an order that goes to this country.
    pub(crate) async fn confirmed(&self, units: u32, country: &str) -> Result<String> {
        let address = json!({"recipient": "Ada", "street": "Ring 1", "city": "Wien",
            "country": country});
        let mut order = self.order(units);
        order["shipping_address"] = address;
        self.placed(&order).await
    }

    /// Places and confirms an order that waits for staff to hand it over.
    pub(crate) async fn confirmed_without_address(&self, units: u32) -> Result<String> {
        self.placed(&self.order(units)).await
    }

    fn order(&self, units: u32) -> Value {
        json!({"user_id": self.user, "lines": [{"product_id": self.product, "quantity": units}]})
    }

    async fn placed(&self, order: &Value) -> Result<String> {
        let placed = self.client.post("/api/v1/orders", order).await?;
        let order = placed.expect(StatusCode::CREATED)?.id()?.to_owned();
        self.act(&order, "confirm").await?;
        Ok(order)
    }

    pub(crate) async fn cancel(&self, order: &str) -> Result<()> {
        self.act(order, "cancel").await
    }

    async fn act(&self, order: &str, verb: &str) -> Result<()> {
        let path = format!("/api/v1/orders/{order}/{verb}");
        let done = self.client.command(reqwest::Method::POST, &path, None, &[]).await?;
        done.expect(StatusCode::OK).map(drop)
    }

    async fn shown(&self, order: &str) -> Result<Value> {
        let shown = self.client.get(&format!("/api/v2/orders/{order}")).await?;
        Ok(shown.expect(StatusCode::OK)?.data().clone())
    }

    /// Waits until the order has this status.
    pub(crate) async fn becomes(&self, order: &str, status: &str) -> Result<()> {
        until(&format!("order {order} is {status}"), ENDED, async || {
            let shown = self.shown(order).await?;
            Ok((shown["status"] == status).then_some(()))
        })
        .await
    }

    /// Waits until the order is shipped, or cancelled with all of its money given back.
    pub(crate) async fn ended(&self, order: &str) -> Result<Value> {
        until(&format!("order {order} ends"), ENDED, async || {
            let shown = self.shown(order).await?;
            let is_ended = match shown["status"].as_str() {
                Some("shipped") => true,
                Some("cancelled") => shown["refund_due"]["amount"] == "0.00",
                _ => false,
            };
            ensure!(is_ended, "{shown}");
            Ok(Some(shown))
        })
        .await
    }

    async fn sandbox_counts(&self) -> Result<Counts> {
        let counts = self.http.get(format!("{}/_counts", self.sandbox)).send().await?;
        Ok(counts.error_for_status()?.json().await?)
    }

    /// What took effect, by order.
    pub(crate) async fn counts(&self) -> Result<BTreeMap<String, OrderCount>> {
        Ok(self.sandbox_counts().await?.orders)
    }

    /// What took effect for one order.
    pub(crate) async fn count(&self, order: &str) -> Result<OrderCount> {
        Ok(self.counts().await?.remove(order).unwrap_or_default())
    }

    /// How often each idempotency key took effect.
    pub(crate) async fn effects_of_keys(&self) -> Result<BTreeMap<String, u64>> {
        let keys = self.sandbox_counts().await?.keys;
        Ok(keys.into_iter().map(|(key, count)| (key, count.effects)).collect())
    }

    /// Makes the shipper deliver the order, and send the event.
    pub(crate) async fn arrives(&self, order: &str) -> Result<()> {
        let post = self.http.post(format!("{}/_arrivals/{order}", self.sandbox));
        post.send().await?.error_for_status().context("the arrival")?;
        Ok(())
    }

    /// Waits until nothing is left at the gateways of an order that was undone, and nothing
    /// happened twice.
    pub(crate) async fn is_undone(&self, order: &str) -> Result<()> {
        until(&format!("nothing is left of {order}"), ENDED, async || {
            let count = self.count(order).await?;
            let is_undone = count.captured_amount == count.refunded_amount
                && count.authorised == count.captured + count.released
                && count.shipped == count.cancelled;
            let is_once = [count.authorised, count.captured, count.refunded, count.shipped]
                .iter()
                .all(|times| *times <= 1);
            ensure!(is_once, "{order}: {count:?}");
            Ok(is_undone.then_some(()))
        })
        .await
    }

    pub(crate) async fn next_faults(&self, faults: &Value) -> Result<()> {
        let put = self.http.post(format!("{}/_faults/next", self.sandbox)).json(faults);
        put.send().await?.error_for_status().context("the faults")?;
        Ok(())
    }

    /// Waits until the stock is the first stock less the sold units.
    pub(crate) async fn is_conserved(&self, sold: i64) -> Result<()> {
        let left = self.stock - sold;
        until("the stock adds up", ENDED, async || {
            let path = format!("/api/v1/products/{}", self.product);
            let shown = self.client.get(&path).await?.expect(StatusCode::OK)?;
            let found = (&shown.data()["stock"], &shown.data()["reserved"]);
            ensure!(found == (&json!(left), &json!(0)), "{left} in stock and reserved: {found:?}");
            Ok(Some(()))
        })
        .await
    }
}
