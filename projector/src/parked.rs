//! `projector parked`: the events that a fold refused, grouped by cause; tried again, skipped or
//! exported.
//!
//! Nothing here touches a row: a retry is a request, and a skip a decision, both of which the owner
//! of the partition takes in.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use postgres_kit::Connection;
use serde::Serialize;
use tokio::time::Instant;

use crate::error::CommandError;
use crate::projection::AnyProjection;
use crate::tool::{ToolArgs, projection};

mod account;
mod show;
mod skip;

pub(crate) use account::account;
pub use account::{Account, AccountArgs};
pub use skip::SkipError;

/// How many lines a page has, unless told otherwise.
const PAGE: u32 = 50;
/// How often the outcome of a retry is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

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
    Show(show::ShowArgs),
    /// Let the running projector try parked events again now, each row's in their order.
    Retry(RetryArgs),
    /// Decide that a parked event is never to count in the rows that refuse it. Rebuilds and
    /// verifications hold to it.
    Skip(skip::SkipArgs),
    /// Write every parked event of a projection as a line of JSON.
    Export(show::ExportArgs),
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
    fn limit_and_offset(&self) -> (i64, i64) {
        (i64::from(self.page_size), i64::from(self.page - 1) * i64::from(self.page_size))
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
    /// How many seconds to wait for the outcome; 0 only asks.
    #[arg(long, default_value_t = 30)]
    wait: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tool: ToolArgs,
}

/// What is parked.
#[derive(Debug, Serialize)]
struct List {
    /// Events that a fold refused, once for each row.
    refused: i64,
    /// Events held back behind those, once for each row.
    held_back: i64,
    /// Rows that lack them.
    rows: i64,
    /// How many groups there are.
    groups: i64,
    /// A page of them, the largest first.
    page: Vec<Group>,
}

/// Events that were refused for the same cause.
#[derive(Debug, Serialize)]
struct Group {
    projection: String,
    generation: i32,
    event_type: String,
    cause: String,
    events: i64,
    rows: i64,
    first_position: i64,
    last_position: i64,
    most_tries: i32,
}

/// What came of a retry.
#[derive(Debug, Serialize)]
struct Retried {
    /// Rows whose events were to be tried again.
    rows: i64,
    /// Of those, how many no projector has taken up yet.
    waiting: i64,
    /// Of those, how many lack events still.
    still_stale: i64,
}

/// Does what the command line says.
pub(crate) async fn parked(args: ParkedArgs) -> Result<(), CommandError> {
    match args.command {
        ParkedCommand::List(args) => list(args).await,
        ParkedCommand::Show(args) => show::show(args).await,
        ParkedCommand::Retry(args) => retry(args).await,
        ParkedCommand::Skip(args) => skip::skip(args).await,
        ParkedCommand::Export(args) => show::export(args).await,
    }
}

/// What a command asks for of what is parked: a row by its key, an event by its position, or both.
struct Wanted<'a> {
    projection: &'a str,
    key: Option<&'a str>,
    position: Option<i64>,
}

impl Wanted<'_> {
    fn none(&self) -> CommandError {
        let key = self.key.map(|key| format!("of row {key}"));
        let position = self.position.map(|position| format!("at position {position}"));
        let words: Vec<String> = key.into_iter().chain(position).collect();
        let what = if words.is_empty() { "at all".to_owned() } else { words.join(" ") };
        CommandError::NothingParked(self.projection.to_owned(), what)
    }
}

/// A key of the projection's rows as it is kept, from what a person wrote.
fn key_of(
    projection: &dyn AnyProjection,
    key: Option<&str>,
) -> Result<Option<String>, CommandError> {
    let parse = |text: &str| {
        let key = projection.key(text);
        key.ok_or_else(|| CommandError::NotAKey(projection.name().to_owned(), text.to_owned()))
    };
    key.map(parse).transpose()
}

