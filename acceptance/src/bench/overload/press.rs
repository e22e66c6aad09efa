//! Clients that send commands for a while, and count those that are carried out and those that are
//! refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{bail, ensure};
use hyper::StatusCode;
use hyper::header::RETRY_AFTER;
use tokio::time::{Instant, sleep_until};

use crate::bench::commands::client::Client;
use crate::bench::commands::load::{ADD, Load, product};

/// When commands are sent.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench) enum Pace {
    /// Each client sends one as soon as the last one is answered.
    Closed,
    /// This many are due in each second, independently of the answers. A client takes the next one
    /// that is due when it is free.
    Open {
        /// The number of commands that are due per second.
        rate: f64,
    },
}

/// The results of the commands.
#[derive(Debug, Default)]
pub(in crate::bench) struct Ended {
    seconds: f64,
    refused: usize,
    /// How long each command that was carried out took, since it was due.
    durations: Vec<Duration>,
}

impl Ended {
    /// The commands that were carried out in a second.
    pub(in crate::bench) fn rate(&self) -> f64 {
        per_second(self.durations.len(), self.seconds)
    }

    /// The commands that were sent in a second.
    pub(in crate::bench) fn offered(&self) -> f64 {
        per_second(self.durations.len() + self.refused, self.seconds)
    }

    /// A percentile of the durations, in milliseconds.
    pub(in crate::bench) fn percentile(&self, hundredths: usize) -> f64 {
        let mut sorted = self.durations.clone();
        sorted.sort_unstable();
        let at = sorted.len().saturating_sub(1) * hundredths / 100;
        sorted.get(at).map_or(f64::NAN, |duration| duration.as_secs_f64() * 1_000.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn per_second(count: usize, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// Sends commands over this many connections.
///
/// # Errors
/// A client cannot connect, or an answer is neither a success nor a 503 with `Retry-After`.
pub(in crate::bench) async fn press(
    load: &Load,
    connections: usize,
    pace: Pace,
    seconds: f64,
) -> anyhow::Result<Ended> {
    let clients = load.clients(connections).await?;
    let started = Instant::now();
    let (next, end) = (Arc::new(AtomicU32::new(0)), started + Duration::from_secs_f64(seconds));
    let tasks = clients.into_iter().map(|client| {
        let next = Arc::clone(&next);
        let due = move || match pace {
            Pace::Closed => Instant::now(),
            Pace::Open { rate } => {
                let number = next.fetch_add(1, Ordering::Relaxed);
                started + Duration::from_secs_f64(f64::from(number) / rate)
            }
        };
        tokio::spawn(send(client, due, end))
    });
    let mut all = Ended::default();
    for task in tasks.collect::<Vec<_>>() {
        let ended = task.await??;
        all.refused += ended.refused;
        all.durations.extend(ended.durations);
    }
    all.seconds = started.elapsed().as_secs_f64();
    Ok(all)
}

async fn send(
    mut client: Client,
    due: impl Fn() -> Instant + Send,
    end: Instant,
) -> anyhow::Result<Ended> {
    let mut ended = Ended::default();
    loop {
        let due = due();
        if due.max(Instant::now()) >= end {
            return Ok(ended);
        }
        sleep_until(due).await;
        let answer = client.answered(ADD, &product()).await?;
        match answer.status() {
            StatusCode::CREATED => ended.durations.push(due.elapsed()),
            StatusCode::SERVICE_UNAVAILABLE => {
                ensure!(answer.headers().contains_key(RETRY_AFTER), "a 503 without Retry-After");
                ended.refused += 1;
            }
            status => bail!("{status} {}", String::from_utf8_lossy(answer.body())),
        }
    }
}
