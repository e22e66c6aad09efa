//! `up`: starts the whole system. In the foreground it stays and shows the logs; with `--detach` it
//! leaves a supervisor running.

mod detached;
mod supervise;

use std::process::ExitCode;

use anyhow::Context;

use crate::build::{self, Build, Programs};
use crate::choose::{self, Wanted};
use crate::cli::{ImportArgs, SuperviseArgs, UpArgs};
use crate::down::running;
use crate::endpoints::Endpoints;
use crate::layout::Layout;
use crate::secrets::{KeyFiles, Passwords};
use crate::shown::show;
use crate::supervisor::LogView;
use crate::{administrator, down, status};

/// Starts the stack. A running stack keeps running, unless it runs other builds than the current
/// ones: rebuilt since, or in another folder.
pub async fn run(layout: &Layout, args: &UpArgs) -> anyhow::Result<ExitCode> {
    let mut programs = None;
    if layout.lock()?.is_none() {
        let endpoints = Endpoints::read(layout)
            .context("another `cargo stack` is starting or stopping the stack")?;
        let other = other_programs(layout, programs.insert(self::programs(layout, args)?))?;
        if other.is_empty() {
            anyhow::ensure!(
                !args.rabbitmq || endpoints.rabbitmq.is_some(),
                "the stack runs without RabbitMQ: run `cargo stack down` first"
            );
            progress("the stack is already running");
            show(&endpoints, args.output.json)?;
            return once_ready(layout, args).await;
        }
        let other = other.join(", ");
        progress(&format!("the running stack has other builds of {other} than the current ones"));
        progress("stopping it, to start the current builds");
        down::stop(layout).await?;
    }
    // Missing prerequisites are reported now, in the foreground, before anything starts.
    progress("looking for PostgreSQL and nats-server");
    let wanted = Wanted { bundled: args.bundled, rabbitmq: args.rabbitmq };
    let servers = choose::choose(layout, wanted)?;
    progress(&format!("using {} and {}", servers.postgres.bin().display(), servers.nats.display()));
    KeyFiles::ensure()?;
    Passwords::ensure(layout)?;
    let programs = programs.map_or_else(|| self::programs(layout, args), Ok)?;
    progress("starting");
    if args.detach {
        let endpoints = detached::start(layout, args, &programs).await?;
        show(&endpoints, args.output.json)?;
        return once_ready(layout, args).await;
    }
    foreground(layout, args, wanted, programs).await
}

async fn foreground(
    layout: &Layout,
    args: &UpArgs,
    wanted: Wanted,
    programs: Programs,
) -> anyhow::Result<ExitCode> {
    let (samples, for_import, json) = (args.clone(), layout.clone(), args.output.json);
    supervise::run(layout, wanted, programs, LogView::Merged, move |endpoints| {
        match show(endpoints, json) {
            // Nothing reads the output any more, which is no reason to stop the processes.
            Err(error) if cli_kit::is_reader_gone(error.as_ref()) => {}
            shown => shown?,
        }
        progress("press Ctrl-C to stop everything");
        tokio::spawn(async move {
            if let Err(error) = once_ready(&for_import, &samples).await {
                eprintln!("stack: {error:#}");
            }
        });
        Ok(())
    })
    .await
}

/// The processes whose programs were rebuilt since their start, or are in another folder.
fn other_programs(layout: &Layout, programs: &Programs) -> anyhow::Result<Vec<&'static str>> {
    let Some(file) = running(layout)? else { return Ok(Vec::new()) };
    let mut other = Vec::new();
    for name in build::PROCESSES {
        let path = programs.path(name);
        let there =
            Build::of(&path).with_context(|| format!("there is no program {}", path.display()))?;
        let runs = file.processes.get(name).and_then(|running| running.program);
        // A stopped process runs no program.
        other.extend(runs.filter(|runs| *runs != there).map(|_| name));
    }
    Ok(other)
}

/// Runs the supervisor that `up --detach` leaves behind.
pub async fn supervise(layout: &Layout, args: SuperviseArgs) -> anyhow::Result<ExitCode> {
    let mut programs = Programs::in_folder(&args.programs)?;
    programs.profile = args.profile;
    let wanted = Wanted { bundled: args.bundled, rabbitmq: args.rabbitmq };
    supervise::run(layout, wanted, programs, LogView::Hidden, |_| Ok(())).await
}

fn programs(layout: &Layout, args: &UpArgs) -> anyhow::Result<Programs> {
    if let Some(folder) = &args.programs {
        return Programs::in_folder(folder);
    }
    progress(&format!("building the processes ({})", args.profile));
    build::processes(layout, &args.profile)
}

/// Finishes `up` when all processes are ready. If one is not, it reports why; the stack keeps
/// running, so that the cause can be fixed.
async fn once_ready(layout: &Layout, args: &UpArgs) -> anyhow::Result<ExitCode> {
    if !status::tell_not_ready(layout).await? {
        return Ok(ExitCode::FAILURE);
    }
    administrator::ensure(layout).await?;
    if !args.sample {
        return Ok(ExitCode::SUCCESS);
    }
    let import = ImportArgs { file: None, in_flight: 64, patience: 180, output: args.output };
    crate::import::run(layout, &import).await.context("the sample was not imported")
}

fn progress(text: &str) {
    eprintln!("stack: {text}");
}
