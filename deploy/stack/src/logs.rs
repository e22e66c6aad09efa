//! `logs`: prints the end of a process's log, and follows it on request.

use std::fs::File;
use std::io::{Read, Seek, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::layout::Layout;
use crate::output::answer;

/// The processes and servers that have a log.
const NAMES: [&str; 11] = [
    "command-api",
    "query-api",
    "event-relay",
    "projector",
    "front",
    "process-manager",
    "sandbox",
    "postgres",
    "nats",
    "rabbitmq",
    "stack",
];
const POLL: Duration = Duration::from_millis(200);

/// Prints a log.
pub async fn run(
    layout: &Layout,
    name: &str,
    follow: bool,
    lines: usize,
) -> anyhow::Result<ExitCode> {
    if !NAMES.contains(&name) {
        eprintln!("stack: there is no process {name:?}; use one of {}", NAMES.join(", "));
        return Ok(ExitCode::from(cli_kit::USAGE));
    }
    let path = layout.log(name);
    let mut file =
        File::open(&path).with_context(|| format!("no log of {name} at {}", path.display()))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let all: Vec<&str> = text.lines().collect();
    for line in &all[all.len().saturating_sub(lines)..] {
        answer(line)?;
    }
    if follow { print_added(&path, file).await } else { Ok(ExitCode::SUCCESS) }
}

/// Prints new lines until standard output is closed.
async fn print_added(path: &Path, mut file: File) -> anyhow::Result<ExitCode> {
    loop {
        tokio::time::sleep(POLL).await;
        let position = file.stream_position()?;
        // A rotated log starts again from the beginning.
        if std::fs::metadata(path).is_ok_and(|now| now.len() < position) {
            file = File::open(path)?;
        }
        let mut added = Vec::new();
        file.read_to_end(&mut added)?;
        cli_kit::stdout().write_all(&added)?;
        cli_kit::stdout().flush()?;
    }
}
