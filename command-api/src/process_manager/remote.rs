//! `process-manager sagas …`: asks a running process manager through its admin port.

use std::fmt::Write as _;

use admin_client::{Admin, Server};
use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use serde_json::{Value, json};

use super::NAME;
use super::api::{FOLD_AGAIN, PATH, Row, Shown};
use super::config::{AdminArgs, ListArgs, OfSagaArgs, SagasAction, StuckArgs};
use crate::remote::{self, usage};

/// The program that these command lines ask.
const PROCESS_MANAGER: Server = Server { noun: "process manager", program: NAME };

/// Asks and prints.
///
/// # Errors
/// The request was refused, or nothing answers.
pub(super) async fn execute(action: &SagasAction) -> anyhow::Result<()> {
    let said = match action {
        SagasAction::List(args) => list(args, None).await?,
        SagasAction::Stuck(StuckArgs { seconds, list: args }) => list(args, Some(*seconds)).await?,
        SagasAction::Show(args) => {
            let path = format!("{PATH}/{}?after={}&limit={}", args.id, args.after, args.limit);
            let shown: Shown = reach(&args.admin)?.get(&path).await.map_err(usage)?;
            if args.json { remote::json(&shown)? } else { as_text(&shown)? }
        }
        SagasAction::Retry(args) => decide(&args.of, "retry", json!({"step": args.step})).await?,
        SagasAction::Skip(args) => {
            let body = json!({"step": args.step, "reason": args.reason});
            decide(&args.of, "skip-compensation", body).await?
        }
        SagasAction::GiveUp(args) => {
            decide(&args.of, "give-up", json!({"reason": args.reason})).await?
        }
        SagasAction::Resume(args) => decide(&args.of, "resume", json!({})).await?,
        SagasAction::FoldAgain(args) => {
            let path = format!("{PATH}/{FOLD_AGAIN}");
            let asked = reach(&args.admin)?.post(&path, json!({}), args.by.as_deref()).await;
            let _: Value = asked.map_err(usage)?;
            "the log is folded again\n".to_owned()
        }
        SagasAction::Park(args) => decide(&args.of, "park", json!({"reason": args.reason})).await?,
    };
    Ok(cli_kit::print(said)?)
}

fn reach(args: &AdminArgs) -> anyhow::Result<Admin> {
    let token = args.token.token().map_err(usage)?;
    Admin::at(PROCESS_MANAGER, &args.admin, token).map_err(usage)
}

async fn list(args: &ListArgs, stuck_for: Option<u32>) -> anyhow::Result<String> {
    let mut query = format!("{PATH}?limit={}", args.limit);
    if let Some(status) = &args.status {
        if !status.bytes().all(|byte| byte.is_ascii_lowercase()) {
            anyhow::bail!(cli_kit::Usage("--status is not the name of a status".to_owned()));
        }
        write!(query, "&status={status}")?;
    }
    if let Some(seconds) = stuck_for {
        write!(query, "&not_moved_for={seconds}")?;
    }
    let rows: Vec<Row> = reach(&args.admin)?.get(&query).await.map_err(usage)?;
    if args.json { remote::json(&rows) } else { Ok(as_table(&rows)) }
}

async fn decide(of: &OfSagaArgs, what: &str, body: Value) -> anyhow::Result<String> {
    let path = format!("{PATH}/{}/{what}", of.id);
    let decided = reach(&of.admin)?.post(&path, body, of.by.as_deref()).await;
    let shown: Shown = decided.map_err(usage)?;
    Ok(format!("saga {} of order {} is {}\n", shown.id, shown.key, shown.status))
}

fn as_table(rows: &[Row]) -> String {
    let mut table = Table::new();
    let header = ["order", "status", "waits for", "next look", "last progress", "reason"];
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header);
    for row in rows {
        table.add_row([
            row.key.clone(),
            row.status.clone(),
            row.waits_for.clone(),
            row.due_at.map(time).unwrap_or_default(),
            time(row.moved_at),
            cli_kit::visible(row.reason.as_deref().unwrap_or_default()),
        ]);
    }
    format!("{table}\n")
}

fn as_text(shown: &Shown) -> anyhow::Result<String> {
    let mut text = format!("saga {} of order {}: {}\n", shown.id, shown.key, shown.status);
    for (what, why) in [("undone", &shown.reason), ("parked", &shown.parked_for)] {
        if let Some(why) = why {
            writeln!(text, "{what}: {}", cli_kit::visible(why))?;
        }
    }
    if let Some(due_at) = shown.due_at {
        writeln!(text, "next look: {}", time(due_at))?;
    }
    for entry in &shown.timeline {
        writeln!(
            text,
            "{:>4}  {}  {}",
            entry.version,
            time(entry.at),
            cli_kit::visible(&entry.what)
        )?;
    }
    if let Some(after) = shown.next_after {
        writeln!(text, "there is more: --after {after}")?;
    }
    Ok(text)
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
