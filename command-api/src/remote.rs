//! The command lines that ask a running command API for operations, through its admin port.

use admin_client::{Admin, Ending, Record, RemoteError, Server, result_of};
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

/// A recorded operation in an answer.
#[derive(Debug, Deserialize, Serialize)]
#[serde(transparent)]
struct Recorded(Operation);

impl Record for Recorded {
    fn id(&self) -> Uuid {
        self.0.id
    }

    fn ending(&self) -> Option<Ending<'_>> {
        let Operation { state, result, error, cancelled_by, finished_at, .. } = &self.0;
        finished_at.as_ref()?;
        Some(Ending {
            state,
            result: result.as_ref(),
            error: error.as_deref(),
            cancelled_by: cancelled_by.as_deref(),
        })
    }
}

/// Lets a running command API erase a subject. Returns the proof, which may be incomplete.
///
/// # Errors
/// The operation was refused, failed or cancelled, or nothing answers.
pub(crate) async fn erase(
    admin: &str,
    subject: Uuid,
    signed: (&str, &str),
) -> anyhow::Result<Proof> {
    let arguments = json!({"subject": subject});
    Ok(result_of(&carry_out(admin, Kind::EraseSubject, signed, arguments).await?)?)
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
    let Begun { epoch } = result_of(&done)?;
    Ok(cli_kit::print(format!("epoch {epoch} has begun\n"))?)
}

/// Lists, shows or cancels operations.
///
/// # Errors
/// The request was refused, or nothing answers.
pub async fn operations(args: &OperationsArgs) -> anyhow::Result<()> {
    let admin = Admin::at(COMMAND_API, &args.admin.admin)?;
    let text = match (args.id, args.by.as_ref().filter(|_| args.cancel)) {
        (Some(id), Some(by)) => json(&admin.cancel::<Recorded>(id, by).await.map_err(usage)?)?,
        (Some(id), None) => json(&admin.find::<Recorded>(id).await.map_err(usage)?)?,
        (None, _) => {
            let found = admin.list::<Recorded>(args.limit).await.map_err(usage)?;
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
) -> anyhow::Result<Recorded> {
    let kind = kind.as_str();
    let request = json!({"kind": kind, "by": by, "reason": reason, "arguments": arguments});
    let admin = Admin::at(COMMAND_API, admin)?;
    admin.carry_out(&request, |_: &Recorded| {}).await.map_err(usage)
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

fn table(operations: &[Recorded]) -> String {
    let mut table = Table::new();
    let header = ["id", "operation", "state", "attempts", "by", "reason"];
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header);
    for Recorded(operation) in operations {
        table.add_row([
            operation.id.to_string(),
            operation.kind.clone(),
            operation.state.clone(),
            operation.attempts.to_string(),
            operation.requested_by.clone(),
            operation.reason.clone(),
        ]);
    }
    format!("{table}\n")
}
