//! `projector verify`.

use clap::Args;
use serde_json::json;

use super::error::CommandError;
use super::progress::Bar;
use super::reach::ToolArgs;
use super::remote::{ThroughArgs, result_of};
use projection::ops::verify::{self, Scope, Verification};
use projection::replay::{MIB, ROW_MEMORY_MIB};

/// Settings of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Which projection.
    pub(crate) projection: String,
    /// Only a share of the keys, chosen by a hash: `5%` or `0.05`.
    #[arg(long, value_parser = parse_share)]
    pub(crate) sample: Option<f64>,
    /// Chooses which keys are in the sample; the same seed chooses the same keys.
    #[arg(long, default_value = "")]
    pub(crate) seed: String,
    /// How much memory the folded rows may take, in MiB; what is more goes to temporary tables.
    #[arg(long, default_value_t = ROW_MEMORY_MIB)]
    pub(crate) memory: usize,
    /// Print personal values in the rows that differ.
    #[arg(long)]
    pub(crate) reveal: bool,
    /// Print JSON.
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
        Err("a share is more than 0 and at most 100%".to_owned())
    }
}

/// Verifies, and prints what it found.
pub(crate) async fn verify(args: VerifyArgs) -> Result<(), CommandError> {
    let projection = super::projection(&args.projection)?;
    let found = if let Some(remote) = args.through.remote_hiding(args.reveal)? {
        let arguments = json!({"sample": args.sample, "seed": args.seed, "memory": args.memory});
        result_of(&remote.carry_out("verify", projection.name(), arguments).await?)?
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
