//! `stop NAME` and `start NAME`: stops one process or server and keeps it stopped, to see how the
//! others cope without it.
//!
//! A file per stopped service tells the supervisor which ones to stop; it reads them on SIGUSR1.
//! The next `up` starts all services.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::Signal;

use crate::down::running;
use crate::endpoints::Endpoints;
use crate::identity::ProcessId;
use crate::layout::{Layout, private_folder, remove_file, write_private};
use crate::status::readiness;
use crate::supervisor::{NotReady, Probe, READY_LIMIT};

/// Exceeds the time that a process gets to finish its work in flight before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(20);

/// Stops one service and prevents its restart.
pub async fn stop(layout: &Layout, name: &str) -> anyhow::Result<ExitCode> {
    let Some(supervisor) = supervisor_of(layout, name)? else {
        return Ok(ExitCode::from(cli_kit::USAGE));
    };
    stop_and_wait(layout, name, &supervisor).await?;
    eprintln!("stack: {name} is stopped; `cargo stack start {name}` starts it again");
    Ok(ExitCode::SUCCESS)
}

/// Stops one service, prevents its restart, and waits for its end.
pub(crate) async fn stop_and_wait(
    layout: &Layout,
    name: &str,
    supervisor: &ProcessId,
) -> anyhow::Result<()> {
    let folder = layout.resting();
    private_folder(&folder)?;
    write_private(&folder.join(name), "")?;
    supervisor.signal(Signal::SIGUSR1)?;
    let deadline = Instant::now() + STOP_LIMIT;
    // The supervisor writes `endpoints.json` last.
    while Endpoints::read(layout)?.pids.contains_key(&name.replace('-', "_")) {
        anyhow::ensure!(
            Instant::now() < deadline,
            "{name} did not stop within {} s",
            STOP_LIMIT.as_secs()
        );
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Starts a stopped service and waits until it is ready. It stops waiting if the service needs a
/// person to act.
pub async fn start(layout: &Layout, name: &str) -> anyhow::Result<ExitCode> {
    let Some(supervisor) = supervisor_of(layout, name)? else {
        return Ok(ExitCode::from(cli_kit::USAGE));
    };
    start_and_wait(layout, name, &supervisor).await?;
    eprintln!("stack: {name} is ready");
    Ok(ExitCode::SUCCESS)
}

/// Starts a stopped service and waits until it is ready.
pub(crate) async fn start_and_wait(
    layout: &Layout,
    name: &str,
    supervisor: &ProcessId,
) -> anyhow::Result<()> {
    remove_file(&layout.resting().join(name))?;
    supervisor.signal(Signal::SIGUSR1)?;
    let probe = Probe::new()?;
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        let endpoints = Endpoints::read(layout)?;
        let why = match (
            endpoints.pids.get(&name.replace('-', "_")),
            readiness(layout, &endpoints, name),
        ) {
            (Some(pid), Some(readiness)) => probe.check(&readiness, *pid).await,
            (None, _) => Err(NotReady::now("it is not running")),
            (Some(_), None) => Ok(()),
        };
        let Err(why) = why else { break };
        anyhow::ensure!(!why.needs_action, "{name} is running, but it is not ready: {why}");
        anyhow::ensure!(
            Instant::now() < deadline,
            "{name} was not ready within {} s: {why}",
            READY_LIMIT.as_secs()
        );
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The supervisor of the stack if it has such a service. Otherwise prints the names of all
/// services.
pub(crate) fn supervisor_of(layout: &Layout, name: &str) -> anyhow::Result<Option<ProcessId>> {
    Endpoints::read(layout)?;
    let file = running(layout)?.context("the stack is not up: run `cargo stack up`")?;
    if file.processes.contains_key(name) {
        return Ok(Some(file.holder.supervisor));
    }
    let names: Vec<String> = file.processes.into_keys().collect();
    eprintln!("stack: there is no process {name:?}; use one of {}", names.join(", "));
    Ok(None)
}
