//! The stack tool manages only its own stack. It ignores one whose folder was copied or that a
//! killed supervisor left behind, and restarts one with outdated programs. Only the owner can read
//! its files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use acceptance::{Endpoints, RunningStack, cpu_time, enterable_folder, program, stack_tool, until};
use anyhow::{Context, Result, ensure};
use local_servers::{finish, finish_async};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::StatusCode;
use serde_json::{Value, json};

/// The limit includes creating a cluster and starting all processes, possibly while other tests
/// run.
const LIMIT: Duration = Duration::from_mins(3);
const PROGRAMS: [&str; 9] = [
    "command-api",
    "query-api",
    "event-relay",
    "projector",
    "front",
    "event-store",
    "process-manager",
    "webhooks",
    "sandbox",
];

/// Runs a command to completion.
async fn end(mut command: Command, arguments: &[&str]) -> Result<Output> {
    command.args(arguments);
    Ok(finish_async(&mut command.into(), LIMIT).await?)
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test]
async fn a_copy_of_a_running_stacks_folder_neither_stops_nor_uses_the_original() -> Result<()> {
    let stack = RunningStack::start().await?;
    let before = stack.endpoints()?.pids;
    let in_copy = async |arguments: &[&str]| {
        let copy = enterable_folder()?;
        let state = copy.path().join("state");
        // A file of the running cluster may vanish meanwhile.
        let copied =
            finish(Command::new("cp").arg("-a").arg(stack.directory()).arg(&state), LIMIT)?;
        ensure!(state.join("running.json").is_file(), "{}", said(&copied));
        end(stack_tool(&state)?, arguments).await
    };
    for (arguments, words) in [
        (&["status"][..], "not running"),
        (&["stop", "projector"], "was copied from"),
        (&["run", "event-store", "status"], "was copied from"),
        (&["psql", "-c", "SELECT 1"], "was copied from"),
        (&["up", "--detach", "--programs", &programs()?], "was copied from"),
    ] {
        let refused = in_copy(arguments).await?;
        ensure!(
            !refused.status.success(),
            "{arguments:?} worked on the original: {}",
            said(&refused)
        );
        ensure!(said(&refused).contains(words), "{arguments:?}: {}", said(&refused));
    }
    let down = in_copy(&["down"]).await?;
    ensure!(down.status.success() && said(&down).contains("it was not running"), "{}", said(&down));

    assert_eq!(stack.endpoints()?.pids, before, "an original process was ended");
    let product =
        json!({"name": "Blue Train", "unit_price": "14.67", "currency": "USD", "stock": 12});
    stack.client()?.post("/api/v1/products", &product).await?.expect(StatusCode::CREATED)?;
    Ok(())
}

#[tokio::test]
async fn up_waits_for_its_stack_and_restarts_one_of_older_programs() -> Result<()> {
    let stack = Detached::new()?;
    stack.up().await?;
    let first = stack.pids()?;

    let supervisor = stack.endpoints()?["supervisor"]["pid"].as_i64().context("a supervisor")?;
    kill(Pid::from_raw(i32::try_from(supervisor)?), Signal::SIGKILL)?;
    // Until the system has ended the process, the stack counts as running.
    let lock = fs::File::open(stack.state().join("lock"))?;
    until("the supervisor has ended", LIMIT, async || Ok(lock.try_lock().is_ok().then_some(())))
        .await?;
    drop(lock);
    stack.up().await?;
    let second = stack.pids()?;
    for (name, pid) in &second {
        ensure!(first[name] != *pid, "{name} is still the one of the killed supervisor");
    }
    stack.is_ready().await?;

    let up = stack.up().await?;
    ensure!(said(&up).contains("is already running"), "{}", said(&up));
    assert_eq!(stack.pids()?, second);

    stack.renew_program("projector")?;
    let up = stack.up().await?;
    ensure!(said(&up).contains("other builds of projector"), "{}", said(&up));
    ensure!(stack.pids()?["projector"] != second["projector"], "the older projector still runs");
    stack.is_ready().await
}

