//! How much memory a process takes.

use std::io::{Error, Result};

/// The most resident memory that a running process has had until now, in KiB (`VmHWM` of proc(5)).
///
/// # Errors
/// There is no such process, or it has ended and keeps no memory; or this system has no `/proc`.
pub fn peak_memory_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    kib.ok_or_else(|| Error::other(format!("process {pid} tells no peak of its memory")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    #[test]
    fn this_process_has_a_peak_of_more_than_a_mebibyte() {
        assert!(super::peak_memory_kib(std::process::id()).unwrap() > 1024);
    }
}
