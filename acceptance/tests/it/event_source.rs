//! Live updates as an `EventSource` sees them that others wrote: the npm package `eventsource`, at
//! the one address of both APIs. It reconnects by itself.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use acceptance::{Front, Launched, Service, enterable_folder};
use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::tools::Tools;

const TOOLS: Tools = Tools {
    name: "events",
    source: "acceptance/clients/events",
    installer: "npm",
    pins: "package-lock.json",
    install: "npm ci --ignore-scripts --no-audit --no-fund --loglevel=error",
    settings: &["package.json"],
};
const SCRIPT: &str = "follow.mjs";
/// How long the next event may take. The client reconnects every 2 s.
const EVENT_LIMIT: Duration = Duration::from_mins(1);
const CATCH_UP_LIMIT: Duration = Duration::from_mins(1);
const PRODUCTS: &str = "/api/v1/products";

#[tokio::test]
async fn an_event_source_of_others_gets_every_change_once_across_a_restart() -> Result<()> {
    let Some(tools) = TOOLS.or_without("the EventSource of others").await? else { return Ok(()) };
    let mut system = Launched::start().await?;
    let front = Front::before(&system).await?;
    let client = front.client()?;
    let body = json!({"name": "Blue Train", "unit_price": "14.67", "currency": "USD", "stock": 1});
    let added = client.post(PRODUCTS, &body).await?.expect(StatusCode::CREATED)?;
    let product = format!("{PRODUCTS}/{}", added.id()?);
    client.get_after(&product, &added).await?.expect(StatusCode::OK)?;
    let receive = async || {
        let path = format!("{product}/stock/receive");
        let received = client.post(&path, &json!({"quantity": 1})).await?;
        received.expect(StatusCode::OK)?.position()
    };

    let folder = enterable_folder()?;
    fs::copy(TOOLS.source().join(SCRIPT), folder.path().join(SCRIPT))?;
    std::os::unix::fs::symlink(tools.join("node_modules"), folder.path().join("node_modules"))?;
    let mut node = Command::new("node");
    node.current_dir(folder.path()).arg(SCRIPT).arg(format!("{}{PRODUCTS}", front.address));
    node.env("TOKEN", &*client.token()?.context("a token")?);
    let mut source = Source::start(&mut node)?;
    assert_eq!(source.names_until("complete").await?, ["open", "row", "complete"]);
    let first = receive().await?;
    assert_eq!(source.next().await?.changed()?, (added.id()?.to_owned(), first));

    system.stop(Service::QueryApi).await?;
    let end = source.next().await?;
    ensure!(end.is("end") && end.0["data"]["code"] == "shutting-down", "{end:?}");
    let missed = receive().await?;
    system.log()?.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    system.launch(Service::QueryApi)?;
    // While the process is away, attempts fail, however many there are.
    let mut next = source.next().await?;
    while next.is("error") {
        next = source.next().await?;
    }
    ensure!(next.is("open"), "{next:?}");
    assert_eq!(source.next().await?.changed()?, (added.id()?.to_owned(), missed));
    assert_eq!(source.names_until("resumed").await?, ["resumed"]);
    let last = receive().await?;
    assert_eq!(source.next().await?.changed()?, (added.id()?.to_owned(), last));
    Ok(())
}

/// A running script, which prints a line of JSON for all that its `EventSource` says.
struct Source {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What an `EventSource` says.
#[derive(Debug)]
struct Said(Value);

impl Source {
    fn start(command: &mut Command) -> Result<Self> {
        // It ends with its standard input, which this test holds.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let output = process.stdout.take().context("its output")?;
        Ok(Self { _process: process, lines: BufReader::new(output).lines() })
    }

    async fn next(&mut self) -> Result<Said> {
        let line = timeout(EVENT_LIMIT, self.lines.next_line()).await;
        let line = line.context("the EventSource is silent")??.context("the script has ended")?;
        Ok(Said(serde_json::from_str(&line).with_context(|| line.clone())?))
    }

    /// The names of all that it says, up to this one.
    async fn names_until(&mut self, name: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        while names.last().is_none_or(|last| last != name) {
            let said = self.next().await?;
            names.push(said.0["event"].as_str().context("a name")?.to_owned());
        }
        Ok(names)
    }
}

impl Said {
    fn is(&self, name: &str) -> bool {
        self.0["event"] == name
    }

    /// The row that changed, and the position of the change.
    fn changed(&self) -> Result<(String, i64)> {
        let data = &self.0["data"];
        ensure!(self.is("changed"), "{self:?}");
        let id = data["data"]["id"].as_str().context("an id")?;
        Ok((id.to_owned(), data["meta"]["position"].as_i64().context("a position")?))
    }
}
