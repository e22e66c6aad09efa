//! Checks that `docs/configuration.md` lists every setting of every process, with its default.

use std::collections::BTreeSet;
use std::time::Duration;

use acceptance::program;
use anyhow::{Context, Result, ensure};
use local_servers::finish_async;

use crate::readme::page;

const LIMIT: Duration = Duration::from_mins(1);
/// The commands with settings.
const PROCESSES: [&str; 8] = [
    "command-api serve",
    "query-api serve",
    "event-relay run",
    "projector run",
    "front serve",
    "process-manager run",
    "webhooks run",
    "stack up",
];

/// A variable and its default, if it has one.
type Setting = (String, Option<String>);

#[tokio::test]
async fn the_page_on_configuration_lists_every_setting_with_its_default() -> Result<()> {
    let text = page("docs/configuration.md")?;
    for process in PROCESSES {
        let listed = listed(&text, process)?;
        ensure!(!listed.is_empty(), "the page does not list the settings of {process}");
        let mut words = process.split_whitespace();
        let name = words.next().context("a program")?;
        // Removes variables of the current user, which the help would show.
        let mut command = tokio::process::Command::new(program(name)?);
        let output = finish_async(command.args(words).arg("--help").env_clear(), LIMIT).await?;
        assert_eq!(listed, settings(&String::from_utf8(output.stdout)?)?, "{process}");
    }
    Ok(())
}

/// The rows of the tables below each sentence `Of ...:` that names the process.
fn listed(text: &str, process: &str) -> Result<BTreeSet<Setting>> {
    let mut listed = BTreeSet::new();
    let (mut is_of_it, mut is_wrapped) = (false, false);
    for line in text.lines() {
        if line.starts_with("Of `") || is_wrapped {
            let is_named = line.split('`').skip(1).step_by(2).any(|named| named == process);
            is_of_it = is_named || (is_wrapped && is_of_it);
            is_wrapped = !line.ends_with([':', '.']);
        }
        if !is_of_it || !line.starts_with("| `") {
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, default, unit, meaning] = cells[..] else {
            anyhow::bail!("four cells: {line}");
        };
        ensure!(!unit.is_empty() && !meaning.is_empty(), "no unit or no meaning: {line}");
        let default = Some(default.trim_matches('`')).filter(|default| !default.is_empty());
        let is_new = listed.insert((name.trim_matches('`').to_owned(), default.map(str::to_owned)));
        ensure!(is_new, "listed twice: {line}");
    }
    Ok(listed)
}

/// Parses a help text with parts like `[env: LOG=] [default: info]`, wherever its lines break.
fn settings(help: &str) -> Result<BTreeSet<Setting>> {
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found = BTreeSet::new();
    for text in help.split("[env: ").skip(1) {
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let name: String = text.chars().take_while(|c| is_name(*c)).collect();
        let (_, after) = text.split_once(']').context("the end of a variable")?;
        let default = after.trim_start().strip_prefix("[default: ");
        let default = default.and_then(|default| default.split(']').next());
        found.insert((name, default.map(str::to_owned)));
    }
    // Each secret can also be in a file, which the page says once.
    let names: BTreeSet<String> = found.iter().map(|(name, _)| name.clone()).collect();
    let is_file = |name: &str| name.strip_suffix("_FILE").is_some_and(|base| names.contains(base));
    found.retain(|(name, _)| !is_file(name));
    Ok(found)
}
