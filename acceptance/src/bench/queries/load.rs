//! The load: clients that send one query after another, each over a connection of its own. The
//! first answer of each client is checked.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::fill::{Filled, order_id};
use crate::bench::commands::client::Client;
use crate::bench::commands::tokens;

/// The first page of the filtered list.
pub(super) const FILTERED: &str = "/api/v1/orders?status=paid";
/// The number of rows on a page.
const PAGE: usize = 20;
/// The number of orders that are asked for of each user.
const LAST_ORDERS: usize = 5;
/// The largest page, to get deep quickly.
const LARGEST_PAGE: i64 = 100;
/// The last row that numbered pages reach.
const NUMBERED: i64 = 100_000;
/// Twenty users with their last five orders.
pub(super) const USERS: &str = "{ users(first: 20) { nodes { id email name
    orders(first: 5) { nodes { id status createdAt total { amount currency } } } } } }";

type Doing = Pin<Box<dyn Future<Output = anyhow::Result<u64>> + Send>>;
/// A client. Each call sends one query and returns 1.
pub(super) type Worker = Box<dyn FnMut() -> Doing + Send>;

/// What the clients of a round ask.
#[derive(Debug, Clone)]
pub(super) struct Query {
    path: String,
    asked: Asked,
}

#[derive(Debug, Clone)]
enum Asked {
    /// One of so many orders by its id.
    Row { orders: i64 },
    /// A page of orders.
    Page,
    /// A page of users with orders, in GraphQL.
    Graphql,
    /// The same without GraphQL.
    Users,
}

impl Query {
    /// One of the first orders by its id, each time another one.
    pub(super) fn row(path: &str, orders: i64) -> Self {
        Self { path: path.to_owned(), asked: Asked::Row { orders } }
    }

    /// A page at this path.
    pub(super) fn page(path: String) -> Self {
        Self { path, asked: Asked::Page }
    }

    /// A page of the reference.
    pub(super) fn plain_page(path: &str) -> Self {
        Self::page(path.to_owned())
    }

    /// A page of users with their last orders.
    pub(super) fn graphql() -> Self {
        Self { path: "/graphql".to_owned(), asked: Asked::Graphql }
    }

    /// The same, of the reference.
    pub(super) fn plain_users() -> Self {
        Self { path: "/plain/users".to_owned(), asked: Asked::Users }
    }

    /// Whether the API answers it, and not the reference.
    pub(super) fn is_ours(&self) -> bool {
        self.path.starts_with("/api/") || self.path == "/graphql"
    }

    async fn send(&self, client: &mut Client, graphql: &Value) -> anyhow::Result<Bytes> {
        match self.asked {
            Asked::Row { orders } => {
                let id = order_id(rand::random_range(0..orders));
                client.get(&format!("{}/{id}", self.path)).await
            }
            Asked::Page | Asked::Users => client.get(&self.path).await,
            Asked::Graphql => client.send(&self.path, graphql).await,
        }
    }

    /// Checks that an answer has what was asked for, and says which position it shows.
    fn check(&self, body: &Bytes) -> anyhow::Result<()> {
        let body: Value = serde_json::from_slice(body)?;
        let nodes = |value: &Value, pointer| {
            value.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len)
        };
        let (users, of_user) = ("/data/users/nodes", "/orders/nodes");
        let is_complete = match self.asked {
            Asked::Row { .. } => body["data"]["lines"][1]["product_name"].is_string(),
            Asked::Page => nodes(&body, "/data") == PAGE,
            Asked::Users => {
                nodes(&body, "/data") == PAGE && nodes(&body, "/data/19/orders") == LAST_ORDERS
            }
            Asked::Graphql => {
                nodes(&body, users) == PAGE
                    && nodes(&body["data"]["users"]["nodes"][PAGE - 1], of_user) == LAST_ORDERS
            }
        };
        let meta = body.pointer("/extensions/meta").unwrap_or(&body["meta"]);
        let is_placed = !self.is_ours() || meta["position"].is_i64();
        ensure!(is_complete && is_placed, "{} answered {body}", self.path);
        Ok(())
    }
}

/// The load on one process.
pub(super) struct Load {
    address: SocketAddr,
}

impl Load {
    /// The load on the process that listens here.
    pub(super) const fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Sends one query and checks its answer.
    pub(super) async fn checked(&self, query: &Query) -> anyhow::Result<()> {
        self.client(query).await.map(drop)
    }

    /// Connects this many clients of a round.
    pub(super) async fn workers(
        &self,
        query: &Query,
        connections: usize,
    ) -> anyhow::Result<Vec<Worker>> {
        let graphql = Arc::new(json!({"query": USERS}));
        let clients = try_join_all((0..connections).map(|_| self.client(query))).await?;
        let workers = clients.into_iter().map(|client| {
            let (client, query) = (Arc::new(Mutex::new(client)), Arc::new(query.clone()));
            let graphql = Arc::clone(&graphql);
            let worker: Worker = Box::new(move || {
                let (client, query) = (Arc::clone(&client), Arc::clone(&query));
                let graphql = Arc::clone(&graphql);
                Box::pin(async move {
                    let mut client = client.lock().await;
                    query.send(&mut client, &graphql).await?;
                    Ok(1)
                })
            });
            worker
        });
        Ok(workers.collect())
    }

    /// The path of a page of 20 after four fifths of the filtered list, by cursor.
    pub(super) async fn deep_page(&self, filled: &Filled) -> anyhow::Result<String> {
        let mut client = self.connect().await?;
        let depth = filled.paid / 5 * 4;
        let large = format!("{FILTERED}&page_size={LARGEST_PAGE}");
        let number = depth.min(NUMBERED) / LARGEST_PAGE;
        ensure!(number > 0, "{} rows are too few for a deep page", filled.paid);
        let mut cursor = next(&client.get(&format!("{large}&page={number}")).await?)?;
        for _ in number..depth / LARGEST_PAGE {
            cursor = next(&client.get(&format!("{large}&cursor={cursor}")).await?)?;
        }
        Ok(format!("{FILTERED}&cursor={cursor}"))
    }

    /// Connects a client, which has sent its first query.
    async fn client(&self, query: &Query) -> anyhow::Result<Client> {
        let mut client = self.connect().await?;
        query.check(&query.send(&mut client, &json!({"query": USERS})).await?)?;
        Ok(client)
    }

    async fn connect(&self) -> anyhow::Result<Client> {
        Client::connect(self.address, tokens::bearer(Uuid::now_v7())?).await
    }
}

/// The cursor of the next page.
fn next(body: &Bytes) -> anyhow::Result<String> {
    let body: Value = serde_json::from_slice(body)?;
    let cursor = body.pointer("/meta/page/next_cursor").and_then(Value::as_str);
    Ok(cursor.with_context(|| format!("no further page in {body}"))?.to_owned())
}
