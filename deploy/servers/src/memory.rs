//! The memory use of a process.

use std::io::{Error, Result};

/// The peak resident memory of a running process so far, in KiB (`VmHWM` of proc(5)).
///
/// # Errors
/// The process does not exist or has ended, or this system has no `/proc`.
pub fn peak_memory_kib(pid: u32) -> Result<u64> {
    of_status(pid, "VmHWM:")
}

/// The resident memory of a running process, in KiB (`VmRSS` of proc(5)).
///
/// # Errors
/// The process does not exist or has ended, or this system has no `/proc`.
pub fn resident_memory_kib(pid: u32) -> Result<u64> {
    of_status(pid, "VmRSS:")
}

fn of_status(pid: u32, field: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    kib.ok_or_else(|| Error::other(format!("process {pid} does not report its memory ({field})")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    #[test]
    fn this_process_has_memory_and_a_peak_of_more_than_a_mebibyte() {
        let own = std::process::id();
        let resident = super::resident_memory_kib(own).unwrap();
        let peak = super::peak_memory_kib(own).unwrap();
        assert!(peak > 1024 && (1..=peak).contains(&resident), "{resident} of {peak}");
    }
}
