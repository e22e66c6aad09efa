//! What can be seen of a running postmaster from outside: its state file and its children.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::finish::finish;
use crate::postgres::LIMIT;

/// What a cluster's own state file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostmasterState {
    /// No server runs, or it is starting or stopping.
    NotReady,
    /// It accepts connections.
    Ready,
}

/// Reads a cluster's state file; it tells the cluster that answers on a port from another one that
/// took the port.
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

/// The folder of the cluster whose server wrote this state file: another one's, in a copy that was
/// made while that ran.
pub fn postmaster_data(data: &Path) -> Option<PathBuf> {
    const DATA_LINE: usize = 1;
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    text.lines().nth(DATA_LINE).map(|line| PathBuf::from(line.trim()))
}

/// The processes whose parent this is.
pub(super) fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = Path::new("/proc").read_dir() else { return children_by_ps(parent) };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        // pid (name) state ppid …: the name may hold anything but ends with the last parenthesis.
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
