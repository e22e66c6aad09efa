//! `down`: stops the supervisor, and what a killed one may have left. Only processes that are
//! certainly this stack's are signalled.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::Signal;

use crate::identity::ProcessId;
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
        answer(serde_json::json!({ "stopped": stopped }))?;
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
        // A supervisor that has only just begun has not written yet who it is.
        if !asked && let Some(running) = running(layout)? {
            asked = running.holder.supervisor.signal(Signal::SIGTERM)?;
        }
        anyhow::ensure!(Instant::now() < deadline, "{}", not_stopped(layout, asked));
        tokio::time::sleep(POLL).await;
    };
    let left = end_leftovers(layout).await?;
    remove_file(&layout.endpoints())?;
    drop(lock);
    Ok(asked || left)
}

fn not_stopped(layout: &Layout, asked: bool) -> String {
    let seconds = LIMIT.as_secs();
    if asked {
        return format!("the stack did not stop within {seconds} s");
    }
    let (lock, running) = (layout.state.join("lock"), layout.running());
    format!(
        "{} is locked, but {} does not say by which process: was the folder moved or linked while \
            the stack ran?",
        lock.display(),
        running.display()
    )
}

/// Ends what a supervisor left that was killed; whether there was anything. Only for the holder of
/// the lock.
pub async fn end_leftovers(layout: &Layout) -> anyhow::Result<bool> {
    let file = running(layout)?;
    let mut left: Vec<ProcessId> = file
        .into_iter()
        .flat_map(|file| file.processes.into_values())
        .filter_map(|one| one.process)
        .collect();
    left.retain(ProcessId::runs);
    let any = !left.is_empty();
    // Their guards have told them to end; after a while nobody asks any more.
    let deadline = Instant::now() + LEFTOVER_LIMIT;
    while !left.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
        left.retain(ProcessId::runs);
    }
    for process in left {
        eprintln!("stack: process {} was left by a killed stack and is killed", process.pid);
        process.signal(Signal::SIGKILL)?;
    }
    // Also one that was copied here from another stack.
    remove_file(&layout.running())?;
    Ok(any)
}

/// What runs, as this stack's supervisor wrote it; none when nothing does. A file of another stack
/// says nothing about this one.
pub fn running(layout: &Layout) -> anyhow::Result<Option<RunningFile>> {
    let path = layout.running();
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => {
            let text = read.with_context(|| format!("cannot read {}", path.display()))?;
            let file: RunningFile = serde_json::from_str(&text).with_context(|| {
                format!("{} cannot be read: end what it names, then delete it", path.display())
            })?;
            Ok(Some(file).filter(|file| file.holder.is_of(layout)))
        }
    }
}
