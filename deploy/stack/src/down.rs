//! `down`: stops the supervisor, and processes that a killed supervisor left behind. It signals
//! only processes that certainly belong to this stack.

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
/// How long leftover processes of a killed supervisor may take to end by themselves.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);

/// Stops the stack and reports it.
pub async fn run(layout: &Layout, json: bool) -> anyhow::Result<ExitCode> {
    let stopped = stop(layout).await?;
    if json {
        answer(serde_json::json!({ "stopped": stopped }))?;
    } else {
        eprintln!("stack: {}", if stopped { "stopped" } else { "it was not running" });
    }
    Ok(ExitCode::SUCCESS)
}

/// Stops the stack. Returns false if it was not running.
pub async fn stop(layout: &Layout) -> anyhow::Result<bool> {
    let mut asked = false;
    let deadline = Instant::now() + LIMIT;
    let lock = loop {
        if let Some(lock) = layout.lock()? {
            break lock;
        }
        // A supervisor that has just started has not written its identity yet.
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

/// Ends the processes that a killed supervisor left behind. Returns whether there were any. The
/// caller must hold the lock.
pub async fn end_leftovers(layout: &Layout) -> anyhow::Result<bool> {
    let file = running(layout)?;
    let mut left: Vec<ProcessId> = file
        .into_iter()
        .flat_map(|file| file.processes.into_values())
        .filter_map(|one| one.process)
        .collect();
    left.retain(ProcessId::runs);
    let any = !left.is_empty();
    // Their guards have told them to end. After a while they are killed.
    let deadline = Instant::now() + LEFTOVER_LIMIT;
    while !left.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
        left.retain(ProcessId::runs);
    }
    for process in left {
        eprintln!("stack: killing process {}, which a killed stack left behind", process.pid);
        process.signal(Signal::SIGKILL)?;
    }
    // Also removes a file that was copied here from another stack.
    remove_file(&layout.running())?;
    Ok(any)
}

/// Reads `running.json`, which this stack's supervisor writes. `None` if the file is missing or
/// belongs to another stack.
pub fn running(layout: &Layout) -> anyhow::Result<Option<RunningFile>> {
    let path = layout.running();
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => {
            let text = read.with_context(|| format!("cannot read {}", path.display()))?;
            let file: RunningFile = serde_json::from_str(&text).with_context(|| {
                format!("{} is invalid: end the processes it names, then delete it", path.display())
            })?;
            Ok(Some(file).filter(|file| file.holder.is_of(layout)))
        }
    }
}
