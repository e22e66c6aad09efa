//! One round: concurrent workers repeat their work until the time is up, and every duration is
//! recorded.

use std::future::Future;
use std::time::{Duration, Instant};

/// The duration and number of rounds.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Schedule {
    /// The duration of each round, in seconds.
    #[arg(long, default_value_t = 10.0)]
    pub round_seconds: f64,
    /// The duration of the warm-up before the first round of each kind, in seconds.
    #[arg(long, default_value_t = 3.0)]
    pub warmup_seconds: f64,
    /// The number of rounds, of which the median counts.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
}

/// The result of one round.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// The number of operations.
    pub count: u64,
    /// The operations per second.
    pub rate: f64,
    /// The median duration of an operation, in milliseconds.
    pub p50: f64,
    /// The 99th percentile of the durations, in milliseconds.
    pub p99: f64,
}

/// Runs each worker in a task until the time is up. Each call of a worker returns its number of
/// operations; a worker that returns 0 has nothing left to do, and ends. The round ends with its
/// last worker.
///
/// # Errors
/// The first error of a worker.
pub async fn run<W, F>(seconds: f64, workers: Vec<W>) -> anyhow::Result<(Round, Vec<W>)>
where
    W: FnMut() -> F + Send + 'static,
    F: Future<Output = anyhow::Result<u64>> + Send,
{
    let started = Instant::now();
    let end = started + Duration::from_secs_f64(seconds);
    let tasks = workers.into_iter().map(|mut worker| {
        tokio::spawn(async move {
            let (mut count, mut durations) = (0, Vec::new());
            loop {
                let before = Instant::now();
                if before >= end {
                    return anyhow::Ok((count, durations, worker));
                }
                let done = worker().await?;
                if done == 0 {
                    return anyhow::Ok((count, durations, worker));
                }
                count += done;
                durations.push(before.elapsed());
            }
        })
    });
    let (mut count, mut durations, mut workers) = (0, Vec::new(), Vec::new());
    for task in tasks.collect::<Vec<_>>() {
        let (done, took, worker) = task.await??;
        count += done;
        durations.extend(took);
        workers.push(worker);
    }
    let elapsed = started.elapsed().as_secs_f64();
    durations.sort_unstable();
    let percentile = |hundredths: usize| {
        let at = (durations.len().saturating_sub(1) * hundredths) / 100;
        durations.get(at).map_or(f64::NAN, |d| d.as_secs_f64() * 1_000.0)
    };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = count as f64 / elapsed;
    Ok((Round { count, rate, p50: percentile(50), p99: percentile(99) }, workers))
}

/// One value of each round.
pub fn values(rounds: &[Round], of: fn(&Round) -> f64) -> Vec<f64> {
    rounds.iter().map(of).collect()
}
