//! The load: clients that send one command after another, each over a connection of its own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context as _;
use futures::future::try_join_all;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::client::Client;
use super::{Kind, tokens};

/// The path that adds a product.
pub(in crate::bench) const ADD: &str = "/api/v1/products";
/// The number of products that orders draw their lines from, so that orders rarely meet.
const PRODUCTS: usize = 2_000;
/// The minimum number of users. The clients share them out, because a user has a limited number of
/// open orders.
const USERS: usize = 2_048;
/// The units of each product: more than all rounds order.
const STOCK: i64 = 1_000_000_000;
/// The maximum number of orders that are placed for one round of confirmations. A round ends when
/// all are confirmed.
const MAX_PLACED: usize = 10_000;
/// The number of orders that one client confirms in a second, at most.
const CONFIRMED_A_SECOND: f64 = 2_000.0;
/// The number of clients that prepare.
const PREPARING: usize = 16;

type Doing = Pin<Box<dyn Future<Output = anyhow::Result<u64>> + Send>>;
/// A client. Each call sends one command and returns 1, or 0 if there is nothing left to do.
pub(super) type Worker = Box<dyn FnMut() -> Doing + Send>;

/// The load on one process.
pub(in crate::bench) struct Load {
    address: SocketAddr,
    users: Vec<Uuid>,
    products: Arc<[Uuid]>,
}

impl Load {
    /// Registers at least one user per client, and adds the products.
    pub(in crate::bench) async fn prepare(
        address: SocketAddr,
        clients: usize,
    ) -> anyhow::Result<Self> {
        Self::prepare_with(address, clients.max(USERS), PRODUCTS).await
    }

    /// Registers this many users, and adds this many products.
    pub(in crate::bench) async fn prepare_with(
        address: SocketAddr,
        users: usize,
        products: usize,
    ) -> anyhow::Result<Self> {
        let mut load = Self { address, users: Vec::new(), products: [].into() };
        load.users = load.created(users, "/api/v1/users", user).await?;
        load.products = load.created(products, ADD, |_| product()).await?.into();
        Ok(load)
    }

    /// Connects somebody who may act for the users, and is none of them: nobody records payments
    /// of their own orders.
    pub(in crate::bench) async fn staff(&self) -> anyhow::Result<Client> {
        self.client(&[Uuid::now_v7()]).await
    }

    /// An order of two lines, of one of the users, with a shipping address.
    pub(in crate::bench) fn order_to_ship(&self) -> Value {
        let mut order = order(&self.users, &self.products);
        order["shipping_address"] = json!({"recipient": "Ada Lovelace", "street": "Ring 1",
            "city": "Wien", "country": "AT"});
        order
    }

    /// Connects this many clients, each as a user of its own.
    pub(in crate::bench) async fn clients(
        &self,
        connections: usize,
    ) -> anyhow::Result<Vec<Client>> {
        let users = self.users.chunks(1).take(connections);
        try_join_all(users.map(|user| self.client(user))).await
    }

    /// Connects this many clients of a round. What they need is made before.
    pub(super) async fn workers(
        &self,
        kind: Kind,
        connections: usize,
        seconds: f64,
    ) -> anyhow::Result<Vec<Worker>> {
        let placed = match kind {
            Kind::Add | Kind::Place => 0,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a few seconds"
            )]
            Kind::Confirm => {
                let most = (seconds * CONFIRMED_A_SECOND) as usize;
                most.min(MAX_PLACED.div_ceil(connections))
            }
        };
        let share = (self.users.len() / connections).max(1);
        let users = || self.users.chunks(share).take(connections);
        let orders = try_join_all(users().map(|users| self.placed(users, placed))).await?;
        // A server closes a connection that is idle, so the clients connect when all is there.
        let workers = users().zip(orders).map(|(users, orders)| self.worker(kind, users, orders));
        try_join_all(workers).await
    }

    /// Places this many orders of these users, and returns the paths that confirm them.
    async fn placed(&self, users: &[Uuid], count: usize) -> anyhow::Result<VecDeque<String>> {
        let mut orders = VecDeque::with_capacity(count);
        if count > 0 {
            let mut client = self.client(users).await?;
            for _ in 0..count {
                let id = client.created("/api/v1/orders", &order(users, &self.products)).await?;
                orders.push_back(format!("/api/v1/orders/{id}/confirm"));
            }
        }
        Ok(orders)
    }

    async fn worker(
        &self,
        kind: Kind,
        users: &[Uuid],
        mut orders: VecDeque<String>,
    ) -> anyhow::Result<Worker> {
        let client = Arc::new(Mutex::new(self.client(users).await?));
        let users: Arc<[Uuid]> = users.into();
        let products = Arc::clone(&self.products);
        Ok(Box::new(move || {
            let (path, body) = match kind {
                Kind::Add => (ADD.to_owned(), product()),
                Kind::Place => ("/api/v1/orders".to_owned(), order(&users, &products)),
                Kind::Confirm => match orders.pop_front() {
                    Some(path) => (path, json!({})),
                    None => return Box::pin(async { Ok(0) }),
                },
            };
            let client = Arc::clone(&client);
            Box::pin(async move {
                client.lock().await.send(&path, &body).await?;
                Ok(1)
            })
        }))
    }

    /// Connects as the first of these users, who may act for the others.
    async fn client(&self, users: &[Uuid]) -> anyhow::Result<Client> {
        let user = users.first().context("a client has no user")?;
        Client::connect(self.address, tokens::bearer(*user)?).await
    }

    /// Creates this many resources, and returns their ids.
    async fn created(
        &self,
        count: usize,
        path: &str,
        body: fn(usize) -> Value,
    ) -> anyhow::Result<Vec<Uuid>> {
        let clients = (0..PREPARING.min(count)).map(async |first| {
            let mut client = self.client(&[Uuid::now_v7()]).await?;
            let mut ids = Vec::new();
            for number in (first..count).step_by(PREPARING) {
                ids.push(client.created(path, &body(number)).await?);
            }
            anyhow::Ok(ids)
        });
        Ok(try_join_all(clients).await?.concat())
    }
}

fn user(number: usize) -> Value {
    json!({"email": format!("client-{number}@example.com"), "name": "Ada Lovelace"})
}

/// A product to add.
pub(in crate::bench) fn product() -> Value {
    json!({"name": "compact disc", "unit_price": "14.67", "currency": "USD", "stock": STOCK})
}

/// An order of two lines, of one of these users.
fn order(users: &[Uuid], products: &[Uuid]) -> Value {
    let chosen = products.choose_multiple(&mut rand::rng(), 2);
    let lines: Vec<_> = chosen.map(|id| json!({"product_id": id, "quantity": 2})).collect();
    json!({"user_id": users.choose(&mut rand::rng()), "lines": lines})
}
