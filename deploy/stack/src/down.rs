//! `down`: stops the supervisor, and what a killed one may have left.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::layout::{Layout, remove_file};
use crate::output::answer;
use crate::supervisor::RunningFile;

/// How long the supervisor may take to stop everything.
const LIMIT: Duration = Duration::from_secs(90);
/// How long what a killed supervisor left may take to end by itself.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);

/// Stops the stack.
pub async fn run(layout: &Layout, json: bool) -> anyhow::Result<ExitCode> {
    let stopped = stop(layout).await?;
    if json {
        answer(serde_json::json!({ "stopped": stopped }));
    } else {
        eprintln!("stack: {}", if stopped { "stopped" } else { "it was not up" });
    }
    Ok(ExitCode::SUCCESS)
}

/// Stops the stack; `false` when it was not up.
pub async fn stop(layout: &Layout) -> anyhow::Result<bool> {
    let mut asked = false;
    let deadline = Instant::now() + LIMIT;
    let lock = loop {
        if let Some(lock) = layout.lock()? {
            break lock;
        }
        if !asked && let Some(running) = running(layout)? {
            signal(running.supervisor, Signal::SIGTERM)?;
            asked = true;
        }
        anyhow::ensure!(Instant::now() < deadline, "the stack did not stop within {} s", LIMIT.as_secs());
        tokio::time::sleep(POLL).await;
    };
    let left = end_leftovers(layout).await?;
    remove_file(&layout.endpoints())?;
    drop(lock);
    Ok(asked || left)
}

/// Ends what a supervisor left that was killed; whether there was anything. Only for the holder of the lock.
pub async fn end_leftovers(layout: &Layout) -> anyhow::Result<bool> {
    let Some(file) = running(layout)? else { return Ok(false) };
    let left: Vec<u32> =
        file.processes.values().filter_map(|process| process.pid.filter(|pid| runs(*pid, &process.program))).collect();
    let alive = || file.processes.values().filter_map(|process| process.pid.filter(|pid| runs(*pid, &process.program)));
    // Their guards have told them to end; after a while nobody asks any more.
    let deadline = Instant::now() + LEFTOVER_LIMIT;
    while alive().next().is_some() && Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
    }
    for pid in alive() {
        eprintln!("stack: process {pid} was left by a killed stack and is killed");
        signal(pid, Signal::SIGKILL)?;
    }
    remove_file(&layout.running())?;
    Ok(!left.is_empty())
}

/// What runs, as the supervisor wrote it; none when nothing does.
pub fn running(layout: &Layout) -> anyhow::Result<Option<RunningFile>> {
    let path = layout.running();
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => {
            let text = read.with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Some(serde_json::from_str(&text).with_context(|| format!("{} cannot be read", path.display()))?))
        }
    }
}

/// Whether the process runs that program: a process id alone may by now be somebody else's.
fn runs(pid: u32, program: &Path) -> bool {
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok().or_else(|| {
        let output = std::process::Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output().ok()?;
        Some(output.stdout)
    });
    arguments.is_some_and(|text| String::from_utf8_lossy(&text).contains(&*program.to_string_lossy()))
}

/// Signals a process, which may have ended.
pub fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let id = Pid::from_raw(i32::try_from(pid)?);
    match kill(id, signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot signal process {pid}")),
    }
}
