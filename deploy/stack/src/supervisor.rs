//! Keeps the stack's processes running: starts each, restarts one that dies, merges their logs,
//! stops all of them.
//!
//! A process is `starting` → `running` → (it died) `waiting` → `starting` …, until `stop`; a
//! service that is told to rest is stopped and not started until it is told to run. Every process
//! is guarded: should the supervisor itself be killed, the kernel (or a watching shell) ends what
//! it started.

mod log;
mod readiness;
mod service;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use log::LogView;
pub use readiness::{NotReady, Probe, Readiness};
pub use service::Service;

use crate::build::Build;
use crate::identity::{Holder, ProcessId};
use crate::layout::{Layout, write_private};

/// How long a service may take until it is ready; PostgreSQL's recovery after a crash included.
pub const READY_LIMIT: Duration = Duration::from_mins(2);
/// How long the pause between two looks is at first, and at most: about a twentieth of the wait so
/// far.
const READY_POLL: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(250)];

/// One running process, as `running.json` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Which process; none while it waits to be started again.
    pub process: Option<ProcessId>,
    /// Which build of its program it runs.
    pub program: Option<Build>,
    /// How often it was started again.
    pub restarts: u32,
}

impl Running {
    /// The process id; none while it waits to be started again.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.pid)
    }
}

/// What `running.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningFile {
    /// Whose they are.
    #[serde(flatten)]
    pub holder: Holder,
    /// The processes by name.
    pub processes: BTreeMap<String, Running>,
}

/// What a service is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Run, and start again whenever it dies.
    Run,
    /// Stop, and be ready to run again.
    Rest,
    /// Stop for good.
    End,
}

type Table = Arc<Mutex<BTreeMap<String, Running>>>;

/// The services that run, in the order of their start.
#[derive(Debug)]
pub struct Supervisor {
    layout: Layout,
    view: LogView,
    table: Table,
    changed: watch::Sender<u64>,
    services: Vec<Supervised>,
    probe: Probe,
    /// Writes `running.json` at every start and end.
    scribe: JoinHandle<()>,
}

#[derive(Debug)]
struct Supervised {
    name: &'static str,
    order: watch::Sender<Order>,
    task: JoinHandle<()>,
    readiness: Readiness,
}

impl Supervisor {
    /// Nothing runs yet.
    pub fn new(layout: &Layout, holder: Holder, view: LogView) -> anyhow::Result<Supervisor> {
        let (changed, changes) = watch::channel(0);
        let (table, probe) = (Table::default(), Probe::new()?);
        let scribe = tokio::spawn(keep_written(layout.clone(), holder, table.clone(), changes));
        Ok(Supervisor {
            layout: layout.clone(),
            view,
            table,
            changed,
            services: Vec::new(),
            probe,
            scribe,
        })
    }

    /// Starts a service and keeps it running.
    pub fn start(&mut self, service: Service) -> anyhow::Result<()> {
        let log = log::Log::open(&self.layout, service.name, self.view)?;
        let (name, readiness) = (service.name, service.readiness.clone());
        let (order, orders) = watch::channel(Order::Run);
        let reporter =
            service::Reporter { table: self.table.clone(), changed: self.changed.clone() };
        let task = tokio::spawn(service::keep(service, log, reporter, orders));
        self.services.push(Supervised { name, order, task, readiness });
        Ok(())
    }

    /// Waits until a service is ready, as long as waiting may help: not for one that needs
    /// somebody's action, and no longer than [`READY_LIMIT`].
    ///
    /// # Errors
    /// It is not ready. The message says why, and names its log.
    pub async fn ready(&self, name: &str) -> anyhow::Result<()> {
        let kept =
            self.services.iter().find(|kept| kept.name == name).context("no such service")?;
        let since = tokio::time::Instant::now();
        loop {
            let pid = self.running().get(name).and_then(Running::pid);
            let why = match pid {
                None => NotReady::now("it ended"),
                Some(pid) => match self.probe.check(&kept.readiness, pid).await {
                    Ok(()) => return Ok(()),
                    Err(why) => why,
                },
            };
            let log = self.layout.log(name);
            anyhow::ensure!(!why.needs_action, "{name} is not ready: {why}; see {}", log.display());
            anyhow::ensure!(
                since.elapsed() <= READY_LIMIT,
                "{name} was not ready within {} s: {why}; see {}",
                READY_LIMIT.as_secs(),
                log.display()
            );
            let [first, most] = READY_POLL;
            tokio::time::sleep((since.elapsed() / 20).clamp(first, most)).await;
        }
    }

    /// What runs now.
    pub fn running(&self) -> BTreeMap<String, Running> {
        self.table.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The process ids by name, as `endpoints.json` names them.
    pub fn pids(&self) -> BTreeMap<String, u32> {
        let running = self.running().into_iter();
        running
            .filter_map(|(name, running)| Some((name.replace('-', "_"), running.pid()?)))
            .collect()
    }

    /// Tells of every start and end.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Lets the services rest that were told to, and the others run.
    pub fn obey(&self) {
        for kept in &self.services {
            let order = if self.layout.resting().join(kept.name).exists() {
                Order::Rest
            } else {
                Order::Run
            };
            kept.order.send_if_modified(|current| std::mem::replace(current, order) != order);
        }
    }

    /// Stops everything in an orderly way: first whoever uses the servers, all at once, then the
    /// servers.
    pub async fn stop(mut self) {
        let servers = ["nats", "postgres"];
        let (last, first): (Vec<Supervised>, Vec<Supervised>) =
            self.services.drain(..).partition(|kept| servers.contains(&kept.name));
        end(first).await;
        end(last).await;
        self.scribe.abort();
    }
}

/// What a killed supervisor leaves is found by what it wrote: so it writes at once.
async fn keep_written(
    layout: Layout,
    holder: Holder,
    table: Table,
    mut changes: watch::Receiver<u64>,
) {
    while changes.changed().await.is_ok() {
        let processes = table.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let file = RunningFile { holder: holder.clone(), processes };
        let text = serde_json::to_string_pretty(&file).map_err(anyhow::Error::from);
        if let Err(error) = text.and_then(|text| write_private(&layout.running(), &text)) {
            eprintln!("stack: {error:#}");
        }
    }
}

async fn end(services: Vec<Supervised>) {
    for kept in &services {
        // A service whose task is over needs no signal.
        let _over = kept.order.send(Order::End);
    }
    for kept in services {
        if let Err(error) = kept.task.await {
            eprintln!("stack: {}: {error}", kept.name);
        }
    }
}
