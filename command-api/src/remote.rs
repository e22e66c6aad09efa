//! The command lines that ask a running command API for operations, through its admin port.

use admin_client::{Admin, Recorded, RemoteError, Server};
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use event_store::erasure::Proof;
use event_store::postgres::operations::{Kind, Operation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::config::{BeginEpochArgs, OperationsArgs};

/// What a command line asks.
const COMMAND_API: Server = Server { noun: "command API", program: "command-api" };

/// Lets a running command API erase a subject. Returns the proof, which may be incomplete.
///
/// # Errors
/// The operation was refused, failed or cancelled, or nothing answers.
pub(crate) async fn erase(
    admin: &str,
    (subject, cancel_open_orders): (Uuid, bool),
    signed: (&str, &str),
) -> anyhow::Result<Proof> {
    let arguments = json!({"subject": subject, "cancel_open_orders": cancel_open_orders});
    Ok(carry_out(admin, Kind::EraseSubject, signed, arguments).await?.result()?)
}

/// Lets a running command API begin an epoch, and prints it.
///
/// # Errors
/// The operation was refused, failed or cancelled, or nothing answers.
pub async fn begin_epoch(args: &BeginEpochArgs) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Begun {
        epoch: Uuid,
    }
    let arguments = json!({"replaces": args.replaces, "abandoned": args.abandoned});
    let signed = (args.by.as_str(), args.reason.as_str());
    let done = carry_out(&args.admin.admin, Kind::BeginEpoch, signed, arguments).await?;
    let Begun { epoch } = done.result()?;
    Ok(cli_kit::print(format!("epoch {epoch} has begun\n"))?)
}

/// Lists, shows or cancels operations.
///
/// # Errors
/// The request was refused, or nothing answers.
pub async fn operations(args: &OperationsArgs) -> anyhow::Result<()> {
    let admin = Admin::at(COMMAND_API, &args.admin.admin)?;
    let text = match (args.id, args.by.as_ref().filter(|_| args.cancel)) {
        (Some(id), Some(by)) => json(&admin.cancel::<Operation>(id, by).await.map_err(usage)?)?,
        (Some(id), None) => json(&admin.find::<Operation>(id).await.map_err(usage)?.record)?,
        (None, _) => {
            let found = admin.list::<Operation>(args.limit).await.map_err(usage)?;
            if args.json { json(&found)? } else { table(&found) }
        }
    };
    Ok(cli_kit::print(text)?)
}

async fn carry_out(
    admin: &str,
    kind: Kind,
    (by, reason): (&str, &str),
    arguments: Value,
) -> anyhow::Result<Recorded<Operation>> {
    let kind = kind.as_str();
    let request = json!({"kind": kind, "by": by, "reason": reason, "arguments": arguments});
    let admin = Admin::at(COMMAND_API, admin)?;
    admin.carry_out(&request, |_: &Operation| {}).await.map_err(usage)
}

/// Tells an argument that is not valid from a failure.
fn usage(error: RemoteError) -> anyhow::Error {
    match error {
        RemoteError::Invalid(what) => cli_kit::Usage(what).into(),
        error => error.into(),
    }
}

fn json(shown: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(shown)? + "\n")
}

fn table(operations: &[Operation]) -> String {
    let mut table = Table::new();
    let header = ["id", "operation", "state", "attempts", "by", "reason"];
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header);
    for operation in operations {
        table.add_row([
            operation.id.to_string(),
            operation.kind.clone(),
            operation.state.clone(),
            operation.attempts.to_string(),
            cli_kit::visible(&operation.requested_by),
            cli_kit::visible(&operation.reason),
        ]);
    }
    format!("{table}\n")
}
