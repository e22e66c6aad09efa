//! Checks the README and the book in `docs/`: their blocks of shell commands run as written, one
//! after another, in one shell and on one stack. Every other command in them exists.
//!
//! Blocks that begin with three backticks and `sh` are run, others are not. The order is: the
//! README without its last block, which stops the stack; then the pages; then that block. The shell
//! runs in an empty folder, so the tour has a separate `.stack`. A variable of cargo makes `cargo
//! stack` the tool of this checkout, and it builds with the tests' profile. The block with `cargo
//! stack up` in the foreground and `cargo stack test` is not run: the first does not end, and the
//! second would run this test. Their flags are checked instead.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use acceptance::{Endpoints, enterable_folder, program};
use anyhow::{Context, Result, ensure};
use local_servers::finish_async;

/// The tour imports the whole sample, and may have to build the processes.
const LIMIT: Duration = Duration::from_mins(10);
/// The pages of the book, in reading order.
const PAGES: [&str; 8] = [
    "docs/concepts.md",
    "docs/first-aggregate.md",
    "docs/http-api.md",
    "docs/events.md",
    "docs/operating.md",
    "docs/configuration.md",
    "docs/libraries.md",
    "docs/performance.md",
];
/// The end of the tour.
const LAST: &str = "cargo stack down\n";
/// Our programs with commands for people.
const PROGRAMS: [&str; 8] = [
    "command-api",
    "query-api",
    "event-relay",
    "projector",
    "front",
    "process-manager",
    "webhooks",
    "event-store",
];
/// The answers that the text promises.
const SHOWN: [&str; 14] = [
    // The README: Ada's order to the cent, read at once; the shop's first days; an absent broker.
    r#""email":"ada-"#,
    r#""order_count":1"#,
    r#""total_spent":{"USD":"29.34"}"#,
    r#""status":"confirmed""#,
    r#""day":"1997-01-01""#,
    r#""stock":15"#,
    // An order that was fulfilled, and one that could not be.
    "  completed\n",
    r#""cancel_reason":"out_of_stock""#,
    // The book: an invalid field, a dry run, an order that cannot be confirmed again, a rebuild
    // and the way back, an erasure.
    r#""pointer":"/stok""#,
    r#""dry_run":true"#,
    r#""code":"order/not-pending""#,
    "queries see generation 2 of orders now",
    "queries see generation 1 of orders now",
    ": complete",
];

#[tokio::test]
async fn the_readme_and_the_book_run_as_written() -> Result<()> {
    let folder = enterable_folder()?;
    let mut shell = tokio::process::Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &tour()?]).current_dir(folder.path());
    shell.env(
        "CARGO_ALIAS_STACK",
        format!("run --quiet --manifest-path {} --bin stack --", manifest().display()),
    );
    shell
        .env("STACK_PROFILE", "dev")
        .env("STACK_DIR", folder.path().join(".stack"))
        .env("PATH", path()?);
    let ran = finish_async(&mut shell, LIMIT).await;
    let left = Endpoints::read(&folder.path().join(".stack"));
    if left.is_ok() {
        let mut tool = tokio::process::Command::new(program("stack")?);
        let down =
            finish_async(tool.arg("--dir").arg(folder.path().join(".stack")).arg("down"), LIMIT)
                .await?;
        ensure!(down.status.success(), "the tour's stack did not go down: {down:?}");
    }
    let output = ran.context("the tour")?;
    let (said, log) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "the tour: {}\n{said}\n{log}", output.status);
    ensure!(left.is_err(), "the tour left its stack running");
    for shown in SHOWN {
        let is_shown = said.contains(shown) || log.contains(shown);
        ensure!(is_shown, "the tour did not show {shown}:\n{said}\n{log}");
    }
    Ok(())
}

#[tokio::test]
async fn every_command_and_flag_in_the_readme_and_the_book_exists() -> Result<()> {
    for name in ["README.md", "CONTRIBUTING.md"].into_iter().chain(PAGES) {
        let commands = commands(&page(name)?);
        ensure!(name != "README.md" || commands.len() >= 10, "not understood: {commands:?}");
        for command in commands {
            let shown = command.join(" ");
            let mut words = command.iter().map(String::as_str);
            let first = words.next().context("a command")?;
            let mut program = tokio::process::Command::new(program(first)?);
            // In `logs NAME`, `bench append` and `verify 5%`, words in other characters are
            // arguments.
            let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            let is_named = |word: &&str| is_word(word) && !word.starts_with('-');
            let most = if first == "stack" && command[1] != "import" { 1 } else { usize::MAX };
            program.args(words.clone().take_while(is_named).take(most)).arg("--help");
            let output = finish_async(&mut program, LIMIT).await?;
            let help = String::from_utf8_lossy(&output.stdout);
            ensure!(output.status.success(), "{name}: `{shown}` does not exist");
            for flag in words.filter(|word| word.len() > 2 && word.starts_with("--")) {
                ensure!(help.contains(flag), "{name}: `{shown}` has no {flag}:\n{help}");
            }
        }
    }
    Ok(())
}

