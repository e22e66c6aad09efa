//! Parked events one by one: for people by the page, for programs as lines of JSON. Never their
//! contents, which may be personal.

use std::fmt::Write as _;
use std::io::Write as _;

use chrono::{DateTime, Utc};
use clap::Args;
use postgres_kit::Connection;
use serde::Serialize;
use uuid::Uuid;

use super::{PageArgs, Wanted, key_of, print};
use crate::error::CommandError;
use crate::tool::{ToolArgs, projection};

/// How many are read at a time for an export.
const EXPORT_PAGE: i64 = 1_000;

/// Settings of `parked show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
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
pub(crate) struct ExportArgs {
    /// Of which projection.
    projection: String,
    #[command(flatten)]
    tool: ToolArgs,
}

/// An event that does not count in a row.
#[derive(Debug, Serialize)]
struct ParkedEvent {
    projection: String,
    generation: i32,
    key: String,
    position: i64,
    event_id: Uuid,
    event_type: String,
    /// Why the fold refused it; `None`: an earlier event of the row is parked.
    cause: Option<String>,
    tries: i32,
    parked_at: DateTime<Utc>,
    retry_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize)]
struct Shown {
    /// How many there are in all.
    total: i64,
    page: Vec<ParkedEvent>,
}

pub(super) async fn show(args: ShowArgs) -> Result<(), CommandError> {
    let projection = projection(&args.projection)?;
    let (name, key) = (projection.name(), key_of(projection.as_ref(), args.key.as_deref())?);
    let mut connection = args.tool.read_model().await?;
    let (limit, offset) = args.page.limit_and_offset();
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "total!" FROM read_model.parked
           WHERE projection = $1 AND ($2::text IS NULL OR key = $2) AND ($3::bigint IS NULL OR
           position = $3)"#,
        name,
        key,
        args.position
    )
    .fetch_one(&mut connection)
    .await?;
    if total == 0 && (key.is_some() || args.position.is_some()) {
        return Err(
            Wanted { projection: name, key: key.as_deref(), position: args.position }.none()
        );
    }
    let page = sqlx::query_as!(
        ParkedEvent,
        "SELECT projection, generation, key, position, event_id, event_type, cause, tries, \
            parked_at, retry_at
         FROM read_model.parked
         WHERE projection = $1 AND ($2::text IS NULL OR key = $2) AND ($3::bigint IS NULL OR \
         position = $3)
         ORDER BY generation, position, key LIMIT $4 OFFSET $5",
        name,
        key,
        args.position,
        limit,
        offset
    )
    .fetch_all(&mut connection)
    .await?;
    let shown = Shown { total, page };
    if args.json {
        return print(&(serde_json::to_string_pretty(&shown)? + "\n"));
    }
    let mut text = format!("{total} events parked, once for each row\n");
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

pub(super) async fn export(args: ExportArgs) -> Result<(), CommandError> {
    let name = projection(&args.projection)?.name();
    let mut connection = args.tool.read_model().await?;
    let mut after = (0, 0, String::new());
    loop {
        let page = page_after(&mut connection, name, &after).await?;
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

async fn page_after(
    connection: &mut Connection,
    name: &str,
    (generation, position, key): &(i32, i64, String),
) -> sqlx::Result<Vec<ParkedEvent>> {
    sqlx::query_as!(
        ParkedEvent,
        "SELECT projection, generation, key, position, event_id, event_type, cause, tries, \
            parked_at, retry_at
         FROM read_model.parked WHERE projection = $1 AND (generation, position, key) > ($2, $3, $4)
         ORDER BY generation, position, key LIMIT $5",
        name,
        generation,
        position,
        key,
        EXPORT_PAGE
    )
    .fetch_all(connection)
    .await
}
