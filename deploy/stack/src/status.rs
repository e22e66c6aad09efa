//! `status`: what runs, where, and whether it is ready. Exit code 1 when something is not.

use std::process::ExitCode;

use comfy_table::Table;
use serde_json::json;

use crate::down::running;
use crate::endpoints::Endpoints;
use crate::layout::Layout;
use crate::output::answer;
use crate::supervisor::{Probe, Readiness};

/// Prints the status.
pub async fn run(layout: &Layout, json: bool) -> anyhow::Result<ExitCode> {
    let (Ok(endpoints), Some(running)) = (Endpoints::read(layout), running(layout)?) else {
        if json {
            answer(json!({ "up": false, "processes": [] }))?;
        } else {
            eprintln!("stack: it is not up: run `cargo stack up`");
        }
        return Ok(ExitCode::FAILURE);
    };
    let probe = Probe::new()?;
    let mut rows = Vec::new();
    for (name, process) in &running.processes {
        let state = match (readiness(layout, &endpoints, name), process.pid()) {
            (Some(readiness), Some(pid)) => probe.check(&readiness, pid).await,
            (_, None) if layout.resting().join(name).exists() => {
                Err(format!("stopped: `cargo stack start {name}` starts it"))
            }
            (_, None) => Err("it ended and will be started again".to_owned()),
            (None, Some(_)) => Ok(()),
        };
        rows.push((name.as_str(), process, state));
    }
    let all_ready = rows.iter().all(|(_, _, state)| state.is_ok());
    if json {
        let processes = rows.iter().map(|(name, process, state)| {
            json!({ "name": name, "pid": process.pid(), "restarts": process.restarts,
                "ready": state.is_ok(), "reason": state.as_ref().err() })
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
        crate::up::show(&endpoints, false)?;
    }
    Ok(if all_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How to tell that a service is ready.
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
        _ => None,
    }
}
