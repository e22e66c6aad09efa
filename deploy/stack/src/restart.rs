//! `restart NAME`: the edit loop. It rebuilds one process while the old one still runs, then
//! replaces it. A failed build changes nothing.

use std::process::ExitCode;
use std::time::Instant;

use crate::build::{self, PROCESSES};
use crate::endpoints::Endpoints;
use crate::layout::Layout;
use crate::service::{start_and_wait, stop_and_wait, supervisor_of};

/// Rebuilds one process in the stack's build profile, restarts it, and waits until it is ready. A
/// server, or a process from a given folder of programs, is restarted without a build.
///
/// # Errors
/// The build fails (the process keeps running), or the process does not become ready.
pub async fn run(layout: &Layout, name: &str) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let Some(supervisor) = supervisor_of(layout, name)? else {
        return Ok(ExitCode::from(cli_kit::USAGE));
    };
    let profile = Endpoints::read(layout)?.profile;
    if let (Some(profile), true) = (profile, PROCESSES.contains(&name)) {
        eprintln!("stack: building {name} ({profile})");
        build::process(layout, &profile, name)?;
    }
    eprintln!("stack: restarting {name}");
    stop_and_wait(layout, name, &supervisor).await?;
    start_and_wait(layout, name, &supervisor).await?;
    eprintln!("stack: {name} is ready after {:.1} s", started.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}
