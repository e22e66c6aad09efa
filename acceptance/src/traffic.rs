//! Clients that register users without pause and repeat what was not answered under the same key,
//! and remember each answer: they show that commands are unanswered at the moment of a fault, and
//! what was acknowledged through all of them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{Client, POLL};

/// How long a command is repeated before it counts as lost.
const LIMIT: Duration = Duration::from_secs(90);
/// How long all clients together may take to end.
const STOP_LIMIT: Duration = Duration::from_mins(2);

/// An acknowledged registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// The user's id.
    pub id: Uuid,
    /// The position that the answer named.
    pub position: i64,
    /// When it was sent first.
    pub asked: Instant,
    /// When it was answered.
    pub answered: Instant,
}

/// Some clients at work, until stopped.
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    clients: JoinSet<Result<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    asked: AtomicU64,
    answered: AtomicU64,
    repeated: AtomicU64,
    acknowledged: Mutex<Vec<Acknowledged>>,
}

impl Traffic {
    /// Starts that many clients, each with one command at a time.
    pub fn start(client: &Client, clients: usize) -> Traffic {
        let shared = Arc::new(Shared::default());
        let mut running = JoinSet::new();
        for _ in 0..clients {
            let (client, shared) = (client.clone(), Arc::clone(&shared));
            running.spawn(async move {
                while !shared.stop.load(Ordering::Relaxed) {
                    register(&client, &shared).await?;
                }
                Ok(())
            });
        }
        Traffic { shared, clients: running }
    }

    /// How many commands were sent and are not answered.
    pub fn unanswered(&self) -> u64 {
        // In this order: one that is answered in between cannot make the difference negative.
        let answered = self.shared.answered.load(Ordering::SeqCst);
        self.shared.asked.load(Ordering::SeqCst).saturating_sub(answered)
    }

    /// How many commands were answered.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// How often a command had to be sent again.
    pub fn repeated(&self) -> u64 {
        self.shared.repeated.load(Ordering::SeqCst)
    }

    /// Lets every client finish its command; fails if one of them was ever refused or not answered
    /// in the end.
    pub async fn stop(mut self) -> Result<Vec<Acknowledged>> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let ending = async {
            while let Some(ended) = self.clients.join_next().await {
                ended??;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(STOP_LIMIT, ending)
            .await
            .context("a client still waits for its answer")??;
        let acknowledged =
            self.shared.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ensure!(!acknowledged.is_empty(), "no command was acknowledged");
        Ok(acknowledged)
    }
}

async fn register(client: &Client, shared: &Shared) -> Result<()> {
    let (key, asked) = (Uuid::new_v4().to_string(), Instant::now());
    let body = json!({"email": format!("traffic-{key}@example.com"), "name": "Traffic"});
    shared.asked.fetch_add(1, Ordering::SeqCst);
    loop {
        let sent = client
            .command(Method::POST, "/api/v1/users", Some(&body), &[("idempotency-key", &key)])
            .await;
        let why = match sent {
            Ok(answer) if answer.status == StatusCode::CREATED => {
                let (id, position) = (answer.id()?.parse()?, answer.position()?);
                let one = Acknowledged { id, position, asked, answered: Instant::now() };
                shared.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(one);
                shared.answered.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            Ok(answer) if may_repeat(&answer) => format!("{}: {}", answer.status, answer.body),
            Ok(answer) => bail!("the key {key} was answered {}: {}", answer.status, answer.body),
            Err(error) => format!("{error:#}"),
        };
        shared.repeated.fetch_add(1, Ordering::SeqCst);
        if asked.elapsed() > LIMIT {
            bail!("the key {key} was not answered within {} s: {why}", LIMIT.as_secs());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Whether the answer says to come again: the system is not able now, or the first one is still in
/// flight.
fn may_repeat(answer: &crate::Answer) -> bool {
    answer.status == StatusCode::SERVICE_UNAVAILABLE
        || (answer.status == StatusCode::CONFLICT && answer.headers.contains_key("retry-after"))
}
