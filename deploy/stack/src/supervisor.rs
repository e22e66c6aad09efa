//! The supervisor of the stack's processes: starts them, restarts those that die, merges their
//! logs, and stops them all.
//!
//! A process goes `starting` → `running` → (it died) `waiting` → `starting` …, until `stop`. A
//! stopped service stays stopped until it is started again. Every process is guarded: if the
//! supervisor itself is killed, the kernel (or a watching shell) ends its processes.

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

/// How long a service may take to become ready, including PostgreSQL's recovery after a crash.
pub const READY_LIMIT: Duration = Duration::from_mins(2);
/// The shortest and the longest pause between two checks. A pause is about a twentieth of the wait
/// so far.
const READY_POLL: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(250)];

/// The state of one process in `running.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The process, or `None` while it waits for a restart.
    pub process: Option<ProcessId>,
    /// The build of the program that it runs.
    pub program: Option<Build>,
    /// The number of restarts.
    pub restarts: u32,
}

impl Running {
    /// The process id, or `None` while the process waits for a restart.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.pid)
    }
}

/// The content of `running.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningFile {
    /// The stack and supervisor that the processes belong to.
    #[serde(flatten)]
    pub holder: Holder,
    /// The processes by name.
    pub processes: BTreeMap<String, Running>,
}

/// The state that a service should be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Run, and restart after every end.
    Run,
    /// Stop for now; it may run again later.
    Rest,
    /// Stop for good.
    End,
}

type Table = Arc<Mutex<BTreeMap<String, Running>>>;

/// Supervises services. It keeps them in start order.
#[derive(Debug)]
pub struct Supervisor {
    layout: Layout,
    view: LogView,
    table: Table,
    changed: watch::Sender<u64>,
    services: Vec<Supervised>,
    probe: Probe,
    /// The task that writes `running.json` at every start and end.
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
    /// Creates a supervisor without services.
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

    /// Waits until a service is ready, at most [`READY_LIMIT`]. It stops waiting if the service
    /// needs a person to act.
    ///
    /// # Errors
    /// The service is not ready. The message gives the reason and the path of its log.
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

    /// The processes that run now.
    pub fn running(&self) -> BTreeMap<String, Running> {
        self.table.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The process ids by name, with the names of `endpoints.json`.
    pub fn pids(&self) -> BTreeMap<String, u32> {
        let running = self.running().into_iter();
        running
            .filter_map(|(name, running)| Some((name.replace('-', "_"), running.pid()?)))
            .collect()
    }

    /// A receiver that is notified of every start and end.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Stops the services that should be stopped, and runs the others.
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

    /// Stops everything cleanly: first all processes that use the servers, at the same time, then
    /// the servers.
    pub async fn stop(mut self) {
        let servers = ["nats", "rabbitmq", "postgres"];
        let (last, first): (Vec<Supervised>, Vec<Supervised>) =
            self.services.drain(..).partition(|kept| servers.contains(&kept.name));
        end(first).await;
        end(last).await;
        self.scribe.abort();
    }
}

/// Writes `running.json` at every change. After the supervisor is killed, `down` finds its
/// processes there.
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
        // A service whose task has ended needs no signal.
        let _over = kept.order.send(Order::End);
    }
    for kept in services {
        if let Err(error) = kept.task.await {
            eprintln!("stack: {}: {error}", kept.name);
        }
    }
}
