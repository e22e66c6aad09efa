//! The README does what it says: its tour is run as written, block after block in one shell, and
//! every other command in it exists.
//!
//! The shell runs in an empty folder, so that the tour's `.stack` is its own. `cargo stack` is told
//! by cargo's own variable to be the tool of this checkout, and builds for the profile that the
//! tests use. The block with `cargo stack up` in the foreground and `cargo stack test` is not run,
//! since the one does not end and the other would run this test: their flags are looked up instead.

use std::path::{Path, PathBuf};
use std::time::Duration;

use acceptance::{Endpoints, enterable_folder, program};
use anyhow::{Context, Result, ensure};
use local_servers::finish_async;

/// The tour imports the whole sample and may have to build the processes.
const LIMIT: Duration = Duration::from_mins(10);

#[tokio::test]
async fn the_tour_of_the_readme_runs_as_written() -> Result<()> {
    let tour = blocks(&readme()?)
        .into_iter()
        .filter(|block| !is_of_the_whole(block))
        .collect::<Vec<_>>()
        .join("\n");
    let folder = enterable_folder()?;
    let mut shell = tokio::process::Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &tour]).current_dir(folder.path());
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

    // What the text promises of the answers: Ada's order to the cent, read at once; the shop's
    // first days.
    for shown in [
        r#""email":"ada-"#,
        r#""order_count":1"#,
        r#""total_spent":{"USD":"29.34"}"#,
        r#""status":"confirmed""#,
        r#""day":"1997-01-01""#,
    ] {
        ensure!(said.contains(shown), "the tour did not show {shown}:\n{said}\n{log}");
    }
    Ok(())
}

#[tokio::test]
async fn every_setting_in_the_readme_exists_with_the_default_that_it_tells() -> Result<()> {
    let text = readme()?;
    let is_setting = |word: &&str| {
        word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    };
    let settings: Vec<&str> = text.split('`').filter(is_setting).collect();
    ensure!(settings.len() >= 4, "the README was not understood: {settings:?}");
    for api in ["command-api", "query-api"] {
        let mut command = tokio::process::Command::new(program(api)?);
        let output = finish_async(command.args(["serve", "--help"]), LIMIT).await?;
        // Wherever its lines are broken.
        let help =
            String::from_utf8(output.stdout)?.split_whitespace().collect::<Vec<_>>().join(" ");
        for setting in &settings {
            ensure!(help.contains(&format!("[env: {setting}=")), "{api} has no {setting}:\n{help}");
        }
        for default in ["1024", "256", "67108864"] {
            ensure!(
                help.contains(&format!("[default: {default}]")),
                "{api} has another default than {default}:\n{help}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_stack_command_and_flag_in_the_readme_exists() -> Result<()> {
    let commands = stack_commands(&readme()?);
    ensure!(commands.len() >= 10, "the README was not understood: {commands:?}");
    for command in commands {
        let words = command.iter().filter(|word| word.chars().all(|c| c.is_ascii_lowercase()));
        // `logs NAME`, `import cdnow [FILE]`, `bench append`: what is no command is an argument of
        // the one before.
        let (first, second) = (
            command.first().context("a command")?,
            command.get(1).filter(|word| word.as_str() == "cdnow"),
        );
        let mut tool = tokio::process::Command::new(program("stack")?);
        let output = finish_async(tool.arg(first).args(second).arg("--help"), LIMIT).await?;
        let help = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "`cargo stack {}` does not exist: {words:?}",
            command.join(" ")
        );
        for flag in command.iter().filter(|word| word.starts_with("--") && word.len() > 2) {
            ensure!(help.contains(flag.as_str()), "`cargo stack {first}` has no {flag}:\n{help}");
        }
    }
    Ok(())
}

/// Whether a block shows the two commands of the whole.
fn is_of_the_whole(block: &str) -> bool {
    block.contains("cargo stack test")
}

fn readme() -> Result<String> {
    let path = root().join("README.md");
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The shell blocks, in order.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        match (&mut block, line) {
            (None, "```sh") => block = Some(String::new()),
            (Some(_), "```") => blocks.extend(block.take()),
            (Some(block), line) => block.extend([line, "\n"]),
            (None, _) => {}
        }
    }
    blocks
}

/// The words after every `cargo stack`, and of the commands that follow one in the same table cell.
fn stack_commands(text: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    for line in text.lines() {
        let code: Vec<&str> = if line.starts_with('|') {
            let cell = line.split('|').nth(1).unwrap_or_default();
            if !cell.trim_start().starts_with("`cargo stack ") {
                continue; // Another tool's row.
            }
            let quoted: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
            // `bench append`, `visible`: the second is another argument of the first, not a
            // command.
            if cell.contains("bench") { quoted.into_iter().take(1).collect() } else { quoted }
        } else {
            line.split('#')
                .next()
                .filter(|line| line.starts_with("cargo stack"))
                .into_iter()
                .collect()
        };
        for command in code {
            let words = command.trim_start_matches("cargo stack").split_whitespace();
            let words: Vec<String> = words
                .map(|word| word.trim_matches(['[', ']']).to_owned())
                .filter(|word| word != "--")
                .collect();
            if !words.is_empty() {
                commands.push(words);
            }
        }
    }
    commands
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(1).unwrap_or(Path::new("/")).to_owned()
}

fn manifest() -> PathBuf {
    root().join("Cargo.toml")
}

/// The test run's servers and cargo before anything else.
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
