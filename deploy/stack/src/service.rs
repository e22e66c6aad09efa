//! `stop NAME` and `start NAME`: takes one process or server away and keeps it away, to see how the
//! others do without it.
//!
//! A file per name says which are to rest; the supervisor reads them at SIGUSR1. The next `up`
//! begins with all of them.

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

/// Longer than a process may take to finish its work in flight before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(20);

/// Stops one service and keeps it from being started again.
pub async fn stop(layout: &Layout, name: &str) -> anyhow::Result<ExitCode> {
    let Some(supervisor) = supervisor_of(layout, name)? else {
        return Ok(ExitCode::from(cli_kit::USAGE));
    };
    stop_and_wait(layout, name, &supervisor).await?;
    eprintln!("stack: {name} is stopped; `cargo stack start {name}` starts it again");
    Ok(ExitCode::SUCCESS)
}

/// Stops one service, keeps it stopped, and waits until it has ended.
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
    // The last thing that the supervisor writes is `endpoints.json`.
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

/// Starts a stopped service again and waits until it is ready, unless it needs somebody's action
/// before that.
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
            (None, _) => Err(NotReady::now("it does not run")),
            (Some(_), None) => Ok(()),
        };
        let Err(why) = why else { break };
        anyhow::ensure!(!why.needs_action, "{name} runs, but it is not ready: {why}");
        anyhow::ensure!(
            Instant::now() < deadline,
            "{name} was not ready within {} s: {why}",
            READY_LIMIT.as_secs()
        );
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The supervisor of the stack, if that has such a service; says which services there are if not.
pub(crate) fn supervisor_of(layout: &Layout, name: &str) -> anyhow::Result<Option<ProcessId>> {
    Endpoints::read(layout)?;
    let file = running(layout)?.context("the stack is not up: run `cargo stack up`")?;
    if file.processes.contains_key(name) {
        return Ok(Some(file.holder.supervisor));
    }
    let names: Vec<String> = file.processes.into_keys().collect();
    eprintln!("stack: there is no process {name:?}; say one of {}", names.join(", "));
    Ok(None)
}
