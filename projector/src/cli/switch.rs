//! `projector switch-back` and `projector drop`.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::error::CommandError;
use super::progress::Bar;
use super::reach::{ToolArgs, connect_options};
use super::rebuild::announce;
use super::remote::ThroughArgs;
use super::{ReadModelUrl, confirmed};
use projection::ops;
use projection::ops::switch::{self, PATIENCE_SECONDS, Switched};

/// The settings of `switch-back`.
#[derive(Debug, Args)]
pub struct SwitchBackArgs {
    /// The name of the projection.
    pub(crate) projection: String,
    /// How many seconds to retry while queries hold the tables or the generation is behind.
    #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE_SECONDS)]
    pub(crate) patience: u32,
    #[command(flatten)]
    pub(crate) through: ThroughArgs,
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
}

/// The settings of `drop`.
#[derive(Debug, Args)]
pub struct DropArgs {
    /// The name of the projection.
    pub(crate) projection: String,
    /// The number of the generation.
    pub(crate) generation: i32,
    /// Do not ask for confirmation.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) through: ThroughArgs,
    #[command(flatten)]
    pub(crate) read_model: ReadModelUrl,
}

/// Switches queries back to the generation that they saw before the live one.
pub(crate) async fn switch_back(args: SwitchBackArgs) -> Result<(), CommandError> {
    let projection = super::projection(&args.projection)?;
    let switched: Switched = if let Some(remote) = args.through.remote()? {
        let arguments = json!({"patience": args.patience});
        remote.carry_out("switch", projection.name(), arguments).await?.result()?
    } else {
        let operations = args.tool.open().await?;
        let patience = Duration::from_secs(args.patience.into());
        switch::switch_back(&operations, &projection, patience, &Bar::new()).await?
    };
    announce(switched.old, projection.name(), switched.generation)
}

/// Drops a generation that queries do not see.
pub(crate) async fn drop_generation(args: DropArgs) -> Result<(), CommandError> {
    let DropArgs { projection, generation, yes, through, read_model } = args;
    let name = super::projection(&projection)?.name();
    if let Some(remote) = through.remote()? {
        confirm(name, generation, yes)?;
        let arguments = json!({"generation": generation});
        remote.carry_out("drop", name, arguments).await?.result::<Value>()?;
    } else {
        let mut connection = ops::read_model(&connect_options(&read_model.get()?)?).await?;
        switch::can_be_dropped(&mut connection, name, generation).await?;
        confirm(name, generation, yes)?;
        switch::drop_generation(&mut connection, name, generation).await?;
    }
    Ok(cli_kit::print(format!("generation {generation} of {name} is gone\n"))?)
}

fn confirm(name: &str, generation: i32, yes: bool) -> Result<(), CommandError> {
    let warning = format!(
        "The rows of generation {generation} of {name} are lost, and the way back to them."
    );
    if yes || confirmed(name, &warning)? { Ok(()) } else { Err(CommandError::NotConfirmed) }
}
