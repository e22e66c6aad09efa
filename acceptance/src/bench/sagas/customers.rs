//! Clients who place and confirm orders, at a pace, as long as there is room for more sagas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use sqlx::PgConnection;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use super::record;
use crate::POLL;
use crate::bench::commands::client::Client;
use crate::bench::commands::load::Load;

/// How long a saga under way may take to make room for another.
const ROOM_LIMIT: Duration = Duration::from_mins(5);
/// How long a connection is used without a pause. A process closes one that is idle for 5 s.
const IDLE: Duration = Duration::from_secs(2);
/// How long a connection is used. An access token is valid for minutes.
const AGE: Duration = Duration::from_mins(1);

/// When orders are placed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// As soon as there is room.
    Full,
    /// This many are due in each second.
    Rate(f64),
}

/// A client with one connection, which it renews.
pub(super) struct Customer {
    load: Arc<Load>,
    connected: Option<Connected>,
}

struct Connected {
    client: Client,
    since: Instant,
    used: Instant,
}

impl Customer {
    /// A client that connects on first use.
    pub(super) fn new(load: &Arc<Load>) -> Self {
        Self { load: Arc::clone(load), connected: None }
    }

    async fn client(&mut self) -> anyhow::Result<&mut Client> {
        let now = Instant::now();
        let is_usable = |it: &Connected| now - it.used < IDLE && now - it.since < AGE;
        let kept = self.connected.take().filter(is_usable);
        let connected = match kept {
            Some(connected) => Connected { used: now, ..connected },
            None => Connected { client: self.load.staff().await?, since: now, used: now },
        };
        Ok(&mut self.connected.insert(connected).client)
    }

    /// Places and confirms an order.
    pub(super) async fn confirmed_order(&mut self) -> anyhow::Result<Uuid> {
        let order = self.load.order_to_ship();
        let client = self.client().await?;
        let id = client.created("/api/v1/orders", &order).await?;
        client.send(&format!("/api/v1/orders/{id}/confirm"), &json!({})).await?;
        Ok(id)
    }

    /// Places and confirms an order, and records its payment and shipment.
    pub(super) async fn whole_order(&mut self) -> anyhow::Result<()> {
        let id = self.confirmed_order().await?;
        let client = self.client().await?;
        let reason = json!({"reason": "by hand"});
        for verb in ["record-payment", "ship"] {
            client.send(&format!("/api/v1/orders/{id}/{verb}"), &reason).await?;
        }
        Ok(())
    }
}

/// What all clients of a phase share.
struct Plan {
    pace: Pace,
    /// The number of orders to place.
    most: u32,
    next: AtomicU32,
    started: Instant,
    room: Semaphore,
    is_over: AtomicBool,
}

impl Plan {
    /// The time of the next order; `None` if there is none.
    fn next_due(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let is_left = number < self.most && !self.is_over.load(Ordering::Relaxed);
        is_left.then(|| match self.pace {
            Pace::Full => self.started,
            Pace::Rate(rate) => self.started + Duration::from_secs_f64(f64::from(number) / rate),
        })
    }
}

/// Clients at work.
pub(super) struct Customers {
    plan: Arc<Plan>,
    at_work: Vec<JoinHandle<anyhow::Result<u32>>>,
    making_room: JoinHandle<anyhow::Result<()>>,
}

impl Drop for Customers {
    fn drop(&mut self) {
        self.making_room.abort();
    }
}

impl Customers {
    /// Starts clients. Sagas that end after the position `from` make room for others.
    pub(super) fn start(
        load: &Arc<Load>,
        connections: u16,
        (pace, most): (Pace, u32),
        under_way: u16,
        (log, from): (PgConnection, i64),
    ) -> Self {
        let (next, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
        let (started, room) = (Instant::now(), Semaphore::new(under_way.into()));
        let plan = Arc::new(Plan { pace, most, next, started, room, is_over });
        let at_work = (0..connections).map(|_| {
            let (customer, plan) = (Customer::new(load), Arc::clone(&plan));
            tokio::spawn(place(customer, plan))
        });
        let at_work = at_work.collect();
        let making_room = tokio::spawn(make_room(log, from, Arc::clone(&plan)));
        Self { plan, at_work, making_room }
    }

    /// Waits until all orders are confirmed. Returns their number.
    pub(super) async fn finish(mut self) -> anyhow::Result<u32> {
        let mut confirmed = 0;
        for task in std::mem::take(&mut self.at_work) {
            confirmed += task.await??;
        }
        Ok(confirmed)
    }

    /// Ends the clients after their current orders. Returns the number of confirmed orders.
    pub(super) async fn stop(self) -> anyhow::Result<u32> {
        self.plan.is_over.store(true, Ordering::Relaxed);
        self.finish().await
    }
}

async fn place(mut customer: Customer, plan: Arc<Plan>) -> anyhow::Result<u32> {
    let mut confirmed = 0;
    while let Some(due) = plan.next_due() {
        sleep_until(due).await;
        let room = timeout(ROOM_LIMIT, plan.room.acquire()).await;
        room.context("no saga made room for another")??.forget();
        if plan.is_over.load(Ordering::Relaxed) {
            break;
        }
        customer.confirmed_order().await?;
        confirmed += 1;
    }
    Ok(confirmed)
}

async fn make_room(mut log: PgConnection, mut from: i64, plan: Arc<Plan>) -> anyhow::Result<()> {
    loop {
        let (ended, position) = record::ended(&mut log, from).await?;
        plan.room.add_permits(usize::try_from(ended)?);
        from = position;
        sleep(POLL).await;
    }
}
