//! `projector verify`.

use clap::Args;
use serde_json::json;

use super::error::CommandError;
use super::progress::Bar;
use super::reach::ToolArgs;
use super::remote::ThroughArgs;
use projection::ops::verify::{self, Scope, Verification};
use projection::replay::{MIB, ROW_MEMORY_MIB};

/// The settings of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The name of the projection.
    pub(crate) projection: String,
    /// The share of the keys to verify, selected by a hash: `5%` or `0.05`; by default all.
    #[arg(long, value_parser = parse_share)]
    pub(crate) sample: Option<f64>,
    /// Selects the keys of the sample; the same seed selects the same keys.
    #[arg(long, default_value = "")]
    pub(crate) seed: String,
    /// The memory limit for folded rows, in MiB; more rows go to temporary tables.
    #[arg(long, default_value_t = ROW_MEMORY_MIB)]
    pub(crate) memory: usize,
    /// Print personal values in the rows that differ.
    #[arg(long)]
    pub(crate) reveal: bool,
    /// Print JSON instead of a text for people.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) through: ThroughArgs,
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let (number, of) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 100.0));
    let share =
        number.parse::<f64>().map(|number| number / of).map_err(|error| error.to_string())?;
    if share > 0.0 && share <= 1.0 {
        Ok(share)
    } else {
        Err("expected a share: more than 0, at most 100%".to_owned())
    }
}

/// Verifies a projection, and prints the result.
pub(crate) async fn verify(args: VerifyArgs) -> Result<(), CommandError> {
    let projection = super::projection(&args.projection)?;
    let found = if let Some(remote) = args.through.remote_hiding(args.reveal)? {
        let arguments = json!({"sample": args.sample, "seed": args.seed, "memory": args.memory});
        remote.carry_out("verify", projection.name(), arguments).await?.result()?
    } else {
        let operations = args.tool.open().await?;
        let scope = Scope {
            sample: args.sample,
            seed: args.seed,
            memory: args.memory.saturating_mul(MIB),
            reveal: args.reveal,
        };
        verify::verify(&operations, &projection, &scope, &Bar::new()).await?
    };
    let text =
        if args.json { serde_json::to_string_pretty(&found)? + "\n" } else { in_words(&found) };
    cli_kit::print(text)?;
    if found.differences.count() > 0 { Err(CommandError::Differs(args.projection)) } else { Ok(()) }
}

fn in_words(found: &Verification) -> String {
    let Verification { projection, generation, position, differences, .. } = found;
    format!("{projection} g{generation} at position {position}: {differences}")
}
