//! `projector explain`.

use std::io::Write as _;

use clap::Args;
use event_store::{Position, RecordedEvent};
use serde_json::{Map, Value, json};

use super::error::CommandError;
use super::progress::Bar;
use super::reach::ToolArgs;
use projection::ops::explain::{self, AsOf, Question, Step};

/// The settings of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The name of the projection.
    pub(crate) projection: String,
    /// The key of the row: the columns of the primary key joined by `/`, such as `1997-01-02/USD`.
    pub(crate) key: String,
    /// Print only the row as it was at this position of the log, or at this time, such as
    /// `2026-01-31T12:00:00Z`.
    #[arg(long, value_name = "POSITION|TIME", value_parser = parse_as_of)]
    pub(crate) as_of: Option<AsOf>,
    /// Print personal values.
    #[arg(long)]
    pub(crate) reveal: bool,
    /// Print JSON: one line per event.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
}

fn parse_as_of(text: &str) -> Result<AsOf, String> {
    let time = || {
        text.parse()
            .map(AsOf::Time)
            .map_err(|_| "neither a position nor a time such as 2026-01-31T12:00:00Z".to_owned())
    };
    text.parse().map_or_else(|_| time(), |position: i64| Ok(AsOf::Position(Position(position))))
}

/// Prints the events that made a row, or the row as it was.
pub(crate) async fn explain(args: ExplainArgs) -> Result<(), CommandError> {
    let projection = super::projection(&args.projection)?;
    let operations = args.tool.open().await?;
    let (bar, each, json) = (Bar::new(), args.as_of.is_none(), args.json);
    let question = Question { key: args.key, as_of: args.as_of, reveal: args.reveal };
    let mut last: Option<Map<String, Value>> = None;
    let show = |step: &Step| {
        if each {
            let text =
                if json { in_json(step) } else { in_words(&step.event, last.as_ref(), &step.row) };
            bar.around(|| writeln!(cli_kit::stdout(), "{text}"))?;
        }
        last = Some(step.row.clone());
        Ok(())
    };
    let row = explain::explain(&operations, &projection, &question, &bar, show).await?;
    if each {
        return Ok(());
    }
    let text = serde_json::to_string_pretty(&Value::Object(row))?;
    Ok(writeln!(cli_kit::stdout(), "{text}")?)
}

fn in_json(step: &Step) -> String {
    let Step { event, fragment, row } = step;
    json!({
        "position": event.position, "fragment": fragment, "event_id": event.id,
        "event_type": event.event_type, "stream": event.stream.as_str(),
        "version": event.version, "recorded_at": event.recorded_at, "row": row,
    })
    .to_string()
}

/// Describes an event and the columns that it changed.
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
