//! `webhooks subscriptions …`, `deliveries …` and `replays …`: ask a running process through its
//! admin port.

use admin_client::{Admin, RemoteError, Server};
use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::NAME;
use super::api::{MAX_LIMIT, Made, PATH, REPLAYS, Replayed};
use super::config::{
    AdminArgs, ByArgs, CreateArgs, DeliveriesAction, DeliveriesListArgs, ListArgs, OfArgs,
    ReplayArgs, ReplaysAction, SubscriptionsAction,
};
use crate::tables::{DeliveryRow, ReplayRow, SubscriptionRow};

/// The program that these command lines ask.
const WEBHOOKS: Server = Server { noun: "sender of webhooks", program: NAME };

/// Asks about subscriptions, and prints the answer.
///
/// # Errors
/// The request was refused, or nothing answers.
pub(super) async fn subscriptions(action: &SubscriptionsAction) -> anyhow::Result<()> {
    let said = match action {
        SubscriptionsAction::List(args) => list(args).await?,
        SubscriptionsAction::Create(args) => create(args).await?,
        SubscriptionsAction::Rotate(of) => {
            let made: Made = post(&of.by, &one(of.id, "/rotate"), json!({})).await?;
            format!("secret: {}\n", made.secret)
        }
        SubscriptionsAction::Pause(why) => {
            decide(&why.of, "/pause", json!({"reason": why.reason})).await?
        }
        SubscriptionsAction::Resume(args) => {
            decide(&args.of, "/resume", json!({"after": args.after})).await?
        }
        SubscriptionsAction::Delete(why) => {
            decide(&why.of, "/delete", json!({"reason": why.reason})).await?;
            format!("subscription {} is deleted\n", why.of.id)
        }
    };
    Ok(cli_kit::print(said)?)
}

/// Asks about deliveries, and prints the answer.
///
/// # Errors
/// The request was refused, or nothing answers.
pub(super) async fn deliveries(action: &DeliveriesAction) -> anyhow::Result<()> {
    let said = match action {
        DeliveriesAction::List(args) => {
            let rows: Vec<DeliveryRow> = get(args, "/deliveries").await?;
            if args.json { as_json(&rows)? } else { deliveries_table(&rows) }
        }
        DeliveriesAction::Retry(args) => {
            decide(&args.of, "/deliveries/retry", json!({"position": args.position})).await?
        }
        DeliveriesAction::Skip(args) => {
            let body = json!({"position": args.position, "reason": args.why.reason});
            decide(&args.why.of, "/deliveries/skip", body).await?
        }
    };
    Ok(cli_kit::print(said)?)
}

/// Asks about replays, and prints the answer.
///
/// # Errors
/// The request was refused, or nothing answers.
pub(super) async fn replays(action: &ReplaysAction) -> anyhow::Result<()> {
    let said = match action {
        ReplaysAction::List(args) => {
            let rows: Vec<ReplayRow> = get(args, "/replays").await?;
            if args.json { as_json(&rows)? } else { replays_table(&rows) }
        }
        ReplaysAction::Start(args) => start(args).await?,
        ReplaysAction::Cancel(args) => {
            let path = format!("{REPLAYS}/{}/cancel", args.id);
            let ended: Replayed = post(&args.by, &path, json!({})).await?;
            format!("replay {} is cancelled\n", ended.id)
        }
    };
    Ok(cli_kit::print(said)?)
}

fn one(id: Uuid, what: &str) -> String {
    format!("{PATH}/{id}{what}")
}

fn reach(args: &AdminArgs) -> anyhow::Result<Admin> {
    let token = args.token.token().map_err(usage)?;
    Admin::at(WEBHOOKS, &args.admin, token).map_err(usage)
}

/// Tells an argument that is not valid from a failure.
fn usage(error: RemoteError) -> anyhow::Error {
    match error {
        RemoteError::Invalid(what) => cli_kit::Usage(what).into(),
        RemoteError::Setting(error) => error.into(),
        error @ (RemoteError::NotAToken | RemoteError::Exposed(_)) => {
            cli_kit::Usage(error.to_string()).into()
        }
        error => error.into(),
    }
}

