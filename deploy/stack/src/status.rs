//! `status`: shows what runs, where, and whether it is ready. The exit code is 1 if something is
//! not.

use std::process::ExitCode;

use anyhow::Context;
use comfy_table::Table;
use serde_json::json;

use crate::down::running;
use crate::endpoints::Endpoints;
use crate::layout::Layout;
use crate::output::answer;
use crate::shown::show;
use crate::supervisor::{NotReady, Probe, Readiness, Running, RunningFile};

/// Prints the status.
pub async fn run(layout: &Layout, json: bool) -> anyhow::Result<ExitCode> {
    let (Ok(endpoints), Some(running)) = (Endpoints::read(layout), running(layout)?) else {
        if json {
            answer(json!({ "up": false, "processes": [] }))?;
        } else {
            eprintln!("stack: it is not running: run `cargo stack up`");
        }
        return Ok(ExitCode::FAILURE);
    };
    let rows = states(layout, &endpoints, &running).await?;
    let all_ready = rows.iter().all(|(_, _, state)| state.is_ok());
    if json {
        let processes = rows.iter().map(|(name, process, state)| {
            let why = state.as_ref().err();
            json!({ "name": name, "pid": process.pid(), "restarts": process.restarts,
                "ready": state.is_ok(), "reason": why.map(|why| &why.why),
                "needs_action": why.is_some_and(|why| why.needs_action) })
        });
        let processes: Vec<_> = processes.collect();
        answer(serde_json::to_string_pretty(
            &json!({ "up": true, "ready": all_ready, "processes": processes }),
        )?)?;
    } else {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
        table.set_header(["", "pid", "restarts", "state"]);
        for (name, process, state) in &rows {
            let pid = process.pid().map_or_else(String::new, |pid| pid.to_string());
            let state = state
                .as_ref()
                .map_or_else(|why| format!("not ready: {why}"), |()| "ready".to_owned());
            table.add_row([(*name).to_owned(), pid, process.restarts.to_string(), state]);
        }
        answer(table)?;
        show(&endpoints, false)?;
    }
    Ok(if all_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints the processes that are not ready to stderr, with reasons. Returns whether all are ready.
pub(crate) async fn tell_not_ready(layout: &Layout) -> anyhow::Result<bool> {
    let endpoints = Endpoints::read(layout)?;
    let running = running(layout)?.context("the stack is not up: run `cargo stack up`")?;
    let mut all_ready = true;
    for (name, _, state) in states(layout, &endpoints, &running).await? {
        if let Err(why) = state {
            all_ready = false;
            eprintln!("stack: {name} is not ready: {why}");
        }
    }
    if !all_ready {
        eprintln!("stack: it keeps running; see `cargo stack status` and `cargo stack logs NAME`");
    }
    Ok(all_ready)
}

type Row<'r> = (&'r str, &'r Running, Result<(), NotReady>);

/// The state of each process.
async fn states<'r>(
    layout: &Layout,
    endpoints: &Endpoints,
    running: &'r RunningFile,
) -> anyhow::Result<Vec<Row<'r>>> {
    let probe = Probe::new()?;
    let mut rows = Vec::new();
    for (name, process) in &running.processes {
        let state = match (readiness(layout, endpoints, name), process.pid()) {
            (Some(readiness), Some(pid)) => probe.check(&readiness, pid).await,
            (_, None) if layout.resting().join(name).exists() => Err(NotReady {
                why: format!("stopped: `cargo stack start {name}` starts it"),
                needs_action: true,
            }),
            (_, None) => Err(NotReady::now("it ended and will be restarted")),
            (None, Some(_)) => Ok(()),
        };
        rows.push((name.as_str(), process, state));
    }
    Ok(rows)
}

/// How to check that a service is ready.
pub fn readiness(layout: &Layout, endpoints: &Endpoints, name: &str) -> Option<Readiness> {
    if let Some((_, admin)) =
        endpoints.admin_ports().into_iter().find(|(process, _)| *process == name)
    {
        return Some(Readiness::Http(admin.to_owned()));
    }
    match name {
        "postgres" => Some(Readiness::Postmaster(layout.postgres_data())),
        "nats" => endpoints
            .nats
            .rsplit(':')
            .next()?
            .parse()
            .ok()
            .map(|port| Readiness::Nats(port, layout.name())),
        "rabbitmq" => {
            let address = endpoints.rabbitmq.as_ref()?;
            let port = address.rsplit(':').next()?.parse().ok()?;
            Some(Readiness::RabbitMq(port, layout.name()))
        }
        _ => None,
    }
}
