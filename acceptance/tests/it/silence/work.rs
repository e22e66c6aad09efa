//! The work during a silence, and how soon it must be answered.

use std::time::Duration;

use acceptance::{Answer, Client, Log, POLL};
use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// How long work may take that does not need the silent connection.
const WORK_LIMIT: Duration = Duration::from_secs(10);
/// How long a refusal may take.
const REFUSAL_LIMIT: Duration = Duration::from_secs(15);

/// A piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// A command with personal data.
    Register,
    /// A command without personal data.
    AddProduct,
    /// A query for one row.
    Query,
    /// A query for a list.
    List,
    /// A command, and a query that shows its result.
    Show,
    /// A command, and its event in the broker's stream.
    Publish,
}

/// Does pieces of work on the system.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    client: Client,
    log: Log,
    /// A product that was added before the silence.
    known: String,
}

impl Worker {
    /// Creates a worker with a visible product.
    pub(super) async fn new(client: Client, log: Log) -> Result<Worker> {
        let added = add_product(&client).await?.expect(StatusCode::CREATED)?;
        let known = format!("/api/v1/products/{}", added.id()?);
        client.get_after(&known, &added).await?.expect(StatusCode::OK)?;
        Ok(Worker { client, log, known })
    }

    /// Does the work within its limit.
    pub(super) async fn does(&self, work: Work) -> Result<()> {
        timeout(WORK_LIMIT, self.tries(work))
            .await
            .with_context(|| format!("{work:?} took too long"))?
    }

    async fn tries(&self, work: Work) -> Result<()> {
        match work {
            Work::Show => {
                let added = add_product(&self.client).await?.expect(StatusCode::CREATED)?;
                let path = format!("/api/v1/products/{}", added.id()?);
                self.client.get_after(&path, &added).await?.expect(StatusCode::OK)?;
            }
            Work::Publish => {
                let added = add_product(&self.client).await?.expect(StatusCode::CREATED)?;
                while self.log.published().await? < added.position()? {
                    tokio::time::sleep(POLL).await;
                }
            }
            Work::Register | Work::AddProduct => {
                drop(self.ask(work).await?.expect(StatusCode::CREATED)?);
            }
            Work::Query | Work::List => drop(self.ask(work).await?.expect(StatusCode::OK)?),
        }
        Ok(())
    }

    /// Checks that the work is refused in time.
    pub(super) async fn is_refused(&self, work: Work) -> Result<()> {
        let since = Instant::now();
        let answer = timeout(REFUSAL_LIMIT, self.ask(work))
            .await
            .with_context(|| format!("{work:?} hangs"))??;
        ensure!(
            answer.status == StatusCode::SERVICE_UNAVAILABLE,
            "{work:?}: {}: {}",
            answer.status,
            answer.body
        );
        ensure!(answer.headers.contains_key("retry-after"), "{work:?}: {:?}", answer.headers);
        eprintln!("{work:?} was refused after {:?}", since.elapsed());
        Ok(())
    }

    async fn ask(&self, work: Work) -> Result<Answer> {
        match work {
            Work::Register => {
                let email = format!("silence-{}@example.com", Uuid::new_v4());
                self.client.post("/api/v1/users", &json!({"email": email, "name": "Silence"})).await
            }
            Work::AddProduct | Work::Show | Work::Publish => add_product(&self.client).await,
            Work::Query => self.client.get(&self.known).await,
            Work::List => self.client.get("/api/v1/products?name=Silence").await,
        }
    }
}

async fn add_product(client: &Client) -> Result<Answer> {
    let body = json!({"name": "Silence", "unit_price": "1.00", "currency": "USD", "stock": 1});
    client.post("/api/v1/products", &body).await
}
