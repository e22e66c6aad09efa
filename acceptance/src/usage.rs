//! The CPU time of processes as Linux counts it, and their descendants.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// The CPU time of a process, including its ended children.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    // utime, stime, cutime and cstime are fields 14 to 17. The first two fields, which end at the
    // last parenthesis, are cut off.
    const FIRST: usize = 11;
    let fields = stat(pid)?;
    let ticks: u64 = fields
        .iter()
        .skip(FIRST)
        .take(4)
        .map(|field| field.parse::<u64>())
        .sum::<Result<u64, _>>()?;
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?
        .context("the clock's ticks per second")?;
    Ok(Duration::from_secs_f64(
        f64::from(u32::try_from(ticks)?) / f64::from(u32::try_from(per_second)?),
    ))
}

/// When a process was started, in clock ticks since boot. It distinguishes the process from a later
/// one with the same id.
pub fn started_at(pid: u32) -> Result<u64> {
    Ok(stat(pid)?.get(19).context("a start time")?.parse()?)
}

/// A process and all its descendants.
pub fn family(root: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in Path::new("/proc").read_dir().context("this needs /proc (Linux)")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // A process may have ended since it was listed.
        if let Ok(fields) = stat(pid) {
            parents.push((pid, fields.get(1).context("a parent")?.parse::<u32>()?));
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    Ok(found)
}

/// The fields of `/proc/<pid>/stat` from the state on. The name before may contain anything, but
/// ends with the last parenthesis.
fn stat(pid: u32) -> Result<Vec<String>> {
    let text = read(pid, "stat")?;
    let (_, fields) = text.rsplit_once(')').context("a process's state")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    #[test]
    fn this_process_has_a_time_and_a_family() {
        let own = std::process::id();
        assert!(super::started_at(own).unwrap() > 0);
        assert!(super::family(own).unwrap().contains(&own));
        let before = super::cpu_time(own).unwrap();
        let turns = (0..50_000_000u64).fold(0u64, |sum, turn| std::hint::black_box(sum ^ turn));
        assert!(super::cpu_time(own).unwrap() >= before, "{turns}");
    }
}
