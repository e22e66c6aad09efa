//! The command lines that ask a running command API for operations, through its admin port.

use admin_client::{Admin, Recorded, RemoteError, Server, TokenArgs};
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

/// The running command API at this address, asked with the access token of the settings.
///
/// # Errors
/// The token is unreadable, or would leave this machine in the clear.
pub(crate) fn reach(admin: &str, token: &TokenArgs) -> anyhow::Result<Admin> {
    let token = token.token().map_err(usage)?;
    Admin::at(COMMAND_API, admin, token).map_err(usage)
}

/// Lets a running command API erase a subject. Returns the proof, which may be incomplete.
///
/// # Errors
/// The operation was refused, failed or cancelled, or nothing answers.
pub(crate) async fn erase(
    admin: &Admin,
    (subject, cancel_open_orders): (Uuid, bool),
    signed: (Option<&str>, &str),
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
    let signed = (args.by.as_deref(), args.reason.as_str());
    let admin = reach(&args.admin.admin, &args.admin.token)?;
    let done = carry_out(&admin, Kind::BeginEpoch, signed, arguments).await?;
    let Begun { epoch } = done.result()?;
    Ok(cli_kit::print(format!("epoch {epoch} has begun\n"))?)
}

/// Lists, shows or cancels operations.
///
/// # Errors
/// The request was refused, or nothing answers.
pub async fn operations(args: &OperationsArgs) -> anyhow::Result<()> {
    let admin = reach(&args.admin.admin, &args.admin.token)?;
    let text = match (args.id, args.cancel) {
        (Some(id), true) => {
            let by = args.by.as_deref();
            json(&admin.cancel::<Operation>(id, by).await.map_err(usage)?)?
        }
        (Some(id), false) => json(&admin.find::<Operation>(id).await.map_err(usage)?.record)?,
        (None, _) => {
            let found = admin.list::<Operation>(args.limit).await.map_err(usage)?;
            if args.json { json(&found)? } else { table(&found) }
        }
    };
    Ok(cli_kit::print(text)?)
}

async fn carry_out(
    admin: &Admin,
    kind: Kind,
    (by, reason): (Option<&str>, &str),
    arguments: Value,
) -> anyhow::Result<Recorded<Operation>> {
    let request = json!({"kind": kind.as_str(), "reason": reason, "arguments": arguments});
    admin.carry_out(request, by, |_: &Operation| {}).await.map_err(usage)
}

/// Tells an argument that is not valid from a failure.
pub(crate) fn usage(error: RemoteError) -> anyhow::Error {
    match error {
        RemoteError::Invalid(what) => cli_kit::Usage(what).into(),
        RemoteError::Setting(error) => error.into(),
        error @ (RemoteError::NotAToken | RemoteError::Exposed(_)) => {
            cli_kit::Usage(error.to_string()).into()
        }
        error => error.into(),
    }
}

/// What is shown, as JSON for people: indented, and with a line break at its end.
///
/// # Errors
/// It cannot be written as JSON.
pub(crate) fn json(shown: &impl Serialize) -> anyhow::Result<String> {
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