async fn post<T: serde::de::DeserializeOwned>(
    by: &ByArgs,
    path: &str,
    mut body: Value,
) -> anyhow::Result<T> {
    // What was not given is left out.
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    reach(&by.admin)?.post(path, body, by.by.as_deref()).await.map_err(usage)
}

async fn get<T: serde::de::DeserializeOwned>(
    args: &DeliveriesListArgs,
    what: &str,
) -> anyhow::Result<T> {
    let path = format!("{}?limit={MAX_LIMIT}", one(args.id, what));
    reach(&args.admin)?.get(&path).await.map_err(usage)
}

async fn decide(of: &OfArgs, what: &str, body: Value) -> anyhow::Result<String> {
    let row: SubscriptionRow = post(&of.by, &one(of.id, what), body).await?;
    Ok(format!("subscription {} {}: {}\n", row.id, cli_kit::visible(&row.name), state(&row)))
}

async fn list(args: &ListArgs) -> anyhow::Result<String> {
    let rows: Vec<SubscriptionRow> = reach(&args.admin)?.get(PATH).await.map_err(usage)?;
    if args.json { as_json(&rows) } else { Ok(subscriptions_table(&rows)) }
}

async fn create(args: &CreateArgs) -> anyhow::Result<String> {
    let body = json!({
        "name": args.name, "url": args.url, "types": args.types, "personal": args.personal,
        "after": args.after,
    });
    let made: Made = post(&args.by, PATH, body).await?;
    Ok(format!("subscription: {}\nsecret: {}\n", made.id, made.secret))
}

async fn start(args: &ReplayArgs) -> anyhow::Result<String> {
    let body = json!({
        "from": args.from, "since": args.since, "types": args.types, "rate": args.rate,
        "reason": args.why.reason,
    });
    let of = &args.why.of;
    let begun: Replayed = post(&of.by, &one(of.id, "/replays"), body).await?;
    Ok(format!("replay {} has begun\n", begun.id))
}

fn as_json(shown: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(shown)? + "\n")
}

fn state(row: &SubscriptionRow) -> String {
    match &row.paused_for {
        Some(why) => format!("paused: {}", cli_kit::visible(why)),
        None => "active".to_owned(),
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header);
    table
}

fn subscriptions_table(rows: &[SubscriptionRow]) -> String {
    let mut table = table(["id", "name", "receiver", "position", "waiting", "parked", "state"]);
    for row in rows {
        table.add_row([
            row.id.to_string(),
            cli_kit::visible(&row.name),
            cli_kit::visible(&row.url),
            row.position.to_string(),
            row.waiting.to_string(),
            row.parked.to_string(),
            state(row),
        ]);
    }
    format!("{table}\n")
}

fn deliveries_table(rows: &[DeliveryRow]) -> String {
    let mut table = table(["position", "type", "attempts", "next attempt", "failure", "replay"]);
    for row in rows {
        let status = row.status.map(|status| format!(" {status}")).unwrap_or_default();
        table.add_row([
            row.position.to_string(),
            cli_kit::visible(&row.r#type),
            row.attempts.to_string(),
            row.next_at.map_or_else(|| "parked".to_owned(), time),
            format!("{}{status}", cli_kit::visible(&row.error)),
            if row.is_replay { row.feed.to_string() } else { String::new() },
        ]);
    }
    format!("{table}\n")
}

fn replays_table(rows: &[ReplayRow]) -> String {
    let mut table = table(["id", "position", "until", "rate", "by", "reason", "state"]);
    for row in rows {
        table.add_row([
            row.id.to_string(),
            row.position.to_string(),
            row.until.to_string(),
            row.rate.to_string(),
            cli_kit::visible(&row.requested_by),
            cli_kit::visible(&row.reason),
            row.ended.clone().unwrap_or_else(|| "running".to_owned()),
        ]);
    }
    format!("{table}\n")
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
