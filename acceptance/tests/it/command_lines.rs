//! How command lines end: quietly if nobody reads their output, with exit codes that distinguish a
//! negative result, a failure and wrong usage, and with one line that says what failed and where.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use acceptance::{RunningStack, program};
use anyhow::{Result, ensure};
use local_servers::{finish_async, in_time};

/// Far longer than any of these commands takes.
const LIMIT: Duration = Duration::from_mins(1);
/// The exit code of a program ended by SIGPIPE, as shells report it.
const READER_GONE: i32 = 141;
const USAGE: i32 = 2;
const FAILED: i32 = 3;
/// Base64 of 32 bytes.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[tokio::test]
async fn a_reader_that_ends_first_ends_every_command_line_quietly() -> Result<()> {
    let stack = RunningStack::start().await?;
    let mut commands = Vec::new();
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["logs", "projector"],
        &["logs", "projector", "--follow", "--lines", "1"],
        &["run", "event-store", "status"],
        &["run", "event-store", "verify"],
        &["run", "event-store", "read", "--json"],
        &["run", "event-store", "epoch", "--json"],
        &["run", "projector", "status"],
        &["run", "projector", "status", "--watch"],
        &["run", "projector", "account"],
        &["run", "projector", "verify", "products"],
        &["run", "command-api", "openapi"],
        &["run", "process-manager", "openapi"],
        &["run", "process-manager", "sagas", "list"],
        &["run", "webhooks", "openapi"],
        &["run", "webhooks", "subscriptions", "list"],
    ] {
        let mut command = stack.command()?;
        command.args(arguments);
        commands.push(command);
    }
    let mut described = Command::new(program("query-api")?);
    described.arg("openapi");
    commands.push(described);
    stack.client()?.post("/api/v1/products", &product()).await?;
    for command in commands {
        let shown = format!("{command:?}");
        let mut child = tokio::process::Command::from(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        drop(child.stdout.take());
        let ended =
            in_time(&format!("{shown} ends without a reader"), child.wait_with_output()).await?;
        ensure!(
            ended.status.code() == Some(READER_GONE) && ended.stderr.is_empty(),
            "{shown}: {ended:?}"
        );
    }
    Ok(())
}

fn product() -> serde_json::Value {
    serde_json::json!({"name": "Blue Train", "unit_price": "14.67", "currency": "USD", "stock": 12})
}

#[tokio::test]
async fn a_command_that_cannot_look_says_so_by_its_exit_code_and_names_the_server_once()
-> Result<()> {
    for (name, arguments) in of_databases() {
        // Nothing listens on this port.
        let output = run(name, arguments, "postgres://someone:canary@127.0.0.1:1/nothing").await?;
        let said = String::from_utf8_lossy(&output.stderr);
        let shown = format!("{name} {arguments:?}: {}\n{said}", output.status);
        ensure!(output.status.code() == Some(FAILED), "{shown}");
        ensure!(
            said.starts_with(&format!("{name}: ")) && said.trim_end().lines().count() == 1,
            "{shown}"
        );
        ensure!(said.contains("127.0.0.1:1/nothing") && !said.contains("canary"), "{shown}");
        ensure!(said.matches("onnection refused").count() == 1, "{shown}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_silent_holds_up_no_command_line() -> Result<()> {
    // The server accepts connections and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let place = format!("127.0.0.1:{}/nothing", silent.local_addr()?.port());
    for arguments in [&["status"][..], &["verify"], &["epoch"], &["read"]] {
        let output =
            run("event-store", arguments, &format!("postgres://someone:canary@{place}")).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(FAILED), "{arguments:?}: {}\n{said}", output.status);
        ensure!(
            said.contains(&place) && said.contains("did not answer") && !said.contains("canary"),
            "{arguments:?}: {said}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn wrong_usage_has_an_exit_code_of_its_own_and_no_setting_is_shown() -> Result<()> {
    let long_running = [
        ("command-api", &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"][..]),
        ("query-api", &["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]),
        ("event-relay", &["run", "--admin-listen", "127.0.0.1:0"]),
        ("projector", &["run", "--admin-listen", "127.0.0.1:0"]),
        ("process-manager", &["run", "--admin-listen", "127.0.0.1:0"]),
        ("webhooks", &["run", "--admin-listen", "127.0.0.1:0"]),
    ];
    for (name, arguments) in of_databases().into_iter().chain(long_running) {
        for url in ["canary", ""] {
            let output = run(name, arguments, url).await?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(
                output.status.code() == Some(USAGE),
                "{name} {arguments:?} {url:?}: {}\n{said}",
                output.status
            );
            ensure!(
                said.contains("_URL") && !said.contains("canary"),
                "{name} {arguments:?}: {said}"
            );
        }
    }
    let nowhere = "postgres://someone@127.0.0.1:1/nothing";
    for arguments in [
        &["verify", "no_such_projection"][..],
        &["start-over", "no_such_projection", "--yes"],
        &["frobnicate"],
    ] {
        let output = run("projector", arguments, nowhere).await?;
        ensure!(output.status.code() == Some(USAGE), "{arguments:?}: {output:?}");
    }
    Ok(())
}

/// One command of each kind that uses a database.
fn of_databases() -> [(&'static str, &'static [&'static str]); 9] {
    [
        ("event-store", &["status"]),
        ("event-store", &["verify"]),
        ("event-store", &["read"]),
        ("event-store", &["epoch"]),
        ("projector", &["status"]),
        ("projector", &["verify", "orders"]),
        ("projector", &["account", "orders"]),
        ("command-api", &["migrate", "auth"]),
        ("command-api", &["erase-subject", "00000000-0000-0000-0000-000000000001", "--by", "test"]),
    ]
}

/// Runs a program to completion, with this address for every database.
async fn run(name: &str, arguments: &[&str], url: &str) -> Result<Output> {
    let mut command = tokio::process::Command::new(program(name)?);
    command.args(arguments);
    for variable in ["EVENT_STORE_URL", "READ_MODEL_URL", "SUBJECT_KEYS_URL", "AUTH_URL"] {
        command.env(variable, url);
    }
    for variable in [
        "MASTER_KEY",
        "TOKEN_KEY",
        "CURSOR_KEY",
        "RESERVATION_KEY",
        "ACCESS_TOKEN_KEYS",
        "WEBHOOK_KEY",
    ] {
        command.env(variable, KEY);
    }
    command.env("PAYMENT_PROVIDER", "sandbox").env("SHIPPING_PROVIDER", "sandbox");
    Ok(finish_async(command.env("NATS_URL", "nats://127.0.0.1:1"), LIMIT).await?)
}
