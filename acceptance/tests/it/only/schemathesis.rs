//! Schemathesis makes requests from the APIs' descriptions and sends them to a running stack: the
//! examples, the limits of each value, random values, and operations that follow one another. A
//! description is an OpenAPI document, or the schema of an endpoint for GraphQL: then each field of
//! its queries and mutations is an operation. The tool knows no subscriptions.
//!
//! No answer may be a failure of the server, and none may be one that the description does not
//! describe. No request that is valid as of its schema may be refused, except by a rule that the
//! description names. Each description is sent as nobody, as a user and as an administrator.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use acceptance::RunningStack;
use anyhow::{Context, Result, ensure};
use local_servers::{finish_async, test_run};
use tokio::process::Command;

use crate::tools::{PIP, Tools, said_by, with_packages};

mod caller;
mod things;

const TOOLS: Tools = Tools {
    name: "schemathesis",
    source: "acceptance/schemathesis",
    installer: "python3",
    pins: "requirements.txt",
    settings: &[],
    install: PIP,
};
/// The settings for OpenAPI documents, and for GraphQL.
const REST: &str = "schemathesis.toml";
const GRAPHQL: &str = "graphql.toml";
/// The number of random requests for each operation.
const SHORT: u32 = 10;
const LONG: u32 = 1_000;
/// How long the run of one caller may take.
const SHORT_LIMIT: Duration = Duration::from_mins(20);
const LONG_LIMIT: Duration = Duration::from_hours(4);

#[tokio::test]
async fn the_command_api_answers_as_version_1_describes() -> Result<()> {
    answers_as_described(REST, |commands, _| format!("{commands}/openapi.json")).await
}

#[tokio::test]
async fn the_command_api_answers_as_version_2_describes() -> Result<()> {
    answers_as_described(REST, |commands, _| format!("{commands}/openapi/v2.json")).await
}

#[tokio::test]
async fn the_query_api_answers_as_version_1_describes() -> Result<()> {
    answers_as_described(REST, |_, queries| format!("{queries}/openapi.json")).await
}

#[tokio::test]
async fn the_query_api_answers_as_version_2_describes() -> Result<()> {
    answers_as_described(REST, |_, queries| format!("{queries}/openapi/v2.json")).await
}

#[tokio::test]
async fn mutations_answer_as_their_schema_describes() -> Result<()> {
    answers_as_described(GRAPHQL, |commands, _| format!("{commands}/graphql")).await
}

#[tokio::test]
async fn queries_answer_as_their_schema_describes() -> Result<()> {
    answers_as_described(GRAPHQL, |_, queries| format!("{queries}/graphql")).await
}

/// Runs Schemathesis with the description of an API, given the addresses of both.
async fn answers_as_described(settings: &str, description: fn(&str, &str) -> String) -> Result<()> {
    ensure!(TOOLS.are_to_be_had(), "{} is not there", TOOLS.installer);
    let tools = TOOLS.installed().await?;
    let stack = RunningStack::start().await?;
    let endpoints = stack.endpoints()?;
    let description = description(&endpoints.command_api, &endpoints.query_api);
    // All are signed in before the first wrong password counts as a guess.
    let callers = caller::all(&stack).await?;
    things::make(&stack).await?;
    fs::copy(TOOLS.source().join(settings), stack.directory().join(settings))?;
    let mut failed = Vec::new();
    for caller in &callers {
        eprintln!("\n== {description} as {}", caller.name);
        let mut command = Command::new("schemathesis");
        with_packages(&mut command, &tools)?;
        command.env("COMMANDS", &endpoints.command_api).current_dir(stack.directory());
        if let Some(session) = &caller.session {
            command.env("SESSION", session);
        }
        if !passes(&mut command, settings, &description).await? {
            failed.push(caller.name);
        }
    }
    ensure!(failed.is_empty(), "{description}: see above what was found as {}", failed.join(", "));
    stack.down().await
}

/// Runs Schemathesis and prints its report. Whether it found nothing.
async fn passes(command: &mut Command, settings: &str, description: &str) -> Result<bool> {
    let run = test_run();
    let (count, limit) = if run.long { (LONG, LONG_LIMIT) } else { (SHORT, SHORT_LIMIT) };
    command.env("SCHEMATHESIS_HOOKS", TOOLS.source().join("hooks.py"));
    command.args(["--config-file", settings]);
    command.args(["run", description, "--no-color", "--generation-database", "none"]);
    command.args(["--seed", &run.seed.to_string(), "--max-examples", &count.to_string()]);
    let since = Instant::now();
    let output = finish_async(command, limit).await?;
    eprintln!("{}", said_by(&output));
    eprintln!("seed {}, {count} examples each, {:.0?}", run.seed, since.elapsed());
    Ok(output.status.success())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is text")
}
