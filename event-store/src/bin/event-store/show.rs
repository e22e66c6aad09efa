//! Output: tables for people, JSON for programs.

use std::fmt::Display;
use std::io::Write;

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use event_store::RecordedEvent;
use event_store::postgres::{EpochRecord, LogStatus, Verification};
use serde::Serialize;

/// The maximum number of characters of an event's data in a table.
const MAX_DATA: usize = 80;

/// Prints one value.
pub(crate) fn value<T: Serialize>(
    out: &mut impl Write,
    json: bool,
    value: &T,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string_pretty(value)? + "\n" } else { text() };
    Ok(out.write_all(text.as_bytes())?)
}

fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header);
    table.add_rows(rows);
    format!("{table}\n")
}

fn known(value: Option<impl Display>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

pub(crate) fn status(status: &LogStatus) -> String {
    let rows = [
        ("epoch", status.epoch.to_string()),
        ("epochs", status.epochs.to_string()),
        ("head", status.position.to_string()),
        ("event at the head", known(status.event_id)),
        ("appended at", known(status.recorded_at)),
        ("digested to", status.digested_to.to_string()),
        ("reservations", status.reservations.to_string()),
        ("idempotency keys (about)", status.keys_about.to_string()),
        ("bytes", status.bytes.to_string()),
        ("appends waiting", status.waiting_appends.to_string()),
    ];
    table(["log", ""], rows.map(|(name, value)| [name.to_owned(), value]))
}

pub(crate) fn epochs(all: &[EpochRecord]) -> String {
    let rows = all.iter().map(|one| {
        let abandoned = one.abandoned.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        [
            one.epoch.to_string(),
            one.began_after.to_string(),
            one.created_at.to_rfc3339(),
            cli_kit::visible(&one.reason),
            abandoned,
        ]
    });
    table(["epoch", "began after", "at", "why", "in place of"], rows)
}

pub(crate) fn verification(found: &Verification) -> String {
    let Verification { head, digested_to, events, reservations, keys, keys_without_events, .. } =
        found;
    let mut text = format!(
        "{events} events up to position {head}, digested to {digested_to}; {reservations} \
            reservations and {keys} idempotency records compared, \
         {keys_without_events} more of appends without events.\n"
    );
    if found.holds() {
        return text + "Everything is in order.\n";
    }
    let rows = found.findings.iter().map(|finding| [known(finding.position), finding.what.clone()]);
    text += &table(["position", "what is wrong"], rows);
    if found.more_findings > 0 {
        text.push_str(&table(["more"], [[found.more_findings.to_string()]]));
    }
    text
}

/// An event in JSON output.
#[derive(Serialize)]
struct Line<'a> {
    position: i64,
    stream: &'a str,
    version: i64,
    id: uuid::Uuid,
    #[serde(rename = "type")]
    event_type: &'a str,
    schema_version: i32,
    recorded_at: chrono::DateTime<chrono::Utc>,
    tags: &'a [event_store::Tag],
    data: &'a serde_json::value::RawValue,
    metadata: &'a event_store::Metadata,
}

/// The output of events: JSON lines at once, or a table at the end.
pub(crate) struct Events<'o, W> {
    out: &'o mut W,
    json: bool,
    left: u32,
    is_empty: bool,
    rows: Vec<[String; 6]>,
}

impl<'o, W: Write> Events<'o, W> {
    /// Makes an output of at most `limit` events.
    pub(crate) fn new(out: &'o mut W, json: bool, limit: u32) -> Self {
        Self { out, json, left: limit, is_empty: true, rows: Vec::new() }
    }

    /// The number of events that may still be added.
    pub(crate) const fn left(&self) -> u32 {
        self.left
    }

    /// Whether no event was added.
    pub(crate) const fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Adds the next events.
    pub(crate) fn add(&mut self, events: &[RecordedEvent]) -> anyhow::Result<()> {
        for event in events {
            if self.json { self.line(event)? } else { self.rows.push(row(event)) }
        }
        self.is_empty &= events.is_empty();
        self.left = self.left.saturating_sub(u32::try_from(events.len())?);
        Ok(())
    }

    /// Ends the output.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        if self.json {
            return Ok(());
        }
        Ok(self.out.write_all(
            table(["position", "at", "stream", "version", "type", "data"], self.rows).as_bytes(),
        )?)
    }

    fn line(&mut self, event: &RecordedEvent) -> anyhow::Result<()> {
        let line = Line {
            position: event.position.0,
            stream: event.stream.as_str(),
            version: event.version.0,
            id: event.id,
            event_type: event.event_type.as_str(),
            schema_version: event.schema_version,
            recorded_at: event.recorded_at,
            tags: &event.tags,
            data: &event.data,
            metadata: &event.metadata,
        };
        // Make the text first: an error of the JSON writer would hide a closed output.
        Ok(self.out.write_all((serde_json::to_string(&line)? + "\n").as_bytes())?)
    }
}

/// Makes a table row of an event, with the start of its data.
fn row(event: &RecordedEvent) -> [String; 6] {
    let data: String = event.data.get().chars().take(MAX_DATA).collect();
    [
        event.position.to_string(),
        event.recorded_at.to_rfc3339(),
        event.stream.to_string(),
        event.version.to_string(),
        event.event_type.to_string(),
        data,
    ]
}