#[test]
fn every_page_of_the_book_is_run() -> Result<()> {
    let mut there = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("docs"))? {
        there.insert(format!("docs/{}", entry?.file_name().to_string_lossy()));
    }
    assert_eq!(there, BTreeSet::from(PAGES.map(str::to_owned)));
    Ok(())
}

/// Everything to run. Each block first prints its place.
fn tour() -> Result<String> {
    let mut readme = blocks("README.md")?;
    readme.retain(|(_, block)| !is_of_the_whole(block));
    let (last, end) = readme.pop().context("a tour")?;
    ensure!(end == LAST, "the README ends with `{LAST}`, not with {end}");
    let mut all = readme;
    for name in PAGES {
        all.extend(blocks(name)?);
    }
    all.push((last, end));
    let told = all.iter().map(|(place, block)| format!("echo '== {place}' >&2\n{block}"));
    Ok(told.collect::<Vec<_>>().join("\n"))
}

/// Whether a block shows the two commands of the whole system.
fn is_of_the_whole(block: &str) -> bool {
    block.contains("cargo stack test")
}

/// The text of a page, by its path in the checkout.
pub(crate) fn page(name: &str) -> Result<String> {
    std::fs::read_to_string(root().join(name)).with_context(|| format!("cannot read {name}"))
}

/// The shell blocks of a page in order, each with its place.
fn blocks(name: &str) -> Result<Vec<(String, String)>> {
    let mut blocks = Vec::new();
    let mut block: Option<(String, String)> = None;
    for (number, line) in page(name)?.lines().enumerate() {
        match (&mut block, line) {
            (None, "```sh") => block = Some((format!("{name}:{}", number + 1), String::new())),
            (Some(_), "```") => blocks.extend(block.take()),
            (Some((_, block)), line) => block.extend([line, "\n"]),
            (None, _) => {}
        }
    }
    Ok(blocks)
}

/// The words of every command in a page: the program's name, then its arguments.
fn commands(text: &str) -> Vec<Vec<String>> {
    let (mut prose, mut lines) = (String::new(), Vec::new());
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if is_code {
            lines.push(line.split('#').next().unwrap_or_default());
        } else {
            // A quotation may continue on the next line.
            prose.extend([line, " "]);
        }
    }
    lines.extend(prose.split('`').skip(1).step_by(2));
    let commands = lines.into_iter().filter_map(|line| {
        let mut words = line
            .trim_start_matches("$ ")
            .split_whitespace()
            .map(|word| word.trim_matches(['[', ']', '"']).to_owned())
            .filter(|word| word != "--");
        let first = words.next()?;
        let rest: Vec<String> = words.collect();
        match (first.as_str(), rest.first()?.as_str(), rest.get(1).map(String::as_str)) {
            // `run PROGRAM` stands for any program.
            ("cargo", "stack", Some("run")) if rest[2..].iter().any(|word| word == "PROGRAM") => {
                None
            }
            ("cargo", "stack", Some("run")) => Some(rest[2..].to_vec()),
            ("cargo", "stack", Some(_)) => Some(rest),
            (program, ..) if PROGRAMS.contains(&program) => {
                Some(std::iter::once(first).chain(rest).collect())
            }
            _ => None,
        }
    });
    commands.filter(|words| words.len() > 1).collect()
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).unwrap_or(Path::new("/")).to_owned()
}

fn manifest() -> PathBuf {
    root().join("Cargo.toml")
}

/// The test run's servers and cargo come first.
pub(crate) fn path() -> Result<std::ffi::OsString> {
    let mut folders = Vec::new();
    for variable in ["DAYBOOK_TEST_NATS_SERVER", "CARGO"] {
        let program = std::env::var_os(variable)
            .with_context(|| format!("{variable} is not set: run `cargo stack test`"))?;
        folders.push(Path::new(&program).parent().context("a program's folder")?.to_owned());
    }
    folders.extend(std::env::var_os("DAYBOOK_TEST_PG_BIN").map(PathBuf::from));
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    Ok(std::env::join_paths(folders)?)
}
