//! `logs`: the end of a process's log, and what is added to it.

use std::fs::File;
use std::io::{Read, Seek, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use crate::layout::Layout;
use crate::output::answer;

/// Whose logs there are.
const NAMES: [&str; 7] =
    ["command-api", "query-api", "event-relay", "projector", "postgres", "nats", "stack"];
const POLL: Duration = Duration::from_millis(200);

/// Prints a log.
pub async fn run(
    layout: &Layout,
    name: &str,
    follow: bool,
    lines: usize,
) -> anyhow::Result<ExitCode> {
    if !NAMES.contains(&name) {
        eprintln!("stack: there is no process {name:?}; say one of {}", NAMES.join(", "));
        return Ok(ExitCode::from(cli_kit::USAGE));
    }
    let path = layout.log(name);
    let mut file =
        File::open(&path).with_context(|| format!("no log of {name} in {}", path.display()))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let all: Vec<&str> = text.lines().collect();
    for line in &all[all.len().saturating_sub(lines)..] {
        answer(line)?;
    }
    if follow { print_added(&path, file).await } else { Ok(ExitCode::SUCCESS) }
}

/// Prints what is added, until the reader has enough.
async fn print_added(path: &Path, mut file: File) -> anyhow::Result<ExitCode> {
    loop {
        tokio::time::sleep(POLL).await;
        let position = file.stream_position()?;
        // A log that was put aside begins again.
        if std::fs::metadata(path).is_ok_and(|now| now.len() < position) {
            file = File::open(path)?;
        }
        let mut added = Vec::new();
        file.read_to_end(&mut added)?;
        cli_kit::stdout().write_all(&added)?;
        cli_kit::stdout().flush()?;
    }
}
