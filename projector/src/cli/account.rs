//! `projector account`.

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;

use super::error::CommandError;
use super::reach::ToolArgs;
use projection::ops::account::Account;

/// The settings of `account`.
#[derive(Debug, Args)]
pub struct AccountArgs {
    /// The name of the projection; by default all.
    projection: Option<String>,
    /// Print JSON instead of a text for people.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tool: ToolArgs,
}

pub(crate) async fn account(args: AccountArgs) -> Result<(), CommandError> {
    if let Some(name) = &args.projection {
        super::projection(name)?;
    }
    let mut connection = args.tool.read_model().await?;
    let accounts = Account::read(&mut connection, args.projection.as_deref()).await?;
    if args.json {
        return Ok(cli_kit::print(serde_json::to_string_pretty(&accounts)? + "\n")?);
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header([
        "projection",
        "events",
        "applied",
        "ignored",
        "parked",
        "skipped",
        "adds up",
    ]);
    for account in &accounts {
        let counts =
            [account.position, account.applied, account.ignored, account.parked, account.skipped];
        let partition =
            if account.partitions == 1 { String::new() } else { format!("/{}", account.partition) };
        let name = format!("{} g{}{partition}", account.projection, account.generation);
        let adds_up = if account.adds_up { "yes" } else { "NO" };
        table.add_row(
            [name]
                .into_iter()
                .chain(counts.map(|count| count.to_string()))
                .chain([adds_up.to_owned()]),
        );
    }
    Ok(cli_kit::print(format!("{table}\n"))?)
}
