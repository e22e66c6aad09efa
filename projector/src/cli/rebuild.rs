//! `projector rebuild`.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::error::CommandError;
use super::progress::Bar;
use super::reach::ToolArgs;
use super::remote::ThroughArgs;
use projection::AnyProjection;
use projection::ops::rebuild::{self, Compared, End, Rebuilt, Request};
use projection::ops::switch::PATIENCE_SECONDS;
use projection::replay::{MIB, ROW_MEMORY_MIB};

/// The settings of `rebuild`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub struct RebuildArgs {
    /// The name of the projection.
    pub(crate) projection: String,
    /// Resume a rebuild that was paused, killed, or built without switching.
    #[arg(long, conflicts_with = "pause")]
    pub(crate) resume: bool,
    /// Ask the running rebuild to save its work and end.
    #[arg(long)]
    pub(crate) pause: bool,
    /// The number of partitions, which projector processes share; by default as before.
    #[arg(long, conflicts_with_all = ["resume", "pause"])]
    pub(crate) partitions: Option<i32>,
    /// Only estimate time and disk, from the first events of the log.
    #[arg(long, conflicts_with_all = ["resume", "pause"])]
    pub(crate) dry_run: bool,
    /// The maximum number of events per second.
    #[arg(long, value_name = "EVENTS_PER_SECOND")]
    pub(crate) throttle: Option<NonZeroU32>,
    /// Do not switch queries to the new generation; `--resume` switches later.
    #[arg(long)]
    pub(crate) no_switch: bool,
    /// Do not compare with the live rows.
    #[arg(long)]
    pub(crate) no_compare: bool,
    /// Switch even if rows of the same fold version differ, because the live ones are wrong.
    #[arg(long)]
    pub(crate) despite_differences: bool,
    /// How many seconds to retry the switch while queries hold the tables.
    #[arg(long, default_value_t = PATIENCE_SECONDS)]
    pub(crate) patience: u32,
    /// The memory limit for folded rows, in MiB.
    #[arg(long, default_value_t = ROW_MEMORY_MIB)]
    pub(crate) memory: usize,
    /// Print personal values in the rows that differ.
    #[arg(long)]
    pub(crate) reveal: bool,
    #[command(flatten)]
    pub(crate) through: ThroughArgs,
    #[command(flatten)]
    pub(crate) tool: ToolArgs,
}

impl RebuildArgs {
    /// The arguments of the operation `rebuild`.
    fn arguments(&self) -> Value {
        json!({
            "resume": self.resume,
            "partitions": self.partitions,
            "throttle": self.throttle,
            "no_switch": self.no_switch,
            "no_compare": self.no_compare,
            "despite_differences": self.despite_differences,
            "patience": self.patience,
            "memory": self.memory,
        })
    }
}

/// Rebuilds a projection, pauses its rebuild, or estimates one.
pub(crate) async fn rebuild(args: RebuildArgs) -> Result<(), CommandError> {
    let projection = super::projection(&args.projection)?;
    let name = projection.name();
    if args.pause {
        rebuild::pause(&mut args.tool.read_model().await?, name).await?;
        return said(format!(
            "the rebuild of {name} will pause; `projector rebuild {name} --resume` goes on with it"
        ));
    }
    if args.dry_run {
        let estimate = rebuild::estimate(&args.tool.open().await?, &projection).await?;
        return Ok(cli_kit::print(estimate.to_string())?);
    }
    let rebuilt = match args.through.remote_hiding(args.reveal)? {
        Some(remote) => {
            let operation = remote.carry_out("rebuild", name, args.arguments()).await?;
            operation.result()?
        }
        None => here(&args, &projection).await?,
    };
    show(name, &rebuilt)
}

/// Rebuilds in this process.
async fn here(
    args: &RebuildArgs,
    projection: &Arc<dyn AnyProjection>,
) -> Result<Rebuilt, CommandError> {
    let operations = args.tool.open().await?;
    let request = Request {
        resume: args.resume,
        partitions: args.partitions,
        throttle: args.throttle,
        switch: !args.no_switch,
        compare: !args.no_compare,
        despite_differences: args.despite_differences,
        patience: Duration::from_secs(args.patience.into()),
        memory: args.memory.saturating_mul(MIB),
        reveal: args.reveal,
        operation: None,
    };
    Ok(rebuild::rebuild(&operations, projection, &request, &Bar::new()).await?)
}

fn show(name: &str, rebuilt: &Rebuilt) -> Result<(), CommandError> {
    if let Some(compared) = &rebuilt.compared {
        show_comparison(compared)?;
    }
    let generation = rebuilt.generation;
    match rebuilt.end {
        End::Switched(old) => announce(old, name, generation),
        End::Built => said(format!(
            "generation {generation} of {name} is built; `projector rebuild {name} --resume` lets \
                it take the live one's place"
        )),
        End::Differs => Err(CommandError::Differs(name.to_owned())),
        End::Paused(at) => {
            said(format!("paused at position {at}; `projector rebuild {name} --resume` goes on"))
        }
    }
}

fn show_comparison(compared: &Compared) -> Result<(), CommandError> {
    match compared {
        Compared::OtherHistory(live) => {
            said(format!("not compared: the live generation {live} was made from another history"))
        }
        Compared::OtherFold(live, behind) => said(format!(
            "not compared, since another fold made the live generation {live}: {behind}"
        )),
        Compared::Rows { live, differences, by_another_fold } => {
            let mut out = cli_kit::stdout();
            write!(out, "compared with the live generation {live}: {differences}")?;
            if *by_another_fold && differences.count() > 0 {
                writeln!(
                    out,
                    "another fold or other tables made the live rows: differences are expected"
                )?;
            }
            Ok(())
        }
    }
}

/// Prints the result of a switch.
pub(super) fn announce(
    old: Option<i32>,
    projection: &str,
    generation: i32,
) -> Result<(), CommandError> {
    said(format!("queries see generation {generation} of {projection} now"))?;
    let Some(old) = old else { return Ok(()) };
    said(format!(
        "generation {old} goes on as a standby: `projector switch-back {projection}` shows it \
            again, `projector drop {projection} {old}` removes it"
    ))
}

fn said(text: String) -> Result<(), CommandError> {
    Ok(cli_kit::print(text + "\n")?)
}
