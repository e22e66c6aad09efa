//! `up`: from nothing to a running system. In the foreground it stays and shows the logs; with `--detach` it leaves a supervisor.

mod detached;
mod supervise;

use std::process::ExitCode;

use comfy_table::Table;

use crate::build::{self, Programs};
use crate::choose;
use crate::cli::{ImportArgs, SuperviseArgs, UpArgs};
use crate::endpoints::Endpoints;
use crate::layout::Layout;
use crate::output::answer;
use crate::secrets::{KeyFiles, Passwords};
use crate::supervisor::LogView;

/// Brings the stack up.
pub async fn run(layout: &Layout, args: &UpArgs) -> anyhow::Result<ExitCode> {
    if layout.lock()?.is_none() {
        return already_up(layout, args).await;
    }
    // Whatever is missing is said now, in the foreground, before anything is started.
    progress("looking for PostgreSQL and nats-server");
    let servers = choose::choose(layout, args.bundled)?;
    progress(&format!("using {} and {}", servers.postgres.bin().display(), servers.nats.display()));
    KeyFiles::ensure()?;
    Passwords::ensure(layout)?;
    let programs = programs(layout, args)?;
    progress("starting");
    if args.detach {
        let endpoints = detached::start(layout, args, &programs).await?;
        show(&endpoints, args.output.json)?;
        return sample(layout, args).await;
    }
    let (samples, for_import, json) = (args.clone(), layout.clone(), args.output.json);
    supervise::run(layout, args.bundled, programs, LogView::Merged, move |endpoints| {
        show(endpoints, json)?;
        progress("press Ctrl-C to stop all of it");
        tokio::spawn(async move {
            if let Err(error) = sample(&for_import, &samples).await {
                eprintln!("stack: the sample was not imported: {error:#}");
            }
        });
        Ok(())
    })
    .await
}

/// Runs as the supervisor that `up --detach` leaves behind.
pub async fn supervise(layout: &Layout, args: SuperviseArgs) -> anyhow::Result<ExitCode> {
    let programs = Programs::in_folder(&args.programs)?;
    supervise::run(layout, args.bundled, programs, LogView::Hidden, |_| Ok(())).await
}

fn programs(layout: &Layout, args: &UpArgs) -> anyhow::Result<Programs> {
    if let Some(folder) = &args.programs {
        return Programs::in_folder(folder);
    }
    progress(&format!("building the processes ({})", args.profile));
    build::processes(layout, &args.profile)
}

async fn already_up(layout: &Layout, args: &UpArgs) -> anyhow::Result<ExitCode> {
    let Ok(endpoints) = Endpoints::read(layout) else {
        anyhow::bail!("the stack is being started or stopped by another `cargo stack`: see `cargo stack logs stack`");
    };
    progress("the stack is up already");
    show(&endpoints, args.output.json)?;
    sample(layout, args).await
}

async fn sample(layout: &Layout, args: &UpArgs) -> anyhow::Result<ExitCode> {
    if !args.sample {
        return Ok(ExitCode::SUCCESS);
    }
    let import = ImportArgs { file: None, in_flight: 64, patience: 180, output: args.output };
    crate::import::run(layout, &import).await
}

fn progress(text: &str) {
    eprintln!("stack: {text}");
}

/// Prints where everything is: without passwords for people, as `endpoints.json` for programs.
pub fn show(endpoints: &Endpoints, json: bool) -> anyhow::Result<()> {
    if json {
        answer(serde_json::to_string_pretty(endpoints)?);
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(["", "where", "admin (livez, readyz, metrics)"]);
    table.add_row(["command-api", &endpoints.command_api, &endpoints.admin.command_api]);
    table.add_row(["query-api", &endpoints.query_api, &endpoints.admin.query_api]);
    table.add_row(["event-relay", "", &endpoints.admin.event_relay]);
    table.add_row(["projector", "", &endpoints.admin.projector]);
    table.add_row(["PostgreSQL", &without_password(&endpoints.postgres), "cargo stack psql"]);
    table.add_row(["NATS", &without_password(&endpoints.nats), ""]);
    answer(table);
    Ok(())
}

fn without_password(address: &str) -> String {
    let parts = || {
        let (scheme, rest) = address.split_once("://")?;
        let (user, host) = rest.split_once('@')?;
        Some(format!("{scheme}://{}@{host}", user.split(':').next()?))
    };
    parts().unwrap_or_default()
}
