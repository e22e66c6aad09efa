//! The test runner. Only nextest works here: each test is a separate process, and a hanging test is
//! ended and named (`.config/nextest.toml` sets the limit).

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use local_servers::{fetch, finish, nextest_pin};

use crate::layout::Layout;
use crate::tree::cargo;

/// The oldest version that supports our configuration.
const OLDEST: [u32; 3] = [0, 9, 100];
/// How long a runner may take to report its version.
const LOOK_LIMIT: Duration = Duration::from_secs(30);
/// The version to build if the pinned one cannot be downloaded.
const VERSION: &str = "0.9.143";

/// Finds the runner: the installed one, or else the pinned one downloaded into the stack's folder,
/// or else one that cargo builds there.
pub fn find(layout: &Layout) -> anyhow::Result<PathBuf> {
    let installed = cargo(layout)
        .get_envs()
        .find(|(name, _)| *name == "PATH")
        .and_then(|(_, path)| path.map(ToOwned::to_owned));
    let folders =
        installed.iter().flat_map(std::env::split_paths).map(|folder| folder.join("cargo-nextest"));
    if let Some(found) = folders.filter(|program| program.is_file()).find(is_new_enough) {
        return Ok(found);
    }
    let fetched = nextest_pin().and_then(|pin| fetch(&pin, &layout.fetched()));
    fetched.or_else(|error| {
        eprintln!("stack: cannot download nextest ({error}): building it with cargo, only once");
        build(layout)
    })
}

/// Whether the program runs here and is new enough.
fn is_new_enough(program: &PathBuf) -> bool {
    let output = finish(Command::new(program).args(["nextest", "--version"]), LOOK_LIMIT);
    output.is_ok_and(|output| {
        version(&String::from_utf8_lossy(&output.stdout)).is_some_and(|version| version >= OLDEST)
    })
}

/// Parses the version in `cargo-nextest 0.9.143 (60fa45f63 2026-08-04)`.
fn version(text: &str) -> Option<[u32; 3]> {
    let mut numbers = text.split_whitespace().nth(1)?.split(['.', '-']).map(str::parse);
    Some([numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?])
}

fn build(layout: &Layout) -> anyhow::Result<PathBuf> {
    let home = layout.state.join("tools");
    let program = home.join("bin/cargo-nextest");
    if !is_new_enough(&program) {
        let mut command = cargo(layout);
        command
            .args(["install", "--quiet", "--locked", "--version", VERSION, "--root"])
            .arg(&home)
            .arg("cargo-nextest");
        let status = command.stdin(Stdio::null()).status().context("cargo cannot be run")?;
        anyhow::ensure!(
            status.success(),
            "cargo cannot build nextest ({status}): install it with `cargo install --locked \
                cargo-nextest`"
        );
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::{OLDEST, version};

    #[test]
    fn the_version_is_read_from_what_the_runner_prints() {
        assert_eq!(
            version("cargo-nextest 0.9.143 (60fa45f63 2026-08-04)\nrelease: 0.9.143"),
            Some([0, 9, 143])
        );
        assert!(version("cargo-nextest 0.9.99").is_some_and(|version| version < OLDEST));
        assert_eq!(version("error: no such command: `nextest`"), None);
    }
}
