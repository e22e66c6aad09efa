//! Finds installed servers on PATH and in the usual places, even if PATH is empty.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::finish::finish;
use crate::postgres::PostgresBinaries;
use crate::program::path_folders;

/// The oldest supported PostgreSQL.
pub const MIN_POSTGRES: Version = Version { major: 15, minor: 0 };
/// The oldest supported nats-server: the first with atomic batches.
pub const MIN_NATS: Version = Version { major: 2, minor: 12 };

/// A server's version, as far as it decides whether the server is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The major version.
    pub major: u32,
    /// The minor version.
    pub minor: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// An installed server and its version.
#[derive(Debug, Clone)]
pub struct Found<T> {
    /// The location of the server.
    pub at: T,
    /// The version of the server.
    pub version: Version,
}

/// Finds all supported PostgreSQL installations, newest first.
pub fn postgres_installations() -> Vec<Found<PostgresBinaries>> {
    let mut folders = path_folders();
    for (parent, below) in [
        ("/usr/lib/postgresql", "bin"),
        ("/usr/local/lib/postgresql", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
        ("/home/linuxbrew/.linuxbrew/opt", "bin"),
        ("/usr", "bin"),
    ] {
        folders.extend(children(Path::new(parent)).into_iter().map(|child| child.join(below)));
    }
    folders.push("/usr/local/pgsql/bin".into());
    let mut found: Vec<Found<PostgresBinaries>> = Vec::new();
    for folder in folders {
        // The real folder, because PostgreSQL finds its share files relative to it and not to a
        // symlink.
        let Ok(postgres) = folder.join("postgres").canonicalize() else { continue };
        let Some(bin) = postgres.parent() else { continue };
        if !bin.join("initdb").is_file() || found.iter().any(|other| other.at.bin() == bin) {
            continue;
        }
        let at = PostgresBinaries::at(bin);
        match version_of(at.command("postgres")) {
            Some(version) if version >= MIN_POSTGRES => found.push(Found { at, version }),
            _ => {}
        }
    }
    found.sort_by_key(|found| std::cmp::Reverse(found.version));
    found
}

/// Finds all supported nats-servers, newest first.
pub fn nats_servers() -> Vec<Found<PathBuf>> {
    let mut folders = path_folders();
    folders.extend(
        [
            "/usr/local/bin",
            "/usr/bin",
            "/usr/sbin",
            "/opt/homebrew/bin",
            "/home/linuxbrew/.linuxbrew/bin",
        ]
        .map(PathBuf::from),
    );
    if let Some(home) = std::env::home_dir() {
        folders.extend([home.join("go/bin"), home.join(".local/bin")]);
    }
    let mut found: Vec<Found<PathBuf>> = Vec::new();
    for folder in folders {
        let Ok(at) = folder.join("nats-server").canonicalize() else { continue };
        if found.iter().any(|other| other.at == at) {
            continue;
        }
        match version_of(Command::new(&at)) {
            Some(version) if version >= MIN_NATS => found.push(Found { at, version }),
            _ => {}
        }
    }
    found.sort_by_key(|found| std::cmp::Reverse(found.version));
    found
}

/// Returns the command that installs a package with this machine's package manager.
pub fn package_manager_hint(debian: &str, brew: &str) -> String {
    let known = [
        ("/usr/bin/apt-get", format!("apt-get install -y {debian}")),
        ("/usr/bin/dnf", format!("dnf install -y {debian}")),
        ("/sbin/apk", format!("apk add {debian}")),
        ("/opt/homebrew/bin/brew", format!("brew install {brew}")),
        ("/usr/local/bin/brew", format!("brew install {brew}")),
    ];
    let hint = known
        .into_iter()
        .find(|(manager, _)| Path::new(manager).exists())
        .map(|(_, command)| command);
    hint.unwrap_or_else(|| format!("install the package {debian}"))
}

fn children(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = parent.read_dir() else { return Vec::new() };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    paths
}

/// Asks a program for its version. `None` if it does not run here (a wrapper for a version that is
/// not installed, or another processor).
fn version_of(mut command: Command) -> Option<Version> {
    /// A program on a network folder that is away does not answer.
    const LIMIT: Duration = Duration::from_secs(30);
    let output = finish(command.arg("--version"), LIMIT).ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_version(text: &str) -> Option<Version> {
    let word = text
        .split_whitespace()
        .find(|word| word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()))?;
    let mut numbers = word.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    Some(Version { major, minor })
}

#[cfg(test)]
mod tests {
    use super::{Version, parse_version};

    #[test]
    fn versions_are_read_from_what_the_servers_print() {
        let cases = [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some(Version { major: 15, minor: 18 }),
            ),
            ("postgres (PostgreSQL) 19beta1", Some(Version { major: 19, minor: 0 })),
            ("nats-server: v2.15.1", Some(Version { major: 2, minor: 15 })),
            ("nats-server: v2.9.10", Some(Version { major: 2, minor: 9 })),
            ("no version here", None),
        ];
        for (text, version) in cases {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }
}
