//! The processes of a stack register with NATS, and are found there by the stack tool and the
//! front. Both show the last known list while NATS is away.

use std::collections::BTreeMap;
use std::time::Duration;

use acceptance::{RunningStack, until};
use anyhow::{Context as _, Result, ensure};
use local_servers::http_get;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long a change may take to be seen, also while other tests run.
const LIMIT: Duration = Duration::from_mins(1);
const NAMES: [&str; 7] =
    ["command-api", "event-relay", "front", "process-manager", "projector", "query-api", "sandbox"];

/// A list of processes, as it is printed.
struct Listed(Value);

impl Listed {
    async fn by_tool(stack: &RunningStack) -> Result<(Listed, Value)> {
        let output = stack.output(&["status", "--json"]).await?;
        let status: Value = serde_json::from_slice(&output.stdout)?;
        Ok((Listed(status["registered"].clone()), status))
    }

    async fn by_front(stack: &RunningStack) -> Result<Listed> {
        let url = format!("{}/processes", stack.endpoints()?.admin["front"]);
        Ok(Listed(serde_json::from_str(&http_get(url).await?.text().await?)?))
    }

    fn is_current(&self) -> bool {
        self.0["is_current"] == true
    }

    /// Name and id of each process.
    fn ids(&self) -> Vec<(&str, &str)> {
        let processes = self.0["processes"].as_array().into_iter().flatten();
        let ids = processes.map(|one| (one["name"].as_str(), one["id"].as_str()));
        ids.filter_map(|(name, id)| Some((name?, id?))).collect()
    }

    fn has_exactly(&self, names: &[&str]) -> bool {
        self.is_current() && self.ids().iter().map(|(name, _)| *name).eq(names.iter().copied())
    }
}

#[tokio::test]
async fn the_processes_of_a_stack_are_found_by_nats_while_they_run() -> Result<()> {
    let stack = RunningStack::start().await?;
    let first = until("all are registered and ready", LIMIT, async || {
        let (listed, _) = Listed::by_tool(&stack).await?;
        let processes = listed.0["processes"].as_array().into_iter().flatten();
        let are_ready = processes.clone().all(|one| one["state"] == "ready");
        Ok((listed.has_exactly(&NAMES) && are_ready).then_some(listed))
    })
    .await?;
    let admin: BTreeMap<String, String> = stack.endpoints()?.admin;
    for process in first.0["processes"].as_array().context("processes")? {
        let name = process["name"].as_str().context("a name")?.replace('-', "_");
        ensure!(process["metadata"]["admin"] == *admin[&name], "{process}");
        ensure!(process["version"].is_string() && process["since"].is_string(), "{process}");
    }

    let id_of = |listed: &Listed| {
        let found = listed.ids().into_iter().find(|(name, _)| *name == "projector");
        found.map(|(_, id)| id.to_owned())
    };
    let before = id_of(&first).context("the projector")?;
    let pid = stack.endpoints()?.pids["projector"];
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL)?;
    until("the killed one is gone, and its successor is there", LIMIT, async || {
        let (listed, _) = Listed::by_tool(&stack).await?;
        let is_other = id_of(&listed).is_some_and(|id| id != before);
        Ok((listed.has_exactly(&NAMES) && is_other).then_some(()))
    })
    .await?;

    stack.run(&["stop", "sandbox"]).await?;
    let without = NAMES.map(|name| if name == "sandbox" { "" } else { name });
    let without: Vec<&str> = without.into_iter().filter(|name| !name.is_empty()).collect();
    until("a stopped one has left", LIMIT, async || {
        Ok(Listed::by_front(&stack).await?.has_exactly(&without).then_some(()))
    })
    .await?;

    stack.run(&["stop", "nats"]).await?;
    until("the front says that its list is the last known one", LIMIT, async || {
        Ok((!Listed::by_front(&stack).await?.is_current()).then_some(()))
    })
    .await?;
    let (last, status) = Listed::by_tool(&stack).await?;
    ensure!(!last.is_current() && last.0["reason"].is_string(), "{}", last.0);
    ensure!(last.ids().len() == without.len() && last.0["age_seconds"].is_u64(), "{}", last.0);
    for process in status["processes"].as_array().context("processes")? {
        let may_wait = ["nats", "sandbox", "event-relay"];
        let is_ready = process["ready"] == true;
        ensure!(is_ready || may_wait.iter().any(|name| process["name"] == *name), "{process}");
    }
    let told = String::from_utf8(stack.output(&["status"]).await?.stdout)?;
    ensure!(told.contains("last known list"), "{told}");

    stack.run(&["start", "nats"]).await?;
    stack.run(&["start", "sandbox"]).await?;
    until("all are registered again", LIMIT, async || {
        let (by_tool, _) = Listed::by_tool(&stack).await?;
        let by_front = Listed::by_front(&stack).await?;
        Ok((by_tool.has_exactly(&NAMES) && by_front.has_exactly(&NAMES)).then_some(()))
    })
    .await
}
