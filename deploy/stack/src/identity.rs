//! Identifies processes and stacks reliably. A process id may have been reused, and a file copied
//! with its folder describes another stack.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use local_servers::finish;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::layout::Layout;

/// Identifies a process on this machine by its id and its start time. A later process with the same
/// id has another start time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process id.
    pub pid: u32,
    /// The start time, as the system formats it.
    pub started: String,
}

/// Identifies the stack that a file describes, and the supervisor that wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The stack's folder.
    pub state: PathBuf,
    /// The supervisor process.
    pub supervisor: ProcessId,
}

impl ProcessId {
    /// The process that has this id now. `None` if there is none, or it has ended and was not
    /// reaped.
    pub fn of(pid: u32) -> Option<ProcessId> {
        Some(ProcessId { pid, started: started(pid)? })
    }

    /// Whether the process still runs.
    pub fn runs(&self) -> bool {
        started(self.pid).is_some_and(|started| started == self.started)
    }

    /// Signals the process if it still runs. Returns whether it did.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<bool> {
        if !self.runs() {
            return Ok(false);
        }
        match kill(Pid::from_raw(i32::try_from(self.pid)?), signal) {
            Ok(()) => Ok(true),
            Err(nix::errno::Errno::ESRCH) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot signal process {}", self.pid)),
        }
    }
}

impl Holder {
    /// This process as the supervisor of a stack.
    pub fn own(layout: &Layout) -> anyhow::Result<Holder> {
        let supervisor =
            ProcessId::of(std::process::id()).context("cannot read this process's start time")?;
        Ok(Holder { state: layout.state.clone(), supervisor })
    }

    /// Whether the file describes this stack and was not copied from another.
    pub fn is_of(&self, layout: &Layout) -> bool {
        self.state == layout.state
    }
}

/// The start time of a process. On Linux: the boot id and the clock ticks since boot. Elsewhere:
/// the output of `ps`.
fn started(pid: u32) -> Option<String> {
    if !cfg!(target_os = "linux") {
        const LIMIT: Duration = Duration::from_secs(10);
        let mut command = std::process::Command::new("ps");
        let output = finish(command.args(["-o", "lstart=", "-p", &pid.to_string()]), LIMIT).ok()?;
        let started = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        return Some(started).filter(|started| !started.is_empty());
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let machine = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!("{} {}", machine.trim(), ticks(&stat)?))
}

/// Reads the start time from a line of `/proc/PID/stat`. `None` for a process that has ended but is
/// still listed.
fn ticks(stat: &str) -> Option<&str> {
    /// The index among the fields after the name, which is in parentheses and may contain anything.
    /// The state is the first field, the start time the 20th.
    const START: usize = 19;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(START - 1) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use nix::sys::signal::Signal;

    use super::{ProcessId, ticks};

    #[test]
    fn the_start_is_read_behind_any_name_and_an_ended_process_has_none() {
        let line = |name: &str, state: &str| {
            let fields: Vec<String> = (4..=24).map(|field| field.to_string()).collect();
            format!("17 ({name}) {state} {}", fields.join(" "))
        };
        assert_eq!(ticks(&line("a) S 1 (b", "S")), Some("22"));
        assert_eq!(ticks(&line("stack", "Z")), None);
    }

    #[test]
    fn another_process_of_the_same_id_is_not_signalled() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = ProcessId::of(child.id()).unwrap();
        let earlier = ProcessId { started: "an earlier start".to_owned(), ..process.clone() };
        assert!(process.runs() && !earlier.runs());
        assert!(!earlier.signal(Signal::SIGKILL).unwrap());
        assert!(child.try_wait().unwrap().is_none(), "the wrong process was killed");
        assert!(process.signal(Signal::SIGKILL).unwrap());
        local_servers::end_of(&mut child, "sleep", local_servers::PATIENCE).unwrap();
        assert!(!process.runs());
    }
}
