//! Clients that register users continuously, repeat unanswered commands with the same key, and
//! record each answer. They show that commands are unanswered at the moment of a fault, and what
//! was acknowledged.

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
/// How long all clients together may take to stop.
const STOP_LIMIT: Duration = Duration::from_mins(2);

/// An acknowledged registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// The user's id.
    pub id: Uuid,
    /// The position in the answer.
    pub position: i64,
    /// The time at which it was first sent.
    pub asked: Instant,
    /// The time at which it was answered.
    pub answered: Instant,
}

/// Clients that work until they are stopped.
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
    /// Starts this many clients, each with one command at a time.
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

    /// The number of commands that were sent and are not answered.
    pub fn unanswered(&self) -> u64 {
        // Read in this order, so that a concurrent answer cannot make the difference negative.
        let answered = self.shared.answered.load(Ordering::SeqCst);
        self.shared.asked.load(Ordering::SeqCst).saturating_sub(answered)
    }

    /// The number of answered commands.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::SeqCst)
    }

    /// The number of repeated commands.
    pub fn repeated(&self) -> u64 {
        self.shared.repeated.load(Ordering::SeqCst)
    }

    /// Lets every client finish its command. Fails if a command was refused or never answered.
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

/// Whether the answer asks for a retry: the system is unavailable, or the first attempt is still in
/// flight.
fn may_repeat(answer: &crate::Answer) -> bool {
    answer.status == StatusCode::SERVICE_UNAVAILABLE
        || (answer.status == StatusCode::CONFLICT && answer.headers.contains_key("retry-after"))
}
