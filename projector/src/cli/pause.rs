//! `projector pause` and `projector resume`.

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::error::CommandError;
use super::remote::{AdminArgs, Remote};
use projection::pause::{Pause, Paused};

/// The settings of `pause` and `resume`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The name of the projection.
    projection: String,
    /// Who asks for it, for the record. Needed unless an access token says it.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Why, for the record.
    #[arg(long, value_name = "WHY")]
    reason: String,
    #[command(flatten)]
    admin: AdminArgs,
}

/// The result of the operation `resume`.
#[derive(Deserialize)]
struct Resumed {
    /// The pause that ended; `None` if the projection was not paused.
    ended: Option<Pause>,
}

impl PauseArgs {
    fn remote(self) -> Result<(Remote, &'static str), CommandError> {
        let name = super::projection(&self.projection)?.name();
        Ok((Remote::new(self.admin.reach()?, self.by, self.reason), name))
    }
}

/// Pauses a projection.
pub(crate) async fn pause(args: PauseArgs) -> Result<(), CommandError> {
    let (remote, name) = args.remote()?;
    let paused: Paused = remote.carry_out("pause", name, json!({})).await?.result()?;
    let Paused { pause, at_rest, position } = paused;
    let how_far = if at_rest {
        format!(" at position {position}")
    } else {
        "; a process that does not answer may still finish a batch".to_owned()
    };
    let by = cli_kit::visible(&pause.paused_by);
    let reason = cli_kit::visible(&pause.reason);
    Ok(cli_kit::print(format!("{name} is paused by {by} ({reason}){how_far}\n"))?)
}

/// Resumes a projection.
pub(crate) async fn resume(args: PauseArgs) -> Result<(), CommandError> {
    let (remote, name) = args.remote()?;
    let resumed: Resumed = remote.carry_out("resume", name, json!({})).await?.result()?;
    let said = match resumed.ended {
        Some(pause) => format!("{name} goes on; {} had paused it\n", pause.paused_by),
        None => format!("{name} was not paused\n"),
    };
    Ok(cli_kit::print(said)?)
}
