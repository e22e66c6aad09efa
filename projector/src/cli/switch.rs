//! `projector switch-back` and `projector drop`.

use std::time::Duration;

use clap::Args;

use super::error::CommandError;
use super::progress::Bar;
use super::reach::{ToolArgs, connect_options};
use super::rebuild::announce;
use super::{ReadModelUrl, confirmed};
use projection::ops;
use projection::ops::switch::{self, PATIENCE_SECONDS};

/// Settings of `switch-back`.
#[derive(Debug, Args)]
pub struct SwitchBackArgs {
    /// Which projection.
    pub(crate) projection: String,
    /// For how many seconds to try, while queries hold the tables or the generation is behind.
    #[arg(long, default_value_t = PATIENCE_SECONDS)]
    pub(crate) patience: u32,
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
}

/// Settings of `drop`.
#[derive(Debug, Args)]
pub struct DropArgs {
    /// Which projection.
    pub(crate) projection: String,
    /// Which generation of it.
    pub(crate) generation: i32,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) read_model: ReadModelUrl,
}

/// Lets queries see the generation again that they saw before.
pub(crate) async fn switch_back(args: SwitchBackArgs) -> Result<(), CommandError> {
    let projection = super::projection(&args.projection)?;
    let operations = args.tool.open().await?;
    let patience = Duration::from_secs(args.patience.into());
    let switched = switch::switch_back(&operations, &projection, patience, &Bar::new()).await?;
    announce(switched.old, projection.name(), switched.generation)
}

/// Removes a generation that queries do not see.
pub(crate) async fn drop_generation(args: DropArgs) -> Result<(), CommandError> {
    let DropArgs { projection, generation, yes, read_model } = args;
    let name = super::projection(&projection)?.name();
    let mut connection = ops::read_model(&connect_options(&read_model.get()?)?).await?;
    switch::can_be_dropped(&mut connection, name, generation).await?;
    let warning = format!(
        "The rows of generation {generation} of {name} are lost, and the way back to them."
    );
    if !yes && !confirmed(name, &warning)? {
        return Err(CommandError::NotConfirmed);
    }
    switch::drop_generation(&mut connection, name, generation).await?;
    Ok(cli_kit::print(format!("generation {generation} of {name} is gone\n"))?)
}
