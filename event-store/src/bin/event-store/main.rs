//! The program for operators of an event log. `cli.rs` describes its commands, `show.rs` prints.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use event_store::event::Position;
use event_store::postgres::{LogStatus, begin_epoch, epochs, verify};
use event_store::store::is_last_page;
use event_store::stream::Version;
use event_store::{
    Epoch, EventQuery, EventStore, Filter, PostgresOptions, PostgresStore, QueryItem, RecordedEvent,
};
use postgres_kit::Connection;
use secrecy::ExposeSecret;

use crate::cli::{Cli, Command, EpochAction, ReadArgs, StreamArgs};
use crate::show::Events;

mod cli;
mod show;

/// The maximum time to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The maximum time of one statement; a verification sets its own limits.
const CALL_LIMIT: Duration = Duration::from_secs(15);

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(cli_kit::NOT_IN_ORDER),
        Err(error) => cli_kit::failed("event-store", error.as_ref(), cli_kit::FAILED),
    }
}

/// Runs the command; `false` when the log has a problem.
async fn run(cli: Cli) -> anyhow::Result<bool> {
    let url = cli.log.url()?;
    // Report a wrong URL as wrong usage before any command connects.
    cli::connect_options(&url)?;
    let mut out = cli_kit::stdout();
    match cli.command {
        Command::Status => {
            let status = LogStatus::read(&mut connect(&cli.log).await?).await?;
            show::value(&mut out, cli.json, &status, || show::status(&status))?;
        }
        Command::Read(args) => {
            let mut shown = Events::new(&mut out, cli.json, args.limit);
            read(&store(url.expose_secret()).await?, args, &mut shown).await?;
            shown.end()?;
        }
        Command::Stream(args) => {
            let mut shown = Events::new(&mut out, cli.json, args.limit);
            stream(&store(url.expose_secret()).await?, args, &mut shown).await?;
            shown.end()?;
        }
        Command::Verify => {
            let found = verify(&mut connect(&cli.log).await?).await?;
            show::value(&mut out, cli.json, &found, || show::verification(&found))?;
            return Ok(found.holds());
        }
        Command::Epoch { action: None } => {
            let all = epochs(&mut connect(&cli.log).await?).await?;
            show::value(&mut out, cli.json, &all, || show::epochs(&all))?;
        }
        Command::Epoch { action: Some(EpochAction::Begin { reason, abandoned, yes }) } => {
            let mut connection = connect(&cli.log).await?;
            if !yes && !confirmed(&mut connection).await? {
                anyhow::bail!("no epoch was begun: the answer was not the one asked for");
            }
            let epoch: Epoch = begin_epoch(&mut connection, &reason, &abandoned).await?;
            show::value(&mut out, cli.json, &serde_json::json!({ "epoch": epoch }), || {
                format!("The log is in epoch {epoch}.\n")
            })?;
        }
    }
    Ok(true)
}

async fn connect(args: &cli::LogArgs) -> anyhow::Result<Connection> {
    Ok(Connection::open(&cli::connect_options(&args.url()?)?, CONNECT_LIMIT, CALL_LIMIT).await?)
}

async fn store(url: &str) -> anyhow::Result<PostgresStore> {
    let options =
        PostgresOptions::from_url(url)?.application_name("event-store").read_connections(1);
    Ok(PostgresStore::connect(options).await?)
}

/// Reads events of the log page by page, since the requested number may be larger than a page.
async fn read(
    store: &PostgresStore,
    args: ReadArgs,
    shown: &mut Events<'_, impl Write>,
) -> anyhow::Result<()> {
    let filter = match args.category {
        Some(category) => Filter::Category(category),
        None if args.types.is_empty() && args.tags.is_empty() => Filter::All,
        None => Filter::Query(EventQuery {
            items: vec![QueryItem { types: args.types, tags: args.tags }],
        }),
    };
    let mut after = Position(args.after);
    while shown.left() > 0 {
        let limit = shown.left();
        let page = store.read(&filter, after, limit).await?;
        shown.add(&page)?;
        after = page.last().map_or(after, |last| last.position);
        if is_last_page(&page, limit) {
            break;
        }
    }
    if shown.is_empty() {
        let head = store.head().await?.mark.position;
        anyhow::ensure!(
            args.after <= head.0,
            "the log ends at position {head}, before {}",
            args.after
        );
        anyhow::ensure!(
            matches!(filter, Filter::All),
            "no event after position {} is of that kind",
            args.after
        );
    }
    Ok(())
}

/// Reads the events of an existing stream, now or as of a past moment.
async fn stream(
    store: &PostgresStore,
    args: StreamArgs,
    shown: &mut Events<'_, impl Write>,
) -> anyhow::Result<()> {
    let then = |event: &RecordedEvent| args.as_of.is_none_or(|moment| moment.includes(event));
    let (mut after, mut before) = (Version(args.after), None);
    while shown.left() > 0 {
        let limit = shown.left();
        let mut page = if args.backward {
            store.read_stream_backward(&args.name, before, limit).await?
        } else {
            store.read_stream(&args.name, after, limit).await?
        };
        let Some(last) = page.last().map(|event| event.version) else { break };
        (after, before) = (last, Some(last));
        let is_last = is_last_page(&page, limit);
        let read = page.len();
        page.retain(then);
        shown.add(&page)?;
        // Versions, positions and times of a stream never decrease.
        if is_last || (!args.backward && page.len() < read) {
            break;
        }
    }
    if shown.is_empty() {
        let first = store.read_stream(&args.name, Version::NONE, 1).await?;
        let first =
            first.first().ok_or_else(|| anyhow::anyhow!("there is no stream {}", args.name))?;
        anyhow::ensure!(then(first), "the stream {} did not exist then", args.name);
    }
    Ok(())
}

/// Asks the person at the keyboard for confirmation.
async fn confirmed(connection: &mut Connection) -> anyhow::Result<bool> {
    let status = LogStatus::read(&mut *connection).await?;
    let mut ask = std::io::stderr();
    write!(
        ask,
        "A new epoch begins after position {}. Type that position to go on: ",
        status.position
    )?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == status.position.to_string())
}
