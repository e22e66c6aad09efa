//! `projector explain`: why a row is as it is: the events that made it, with the row after each; or
//! the row as it once was.
//!
//! It folds the log as a verification does, but for one key alone. So it also works for rows that
//! are wrong: it shows what the row should be, and after which event it went another way.

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::Args;
use event_store::{Filter, Position, RecordedEvent};
use futures::StreamExt as _;
use postgres_kit::Connection;
use serde_json::{Map, Value, json};
use sqlx::PgConnection;

use crate::error::CommandError;
use crate::progress::Progress;
use crate::projection::{AnyProjection, Only, Parking, Traced};
use crate::replay::compare::hide_personal;
use crate::replay::{RANGE, READ_AHEAD, ReplayError, Source};
use crate::runner::parked;
use crate::tool::{ToolArgs, projection};

/// Settings of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Which projection.
    pub(crate) projection: String,
    /// The row's key; the columns of the primary key joined by `/`, as in `1997-01-02/USD`.
    pub(crate) key: String,
    /// Print only the row as it was then: a position of the log, or a time as in
    /// `2026-01-31T12:00:00Z`.
    #[arg(long, value_name = "POSITION|TIME", value_parser = parse_as_of)]
    pub(crate) as_of: Option<AsOf>,
    /// Print personal values.
    #[arg(long)]
    pub(crate) reveal: bool,
    /// Print JSON: a line for each event.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
}

/// A moment of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AsOf {
    /// After the event at this position.
    Position(Position),
    /// After the last event that was recorded by this time.
    Time(DateTime<Utc>),
}

fn parse_as_of(text: &str) -> Result<AsOf, String> {
    let time = || {
        text.parse()
            .map(AsOf::Time)
            .map_err(|_| "neither a position nor a time such as 2026-01-31T12:00:00Z".to_owned())
    };
    text.parse().map_or_else(|_| time(), |position: i64| Ok(AsOf::Position(Position(position))))
}

/// Explains a row.
pub(crate) async fn explain(args: ExplainArgs) -> Result<(), CommandError> {
    let projection = projection(&args.projection)?;
    let unknown = || CommandError::NotAKey(args.projection.clone(), args.key.clone());
    let key = projection.key(&args.key).ok_or_else(unknown)?;
    let tool = args.tool.open().await?;
    let source = tool.source(Arc::clone(&projection));
    let end = end(&source, args.as_of).await?;
    let mut explaining = Explaining {
        projection: projection.as_ref(),
        source: &source,
        connection: tool.connect().await?,
        each: args.as_of.is_none(),
        reveal: args.reveal,
        json: args.json,
        last: None,
    };
    explaining.run(key, end).await?;
    match explaining.last {
        Some(row) if args.as_of.is_some() => {
            let text = serde_json::to_string_pretty(&Value::Object(row))?;
            Ok(writeln!(cli_kit::stdout(), "{text}")?)
        }
        Some(_) => Ok(()),
        None => Err(CommandError::NoRow(args.projection, args.key)),
    }
}

/// The position up to which the log counts.
async fn end(source: &Arc<Source>, as_of: Option<AsOf>) -> Result<Position, CommandError> {
    let head = source.head().await?.mark.position;
    match as_of {
        None => Ok(head),
        Some(AsOf::Position(position)) if position > head => {
            Err(CommandError::BehindHead(position, head))
        }
        Some(AsOf::Position(position)) => Ok(position),
        Some(AsOf::Time(time)) => {
            // Times never go back as positions rise: halve the range until it is one position.
            let (mut by, mut after) = (Position::START, head.next());
            while after.0 - by.0 > 1 {
                let middle = Position(by.0.midpoint(after.0));
                let event = event_at(source, middle).await?;
                *(if event.recorded_at <= time { &mut by } else { &mut after }) = middle;
            }
            Ok(by)
        }
    }
}

async fn event_at(source: &Arc<Source>, position: Position) -> Result<RecordedEvent, ReplayError> {
    let events = source.store().read(&Filter::All, Position(position.0 - 1), 1).await?;
    events
        .into_iter()
        .find(|event| event.position == position)
        .ok_or(ReplayError::OtherHistory(position))
}

struct Explaining<'a> {
    projection: &'a dyn AnyProjection,
    source: &'a Arc<Source>,
    connection: Connection,
    /// Whether each step is printed.
    each: bool,
    reveal: bool,
    json: bool,
    /// The row as last seen.
    last: Option<Map<String, Value>>,
}

impl Explaining<'_> {
    async fn run(&mut self, key: String, end: Position) -> Result<(), CommandError> {
        // One row needs no tables; should it be written all the same, then to tables that nobody
        // else sees.
        sqlx::raw_sql("SET search_path = pg_temp").execute(&mut self.connection).await?;
        sqlx::raw_sql(self.projection.tables()).execute(&mut self.connection).await?;
        let mut rows = self.projection.rows(Only::Key(key), usize::MAX);
        // What the row lacks in the tables, it lacks here.
        let name = self.projection.name();
        let skips = self
            .connection
            .run(async |raw: &mut PgConnection| parked::skips(raw, name).await)
            .await?;
        let mut parking = Parking::new(HashSet::new(), skips, 0).careful();
        let mut progress = Progress::new("reading the log", 0, end.0);
        let mut pages = self.source.pages(Position::START, end, (RANGE, READ_AHEAD));
        while let Some(page) = pages.next().await {
            let page = page?;
            let fold =
                async |raw: &mut PgConnection| rows.fold(raw, page.prepared, &mut parking).await;
            self.connection.run(fold).await.map_err(ReplayError::from)?;
            progress.at(page.to.0, end.0);
            for step in rows.take_trace() {
                self.step(step?, &progress).await?;
            }
        }
        progress.done();
        Ok(())
    }

    async fn step(&mut self, step: Traced, progress: &Progress) -> Result<(), CommandError> {
        let Value::Object(mut row) = step.row else { return Ok(()) };
        if !self.reveal {
            hide_personal(self.projection, &mut row);
        }
        if self.each {
            let event = event_at(self.source, step.position).await?;
            let text = if self.json {
                in_json(&event, step.fragment, &row)
            } else {
                in_words(&event, self.last.as_ref(), &row)
            };
            progress.around(|| writeln!(cli_kit::stdout(), "{text}"))?;
        }
        self.last = Some(row);
        Ok(())
    }
}

fn in_json(event: &RecordedEvent, fragment: u32, row: &Map<String, Value>) -> String {
    json!({
        "position": event.position, "fragment": fragment, "event_id": event.id,
            "event_type": event.event_type,
        "stream": event.stream.as_str(), "version": event.version,
            "recorded_at": event.recorded_at, "row": row,
    })
    .to_string()
}

/// The event, and the columns that it changed.
fn in_words(
    event: &RecordedEvent,
    before: Option<&Map<String, Value>>,
    row: &Map<String, Value>,
) -> String {
    let (position, at, stream, version) =
        (event.position, event.recorded_at.to_rfc3339(), event.stream.as_str(), event.version.0);
    let changes =
        row.iter().filter_map(|(name, value)| match before.and_then(|before| before.get(name)) {
            None => Some(format!("\n    {name} = {value}")),
            Some(old) if old != value => Some(format!("\n    {name}: {old} -> {value}")),
            Some(_) => None,
        });
    let first = format!("{position}  {at}  {}  {stream} v{version}", event.event_type);
    std::iter::once(first).chain(changes).collect()
}