#[tokio::test]
async fn only_its_owner_reads_what_a_stack_keeps_and_it_reads_no_certificates() -> Result<()> {
    let mut stack = Detached::new()?;
    // A process that opens this file waits forever, because nothing writes to it.
    let certificates = stack.folder.path().join("certificates");
    nix::unistd::mkfifo(&certificates, nix::sys::stat::Mode::S_IRWXU)?;
    stack.certificates = Some(certificates);
    stack.up().await?;
    let status = end(stack.tool()?, &["status"]).await?;
    ensure!(status.status.success(), "{}", said(&status));
    end(stack.tool()?, &["stop", "projector"]).await?;

    let (mut open, mut names) = (Vec::new(), Vec::new());
    visit(&stack.state(), &mut |path, mode| {
        names.push(path.to_owned());
        // As root, the database's account can traverse the stack's folder to its own folder, but
        // cannot list it.
        let others = if path == stack.state() { 0o066 } else { 0o077 };
        if mode & others != 0 {
            open.push(format!("{} {mode:o}", path.display()));
        }
    })?;
    ensure!(open.is_empty(), "others can read or enter:\n{}", open.join("\n"));
    for name in [
        "lock",
        "endpoints.json",
        "running.json",
        "passwords.json",
        "logs/stack.log",
        "nats/store",
        "resting/projector",
    ] {
        ensure!(names.contains(&stack.state().join(name)), "{name} was not looked at: {names:?}");
    }
    Ok(())
}

#[tokio::test]
async fn restart_replaces_one_process_and_leaves_the_others_alone() -> Result<()> {
    let stack = Detached::new()?;
    stack.up().await?;
    let before = stack.pids()?;
    stack.renew_program("query-api")?;
    let restarted = end(stack.tool()?, &["restart", "query-api"]).await?;
    ensure!(restarted.status.success(), "{}", said(&restarted));
    ensure!(said(&restarted).contains("query-api is ready after"), "{}", said(&restarted));
    stack.is_ready().await?;
    let after = stack.pids()?;
    let changed: Vec<_> = before.keys().filter(|name| before[*name] != after[*name]).collect();
    assert_eq!(changed, ["query_api"]);
    // The new build is running, so `up` has nothing to do.
    let up = stack.up().await?;
    ensure!(said(&up).contains("is already running"), "{}", said(&up));

    let unknown = end(stack.tool()?, &["restart", "query-app"]).await?;
    ensure!(unknown.status.code() == Some(2), "{}", said(&unknown));
    ensure!(said(&unknown).contains("use one of command-api"), "{}", said(&unknown));
    assert_eq!(stack.pids()?, after);
    Ok(())
}

/// The maximum CPU use of the supervisor while something is not ready, in percent of one core.
/// Reading the system's certificates for each check took 40 to 50.
const MOST_PERCENT: f64 = 5.0;
/// How long the supervisor is watched.
const WATCHED: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_supervisor_costs_hardly_anything_while_something_is_not_ready() -> Result<()> {
    let stack = Detached::new()?;
    // A relay that answers each readiness check with not ready.
    let (program, real) = (stack.programs().join("event-relay"), program("event-relay")?);
    fs::write(
        &program,
        format!("#!/bin/sh\nNATS_URL=nats://127.0.0.1:1 exec {} \"$@\"\n", real.display()),
    )?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let programs = stack.programs();
    let mut up = tokio::process::Command::from(stack.tool()?);
    up.args(["up", "--detach", "--programs"])
        .arg(&programs)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut up = up.spawn()?;
    let started = async || {
        let running: Value =
            serde_json::from_str(&fs::read_to_string(stack.state().join("running.json"))?)?;
        Ok(running["processes"]["process-manager"]["process"].is_object().then_some(running))
    };
    let running = until("the last process is started", LIMIT, started).await?;
    let supervisor = u32::try_from(running["supervisor"]["pid"].as_u64().context("a supervisor")?)?;
    let (since, before) = (Instant::now(), cpu_time(supervisor)?);
    let ended = tokio::time::timeout(WATCHED, up.wait()).await;
    ensure!(ended.is_err(), "it does not wait for the relay: {ended:?}");
    let (used, watched) = (cpu_time(supervisor)?.saturating_sub(before), since.elapsed());
    let percent = used.as_secs_f64() / watched.as_secs_f64() * 100.0;
    eprintln!("the supervisor used {percent:.1} % of a core");
    ensure!(percent < MOST_PERCENT, "the supervisor used {percent:.1} % of a core");
    Ok(())
}

/// If `up` waited for the projection that needs a person, it would take longer than this.
const SAID_WITHIN: Duration = Duration::from_secs(100);

