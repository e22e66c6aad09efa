//! `projector parked`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::error::CommandError;
use super::reach::ToolArgs;
use super::remote::{ThroughAdmin, ThroughArgs, result_of};
use projection::ops::parked::{
    self, Decision, Group, List, MAX_WORDS, Page, ParkedEvent, RETRY_WAIT_SECONDS, Retried, Wanted,
};

/// How many lines a page has, unless told otherwise.
const PAGE: u32 = 50;

/// What to do with parked events.
#[derive(Debug, Args)]
pub struct ParkedArgs {
    #[command(subcommand)]
    command: ParkedCommand,
}

#[derive(Debug, Subcommand)]
enum ParkedCommand {
    /// Count what is parked, grouped by cause.
    List(ListArgs),
    /// Show the parked events of a projection, in their order.
    Show(ShowArgs),
    /// Let the running projector try parked events again now, each row's in their order.
    Retry(RetryArgs),
    /// Decide that a parked event is never to count in the rows that refuse it. Rebuilds and
    /// verifications hold to it.
    Skip(SkipArgs),
    /// Write every parked event of a projection as a line of JSON.
    Export(ExportArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only of this projection.
    projection: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tool: ToolArgs,
}

#[derive(Debug, Args)]
struct PageArgs {
    /// Which page, from 1.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    page: u32,
    /// How many lines a page has.
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
    /// Of which projection.
    projection: String,
    /// Only this row's events.
    #[arg(long)]
    key: Option<String>,
    /// Only the rows that lack the event at this position.
    #[arg(long)]
    position: Option<i64>,
    /// How many seconds to wait for the outcome; 0 does not wait.
    #[arg(long, value_name = "SECONDS", default_value_t = RETRY_WAIT_SECONDS)]
    wait: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    through: ThroughArgs,
    #[command(flatten)]
    tool: ToolArgs,
}

/// Settings of `parked show`.
#[derive(Debug, Args)]
struct ShowArgs {
    /// Of which projection.
    projection: String,
    /// Only this row's.
    #[arg(long)]
    key: Option<String>,
    /// Only the event at this position.
    #[arg(long)]
    position: Option<i64>,
    #[command(flatten)]
    page: PageArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tool: ToolArgs,
}

/// Settings of `parked export`.
#[derive(Debug, Args)]
struct ExportArgs {
    /// Of which projection.
    projection: String,
    #[command(flatten)]
    tool: ToolArgs,
}

/// Settings of `parked skip`.
#[derive(Debug, Args)]
struct SkipArgs {
    /// Of which projection.
    projection: String,
    /// The event at this position.
    position: i64,
    /// Only for this row; otherwise for every row that refuses it.
    #[arg(long)]
    key: Option<String>,
    /// Why, for those who come after.
    #[arg(long, value_parser = parse_words)]
    reason: String,
    /// Who decides.
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
        return Err(format!("1 to {MAX_WORDS} characters are wanted"));
    }
    Ok(words.to_owned())
}

/// Does what the command line says.
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
        .and_then(|()| writeln!(text, "    {cause} (tried again {most_tries} times)"))
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
            |cause| format!("refused, tried again {tries} times: {cause}"),
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
        result_of(&remote.carry_out("parked_retry", name, arguments).await?)?
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
        _ => format!("of {rows} rows {waiting} wait for a projector to take them up\n"),
    })
}

async fn skip(args: SkipArgs) -> Result<(), CommandError> {
    let projection = super::projection(&args.projection)?;
    let name = projection.name();
    let SkipArgs { position, key, reason, by, through, tool, .. } = args;
    let rows = if let Some(remote) = through.remote(&by, &reason)? {
        let arguments = json!({"position": position, "key": key});
        result_of::<Skipped>(&remote.carry_out("parked_skip", name, arguments).await?)?.rows
    } else {
        let decision = Decision { position, key, reason, by };
        let mut connection = tool.read_model().await?;
        parked::skip(&mut connection, projection.as_ref(), &decision).await?
    };
    print(&format!(
        "the event at position {position} is never to count in {rows} rows of {name}; what was \
            held back behind it follows now\n"
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
