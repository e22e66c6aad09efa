//! `up --detach`: starts a supervisor in the background and waits for its result.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::build::Programs;
use crate::cli::UpArgs;
use crate::endpoints::Endpoints;
use crate::layout::{Layout, open_private, private_folder};
use crate::supervisor::READY_LIMIT;

const POLL: Duration = Duration::from_millis(50);
/// The worst case: three servers and seven processes, one after another.
const LIMIT: Duration = Duration::from_secs(10 * READY_LIMIT.as_secs());
const SHOWN_LINES: usize = 20;

/// Starts the supervisor. Waits until everything is ready, or until waiting longer is useless.
pub(super) async fn start(
    layout: &Layout,
    args: &UpArgs,
    programs: &Programs,
) -> anyhow::Result<Endpoints> {
    let log_path = layout.log("stack");
    private_folder(&layout.logs())?;
    let log = open_private(File::options().create(true).truncate(true).write(true), &log_path)?;
    let mut command =
        Command::new(std::env::current_exe().context("cannot find this program's file")?);
    command
        .arg("--dir")
        .arg(&layout.state)
        .arg("supervise")
        .arg("--programs")
        .arg(&programs.folder);
    if let Some(profile) = &programs.profile {
        command.arg("--profile").arg(profile);
    }
    if args.bundled {
        command.arg("--bundled");
    }
    if args.rabbitmq {
        command.arg("--rabbitmq");
    }
    // The supervisor has its own process group and no input, so Ctrl-C or a closed terminal does
    // not reach it.
    command
        .current_dir(&layout.root)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    let mut supervisor = command.spawn().context("cannot start the supervisor")?;
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = supervisor.try_wait()? {
            let text = std::fs::read_to_string(&log_path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
            anyhow::bail!("the stack did not start ({status}):\n{end}");
        }
        // A file of another supervisor says nothing about this one.
        let ready = Endpoints::read(layout)
            .ok()
            .filter(|endpoints| endpoints.holder.supervisor.pid == supervisor.id());
        if let Some(endpoints) = ready {
            return Ok(endpoints);
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "the stack did not start in time; see {}",
            log_path.display()
        );
        tokio::time::sleep(POLL).await;
    }
}
