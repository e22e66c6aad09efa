//! Inspects a running postmaster from outside: its state file and its children.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::finish::finish;
use crate::postgres::LIMIT;

/// The state of a cluster according to its state file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostmasterState {
    /// No server runs, or it is starting or stopping.
    NotReady,
    /// The server accepts connections.
    Ready,
}

/// Reads the state of the cluster in `data` that runs as process `pid`. Unlike a connection, this
/// cannot reach another server that took the port.
pub fn postmaster_state(data: &Path, pid: u32) -> PostmasterState {
    const PID_LINE: usize = 0;
    const STATUS_LINE: usize = 7;
    let Ok(text) = std::fs::read_to_string(data.join("postmaster.pid")) else {
        return PostmasterState::NotReady;
    };
    let line = |number: usize| text.lines().nth(number).map(str::trim);
    if line(PID_LINE) == Some(pid.to_string().as_str()) && line(STATUS_LINE) == Some("ready") {
        PostmasterState::Ready
    } else {
        PostmasterState::NotReady
    }
}

/// The data folder named by the state file of a cluster. In a copy of a running cluster, it is the
/// original's folder.
pub fn postmaster_data(data: &Path) -> Option<PathBuf> {
    const DATA_LINE: usize = 1;
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    text.lines().nth(DATA_LINE).map(|line| PathBuf::from(line.trim()))
}

/// The child processes of a process.
pub(super) fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = Path::new("/proc").read_dir() else { return children_by_ps(parent) };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        // The format is `pid (name) state ppid …`. The name may contain anything, but ends with the
        // last parenthesis.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok())
            == Some(parent)
    };
    pids.filter(is_child).collect()
}

fn children_by_ps(parent: u32) -> Vec<u32> {
    let Ok(output) = finish(Command::new("ps").args(["-A", "-o", "pid=,ppid="]), LIMIT) else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse::<u32>().ok()?, words.next()?.parse::<u32>().ok()?))
    });
    pairs.filter(|(_, ppid)| *ppid == parent).map(|(pid, _)| pid).collect()
}
