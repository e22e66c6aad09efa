//! `projector operations`: lists, shows and cancels operations of the running projectors.

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use serde::Serialize;
use uuid::Uuid;

use super::error::CommandError;
use super::remote::AdminArgs;
use projection::operation::Operation;

/// The settings of `operations`.
#[derive(Debug, Args)]
pub struct OperationsArgs {
    /// Show only the operation with this id, with its arguments and its result, as JSON.
    id: Option<Uuid>,
    /// Cancel it. A rebuild keeps its work: `projector rebuild NAME --resume` continues it.
    #[arg(long, requires = "id")]
    cancel: bool,
    /// Who cancels the operation, for the record. Needed unless an access token says it.
    #[arg(long, value_name = "WHO", requires = "cancel")]
    by: Option<String>,
    /// The maximum number of operations to list, at most 100.
    #[arg(long, default_value_t = 20, conflicts_with = "id")]
    limit: u32,
    /// Print JSON instead of a text for people.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Lists, shows or cancels operations.
pub(crate) async fn operations(args: OperationsArgs) -> Result<(), CommandError> {
    let admin = args.admin.reach()?;
    let text = match (args.id, args.cancel) {
        (Some(id), true) => json(&admin.cancel::<Operation>(id, args.by.as_deref()).await?)?,
        (Some(id), false) => json(&admin.find::<Operation>(id).await?.record)?,
        (None, _) => {
            let found = admin.list::<Operation>(args.limit).await?;
            if args.json { json(&found)? } else { table(&found) }
        }
    };
    Ok(cli_kit::print(text)?)
}

fn json(shown: &impl Serialize) -> Result<String, CommandError> {
    Ok(serde_json::to_string_pretty(shown)? + "\n")
}

fn table(operations: &[Operation]) -> String {
    let mut table = Table::new();
    let header = ["id", "operation", "state", "progress", "by", "reason"];
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header);
    for operation in operations {
        let far = if operation.end_position > 0 {
            format!("{} of {}", operation.position, operation.end_position)
        } else {
            String::new()
        };
        table.add_row([
            operation.id.to_string(),
            format!("{} {}", operation.kind, operation.projection),
            operation.state.clone(),
            far,
            cli_kit::visible(&operation.requested_by),
            cli_kit::visible(&operation.reason),
        ]);
    }
    format!("{table}\n")
}
