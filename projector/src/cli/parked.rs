//! `projector parked`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::error::CommandError;
use super::reach::ToolArgs;
use super::remote::{ThroughAdmin, ThroughArgs};
use projection::ops::parked::{
    self, Decision, Group, List, MAX_WORDS, Page, ParkedEvent, RETRY_WAIT_SECONDS, Retried, Wanted,
};

/// The default number of lines per page.
const PAGE: u32 = 50;

/// The settings of `parked`.
#[derive(Debug, Args)]
pub struct ParkedArgs {
    #[command(subcommand)]
    command: ParkedCommand,
}

#[derive(Debug, Subcommand)]
enum ParkedCommand {
    /// Count the parked events, grouped by cause.
    List(ListArgs),
    /// Show the parked events of a projection, by position.
    Show(ShowArgs),
    /// Let the running projector retry parked events now, by position for each row.
    Retry(RetryArgs),
    /// Decide that a parked event never counts in the rows that refuse it. Rebuilds and
    /// verifications follow the decision.
    Skip(SkipArgs),
    /// Print every parked event of a projection as a line of JSON.
    Export(ExportArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// The name of the projection; by default all.
    projection: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    /// Print JSON instead of a text for people.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tool: ToolArgs,
}

#[derive(Debug, Args)]
struct PageArgs {
    /// The number of the page, from 1.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    page: u32,
    /// The number of lines per page.
    #[arg(long, default_value_t = PAGE, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    page_size: u32,
}

impl PageArgs {
    fn page(&self) -> Page {
        let limit = i64::from(self.page_size);
        Page { limit, offset: i64::from(self.page - 1) * limit }
    }
}

#[derive(Debug, Args)]
struct RetryArgs {
    /// The name of the projection.
    projection: String,
    /// Retry only the row with this key.
    #[arg(long)]
    key: Option<String>,
    /// Retry only rows that lack the event at this position.
    #[arg(long)]
    position: Option<i64>,
    /// The number of seconds to wait for the outcome; 0 does not wait.
    #[arg(long, value_name = "SECONDS", default_value_t = RETRY_WAIT_SECONDS)]
    wait: u64,
    /// Print JSON instead of a text for people.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    through: ThroughArgs,
    #[command(flatten)]
    tool: ToolArgs,
}

/// The settings of `parked show`.
#[derive(Debug, Args)]
struct ShowArgs {
    /// The name of the projection.
    projection: String,
    /// Show only the row with this key.
    #[arg(long)]
    key: Option<String>,
    /// Show only the event at this position.
    #[arg(long)]
    position: Option<i64>,
    #[command(flatten)]
    page: PageArgs,
    /// Print JSON instead of a text for people.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tool: ToolArgs,
}

/// The settings of `parked export`.
#[derive(Debug, Args)]
struct ExportArgs {
    /// The name of the projection.
    projection: String,
    #[command(flatten)]
    tool: ToolArgs,
}

/// The settings of `parked skip`.
#[derive(Debug, Args)]
struct SkipArgs {
    /// The name of the projection.
    projection: String,
    /// The position of the event.
    position: i64,
    /// The key of the row; by default every row that refuses the event.
    #[arg(long)]
    key: Option<String>,
    /// Why, for the record.
    #[arg(long, value_parser = parse_words)]
    reason: String,
    /// Who decides, for the record. An access token that goes to a projector says it instead.
    #[arg(long, env = "USER", value_parser = parse_words)]
    by: String,
    #[command(flatten)]
    through: ThroughAdmin,
    #[command(flatten)]
    tool: ToolArgs,
}

/// The result of the operation `parked_skip`.
#[derive(Deserialize)]
struct Skipped {
    /// The number of rows that the event is skipped for.
    rows: usize,
}

fn parse_words(text: &str) -> Result<String, String> {
    let words = text.trim();
    if words.is_empty() || words.chars().count() > MAX_WORDS {
        return Err(format!("expected 1 to {MAX_WORDS} characters"));
    }
    Ok(words.to_owned())
}

/// Runs a command on parked events.
pub(crate) async fn parked(args: ParkedArgs) -> Result<(), CommandError> {
    match args.command {
        ParkedCommand::List(args) => list(args).await,
        ParkedCommand::Show(args) => show(args).await,
        ParkedCommand::Retry(args) => retry(args).await,
        ParkedCommand::Skip(args) => skip(args).await,
        ParkedCommand::Export(args) => export(args).await,
    }
}

fn print(text: &str) -> Result<(), CommandError> {
    Ok(cli_kit::stdout().write_all(text.as_bytes())?)
}

async fn list(args: ListArgs) -> Result<(), CommandError> {
    if let Some(name) = &args.projection {
        super::projection(name)?;
    }
    let mut connection = args.tool.read_model().await?;
    let list = parked::list(&mut connection, args.projection.as_deref(), args.page.page()).await?;
    if args.json {
        return print(&(serde_json::to_string_pretty(&list)? + "\n"));
    }
    let List { refused, held_back, rows, groups, .. } = &list;
    let mut text = format!(
        "{refused} events refused and {held_back} held back behind them, of {rows} rows; {groups} \
            causes\n"
    );
    for group in &list.page {
        let Group {
            projection,
            generation,
            event_type,
            cause,
            events,
            rows,
            first_position,
            last_position,
            most_tries,
        } = group;
        let (first, last) = (first_position, last_position);
        writeln!(
            text,
            "{projection} g{generation}  {event_type}  {events} events of {rows} rows, \
            positions {first} to {last}"
        )
        .and_then(|()| writeln!(text, "    {cause} (retried {most_tries} times)"))
        .map_err(std::io::Error::other)?;
    }
    print(&text)
}

async fn show(args: ShowArgs) -> Result<(), CommandError> {
    let projection = super::projection(&args.projection)?;
    let wanted = Wanted::new(projection.as_ref(), args.key.as_deref(), args.position)?;
    let mut connection = args.tool.read_model().await?;
    let shown = parked::show(&mut connection, &wanted, args.page.page()).await?;
    if args.json {
        return print(&(serde_json::to_string_pretty(&shown)? + "\n"));
    }
    let mut text = format!("{} events parked, once for each row\n", shown.total);
    for ParkedEvent { generation, key, position, event_type, cause, tries, .. } in &shown.page {
        let why = cause.as_ref().map_or_else(
            || "held back behind an earlier one".to_owned(),
            |cause| format!("refused, retried {tries} times: {cause}"),
        );
        writeln!(text, "g{generation}  {position}  {event_type}  {key}  {why}")
            .map_err(std::io::Error::other)?;
    }
    print(&text)
}

async fn retry(args: RetryArgs) -> Result<(), CommandError> {
    let projection = super::projection(&args.projection)?;
    let name = projection.name();
    let retried: Retried = if let Some(remote) = args.through.remote()? {
        let arguments = json!({"key": args.key, "position": args.position, "wait": args.wait});
        remote.carry_out("parked_retry", name, arguments).await?.result()?
    } else {
        let wanted = Wanted::new(projection.as_ref(), args.key.as_deref(), args.position)?;
        let mut connection = args.tool.read_model().await?;
        parked::retry(&mut connection, &wanted, Duration::from_secs(args.wait)).await?
    };
    if args.json {
        return print(&(serde_json::to_string_pretty(&retried)? + "\n"));
    }
    let Retried { rows, waiting, still_stale } = retried;
    print(&match (rows, waiting, still_stale) {
        (_, 0, 0) => format!("{rows} rows were brought up to date\n"),
        (_, 0, _) => format!(
            "of {rows} rows {still_stale} still lack events: see `projector parked list {name}`\n"
        ),
        _ => format!("of {rows} rows {waiting} wait for a projector to retry them\n"),
    })
}

async fn skip(args: SkipArgs) -> Result<(), CommandError> {
    let projection = super::projection(&args.projection)?;
    let name = projection.name();
    let SkipArgs { position, key, reason, by, through, tool, .. } = args;
    let rows = if let Some(remote) = through.remote(&by, &reason)? {
        let arguments = json!({"position": position, "key": key});
        remote.carry_out("parked_skip", name, arguments).await?.result::<Skipped>()?.rows
    } else {
        let decision = Decision { position, key, reason, by };
        let mut connection = tool.read_model().await?;
        parked::skip(&mut connection, projection.as_ref(), &decision).await?
    };
    print(&format!(
        "the event at position {position} is skipped for {rows} rows of {name}; the events held \
            back behind it follow now\n"
    ))
}

async fn export(args: ExportArgs) -> Result<(), CommandError> {
    let name = super::projection(&args.projection)?.name();
    let mut connection = args.tool.read_model().await?;
    let mut after = (0, 0, String::new());
    loop {
        let page = parked::export_after(&mut connection, name, &after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.generation, last.position, last.key.clone());
        let mut lines = Vec::new();
        for event in &page {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        cli_kit::stdout().write_all(&lines)?;
    }
}