fn print(text: &str) -> Result<(), CommandError> {
    Ok(cli_kit::stdout().write_all(text.as_bytes())?)
}

async fn list(args: ListArgs) -> Result<(), CommandError> {
    if let Some(name) = &args.projection {
        projection(name)?;
    }
    let mut connection = args.tool.read_model().await?;
    let list = read_list(&mut connection, args.projection.as_deref(), &args.page).await?;
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

async fn read_list(
    connection: &mut Connection,
    name: Option<&str>,
    page: &PageArgs,
) -> sqlx::Result<List> {
    let (limit, offset) = page.limit_and_offset();
    let counted = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE cause IS NOT NULL) AS "refused!", count(*) FILTER (WHERE
            cause IS NULL) AS "held_back!",
                  count(DISTINCT (projection, generation, key)) AS "rows!",
                  count(DISTINCT (projection, generation, event_type, cause)) FILTER (WHERE cause
                  IS NOT NULL) AS "groups!"
           FROM read_model.parked WHERE $1::text IS NULL OR projection = $1"#,
        name
    )
    .fetch_one(&mut *connection)
    .await?;
    let page = sqlx::query_as!(
        Group,
        r#"SELECT projection, generation, event_type, cause AS "cause!", count(*) AS "events!",
            count(DISTINCT key) AS "rows!",
                  min(position) AS "first_position!", max(position) AS "last_position!", max(tries) AS "most_tries!"
           FROM read_model.parked WHERE ($1::text IS NULL OR projection = $1) AND cause IS NOT NULL
           GROUP BY projection, generation, event_type, cause
           ORDER BY count(*) DESC, projection, generation, event_type, cause LIMIT $2 OFFSET $3"#,
        name,
        limit,
        offset
    )
    .fetch_all(connection)
    .await?;
    Ok(List {
        refused: counted.refused,
        held_back: counted.held_back,
        rows: counted.rows,
        groups: counted.groups,
        page,
    })
}

async fn retry(args: RetryArgs) -> Result<(), CommandError> {
    let projection = projection(&args.projection)?;
    let name = projection.name();
    let key = key_of(projection.as_ref(), args.key.as_deref())?;
    let mut connection = args.tool.read_model().await?;
    let asked = sqlx::query!(
        "INSERT INTO read_model.retry_requests (projection, generation, key)
         SELECT DISTINCT projection, generation, key FROM read_model.parked
         WHERE projection = $1 AND ($2::text IS NULL OR key = $2) AND ($3::bigint IS NULL OR \
         position = $3)
         ON CONFLICT (projection, generation, key) DO UPDATE SET requested_at = \
         excluded.requested_at
         RETURNING generation, key",
        name,
        key,
        args.position
    )
    .fetch_all(&mut connection)
    .await?;
    if asked.is_empty() {
        return Err(
            Wanted { projection: name, key: key.as_deref(), position: args.position }.none()
        );
    }
    let (generations, keys): (Vec<i32>, Vec<String>) =
        asked.into_iter().map(|row| (row.generation, row.key)).unzip();
    let until = Instant::now() + Duration::from_secs(args.wait);
    let retried = loop {
        let retried = sqlx::query_as!(
            Retried,
            r#"SELECT count(*) AS "rows!", count(r.key) AS "waiting!", count(s.key) AS
                "still_stale!"
               FROM unnest($2::integer[], $3::text[]) AS asked (generation, key)
               LEFT JOIN read_model.retry_requests AS r ON (r.projection, r.generation, r.key) =
               ($1, asked.generation, asked.key)
               LEFT JOIN read_model.stale AS s ON (s.projection, s.generation, s.key) = ($1,
               asked.generation, asked.key)"#,
            name,
            &generations,
            &keys
        )
        .fetch_one(&mut connection)
        .await?;
        if retried.waiting == 0 || Instant::now() >= until {
            break retried;
        }
        tokio::time::sleep(LOOK_EVERY).await;
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
