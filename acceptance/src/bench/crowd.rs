//! What benchmarks with thousands of clients of one process share: lean connections from many
//! addresses, the limits that they need, and a stand-in for the projector.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::figure::{Figure, table, write_json};
use super::say;

mod announcer;
mod moments;
mod wire;

pub(super) use announcer::{Announcer, event_at};
pub(super) use moments::Moments;
pub(super) use wire::Wire;

/// How often changes are written, like the batches of a projector under load.
pub(super) const STEP_EVERY: Duration = Duration::from_millis(20);
/// The maximum number of changes in one step.
pub(super) const MAX_STEP: u64 = 500;
/// How many clients connect at once.
pub(super) const AT_ONCE: usize = 64;
/// The number of clients of one address, below the limit of connections per address.
const PER_ADDRESS: usize = 200;
/// The most bytes that may wait for one client: some seconds of everything, so that a pause of this
/// process drops nobody.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// The files that a process has open next to its connections to clients.
const OTHER_FILES: usize = 200;

/// The arguments of all these benchmarks.
#[derive(Debug, Args)]
pub(super) struct CrowdArgs {
    /// The server on which to create the benchmark's database. The role must be allowed to create
    /// databases.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    pub(super) url: String,
    /// The number of clients, each with a connection of its own.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..))]
    pub(super) clients: u32,
    /// The number of events a second.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..))]
    pub(super) rate: u32,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl CrowdArgs {
    /// The number of clients.
    pub(super) fn clients(&self) -> usize {
        usize::try_from(self.clients).unwrap_or(usize::MAX)
    }

    /// How many events are due by this time.
    pub(super) fn due(&self, since: Duration) -> u64 {
        let per_second = u128::from(self.rate);
        u64::try_from(since.as_micros() * per_second / 1_000_000).unwrap_or(u64::MAX)
    }

    /// Prints and writes the figures. Returns whether they reached their targets.
    pub(super) fn report(&self, figures: &[Figure]) -> anyhow::Result<bool> {
        say(&table(figures))?;
        if let Some(path) = &self.json {
            write_json(path, figures)?;
        }
        Ok(figures.iter().all(|figure| figure.reached != Some(false)))
    }
}

/// The settings that let so many clients in.
pub(super) fn settings(clients: usize) -> Vec<(&'static str, String)> {
    let room = (clients + OTHER_FILES).to_string();
    let limits = ["MAX_CONNECTIONS", "LIVE_STREAMS", "LIVE_STREAMS_PER_CLIENT", "WAITING_QUERIES"];
    let mut settings: Vec<_> = limits.map(|name| (name, room.clone())).into();
    settings.push(("LIVE_BUFFER_BYTES", BUFFER_BYTES.to_string()));
    settings
}

/// Lets this process and those that it starts open a file for each client.
pub(super) fn raise_file_limit(clients: usize) -> anyhow::Result<()> {
    let wanted = u64::try_from(clients + OTHER_FILES)?;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(
        hard >= wanted,
        "{clients} clients need {wanted} open files, and the hard limit is {hard} (`ulimit -Hn`)"
    );
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).context("the limit of open files")?;
    }
    Ok(())
}

/// The address that a client comes from: limits and ephemeral ports are per address.
pub(super) fn source(client: usize) -> Ipv4Addr {
    let [.., high, low] = (client / PER_ADDRESS + 1).to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// A percentile of durations in microseconds, in milliseconds. They must be sorted.
pub(super) fn percentile(sorted: &[u32], hundredths: usize) -> f64 {
    let at = sorted.len().saturating_sub(1) * hundredths / 100;
    sorted.get(at).map_or(f64::NAN, |micros| f64::from(*micros) / 1_000.0)
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(super) const fn precise(count: u64) -> f64 {
    count as f64
}

/// The number of microseconds from one moment to another, 0 if the other was before.
pub(super) fn micros(from: Duration, to: Duration) -> u32 {
    u32::try_from(to.saturating_sub(from).as_micros()).unwrap_or(u32::MAX)
}

/// Says what was done, and how long it took.
pub(super) fn say_since(what: impl Display, since: Instant) -> anyhow::Result<()> {
    Ok(say(&format!("{what} in {:.1} s", since.elapsed().as_secs_f64()))?)
}