#[tokio::test]
async fn after_a_fold_version_is_raised_the_stack_stays_up_for_the_rebuild_that_it_names()
-> Result<()> {
    let stack = Detached::new()?;
    stack.up().await?;
    // From here on, the programs have another fold version than before.
    let raised = "UPDATE read_model.generations SET fold_version = fold_version + 1 WHERE \
        projection = 'products' RETURNING 'folded by version ' || fold_version || \
        ', and this program folds version ' || (fold_version - 1)";
    let raised = end(stack.tool()?, &["psql", "-c", raised]).await?;
    let raised = said(&raised);
    ensure!(raised.contains("UPDATE 1"), "{raised}");
    let words = raised.lines().map(str::trim).find(|line| line.starts_with("folded by version"));
    let words = words.with_context(|| format!("no versions in {raised}"))?;
    let down = end(stack.tool()?, &["down"]).await?;
    ensure!(down.status.success(), "{}", said(&down));

    let rebuild = "`cargo stack run projector rebuild products`";
    let (programs, since) = (stack.programs(), Instant::now());
    let programs = programs.to_str().context("a path that is text")?;
    let up = end(stack.tool()?, &["up", "--detach", "--programs", programs]).await?;
    ensure!(up.status.code() == Some(1) && said(&up).contains(rebuild), "{}", said(&up));
    ensure!(since.elapsed() < SAID_WITHIN, "`up` took {:?}", since.elapsed());
    let status = end(stack.tool()?, &["status"]).await?;
    ensure!(status.status.code() == Some(1), "{}", said(&status));
    let shown = said(&status).split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(shown.contains(words) && shown.contains(rebuild), "{shown}");

    let product = json!({"name": "Kind of Blue", "unit_price": "14.67", "currency": "USD",
        "stock": 12});
    let client = Endpoints::read(&stack.state())?.client()?;
    client.post("/api/v1/products", &product).await?.expect(StatusCode::CREATED)?;
    let rebuilt = end(stack.tool()?, &["run", "projector", "rebuild", "products"]).await?;
    ensure!(rebuilt.status.success(), "{}", said(&rebuilt));
    until("the projector is ready", LIMIT, async || {
        Ok(end(stack.tool()?, &["status"]).await?.status.success().then_some(()))
    })
    .await?;
    stack.up().await?;
    Ok(())
}

/// Visits a folder and everything in it, except the downloaded servers, which are shared.
fn visit(path: &Path, look: &mut impl FnMut(&Path, u32)) -> Result<()> {
    // The servers create and remove files all the time.
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    look(path, found.permissions().mode() & 0o777);
    if !found.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))? {
        let entry = entry?;
        if entry.file_name() != "bin" {
            visit(&entry.path(), look)?;
        }
    }
    Ok(())
}

fn programs() -> Result<String> {
    let stack = program("stack")?;
    Ok(stack.parent().and_then(Path::to_str).context("the folder of the programs")?.to_owned())
}

/// A stack that `up --detach` starts from programs in a separate folder. Dropping it stops the
/// stack.
struct Detached {
    folder: tempfile::TempDir,
    certificates: Option<PathBuf>,
}

impl Detached {
    fn new() -> Result<Detached> {
        let stack = Detached { folder: enterable_folder()?, certificates: None };
        fs::create_dir(stack.programs())?;
        for name in PROGRAMS {
            stack.renew_program(name)?;
        }
        Ok(stack)
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn programs(&self) -> PathBuf {
        self.folder.path().join("programs")
    }

    /// Replaces a program like a build does: a new file with the same name.
    fn renew_program(&self, name: &str) -> Result<()> {
        let draft = self.folder.path().join(name);
        fs::copy(program(name)?, &draft)?;
        Ok(fs::rename(draft, self.programs().join(name))?)
    }

    fn tool(&self) -> Result<Command> {
        let mut tool = stack_tool(&self.state())?;
        if let Some(certificates) = &self.certificates {
            tool.env("SSL_CERT_FILE", certificates);
        }
        Ok(tool)
    }

    async fn up(&self) -> Result<Output> {
        let programs = self.programs();
        let up = end(
            self.tool()?,
            &["up", "--detach", "--programs", programs.to_str().context("a path that is text")?],
        )
        .await?;
        ensure!(up.status.success(), "{}", said(&up));
        Ok(up)
    }

    fn endpoints(&self) -> Result<Value> {
        Ok(serde_json::from_str(&fs::read_to_string(self.state().join("endpoints.json"))?)?)
    }

    fn pids(&self) -> Result<BTreeMap<String, u32>> {
        Ok(Endpoints::read(&self.state())?.pids)
    }

    /// Checks once, because `up` has already waited.
    async fn is_ready(&self) -> Result<()> {
        let status = end(self.tool()?, &["status", "--json"]).await?;
        let report: Value = serde_json::from_slice(&status.stdout)?;
        ensure!(report["ready"] == true, "{report}");
        Ok(())
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        let down = self.tool().and_then(|mut tool| Ok(finish(tool.arg("down"), LIMIT)?));
        if std::thread::panicking() || !down.as_ref().is_ok_and(|output| output.status.success()) {
            let log = fs::read_to_string(self.state().join("logs/stack.log")).unwrap_or_default();
            eprintln!("down: {down:?}\n{log}");
        }
    }
}
