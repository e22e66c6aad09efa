//! A whole stack in a separate folder, started by the stack tool. Dropping it stops and deletes it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use local_servers::{Account, Launch, Process, finish_async, http_get, locked};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use stack::token::Tokens;

use crate::program::folder;
use crate::{Client, Log, program, until};

/// How long the stack may take to become ready. Other tests may run while it creates a cluster and
/// starts its processes.
const START_LIMIT: Duration = Duration::from_mins(2);
/// How long to wait for other tests to start their stacks.
const TURN_LIMIT: Duration = Duration::from_mins(6);
/// How long a command of the stack tool may take.
const RUN_LIMIT: Duration = Duration::from_mins(3);
/// How long a killed process may take to be restarted.
const RESTART_LIMIT: Duration = Duration::from_mins(1);
/// How long everything may take to end.
const GONE_LIMIT: Duration = Duration::from_mins(1);

/// The addresses of a stack, from its `endpoints.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Endpoints {
    /// The one address of both APIs.
    pub front: String,
    /// The command API's address.
    pub command_api: String,
    /// The query API's address.
    pub query_api: String,
    /// The address of the sandbox, which stands in for the payment provider and the shipper.
    pub sandbox: String,
    /// The database's address for the superuser.
    pub postgres: String,
    /// The broker's address.
    pub nats: String,
    /// The admin port of each process.
    pub admin: std::collections::BTreeMap<String, String>,
    /// The process id of each process and server.
    pub pids: std::collections::BTreeMap<String, u32>,
}

impl Endpoints {
    /// Reads the file in a stack's folder.
    pub fn read(folder: &Path) -> Result<Endpoints> {
        let path = folder.join("endpoints.json");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not what it should be: {text}", path.display()))
    }

    /// Creates a client of both APIs, at their own addresses.
    pub fn client(&self) -> Result<Client> {
        Client::new(&self.command_api, &self.query_api, Tokens::of_operator()?)
    }

    /// Creates a client of both APIs at their one address.
    pub fn client_of_front(&self) -> Result<Client> {
        Client::new(&self.front, &self.front, Tokens::of_operator()?)
    }

    /// Opens the log and the checkpoints.
    pub fn log(&self) -> Result<Log> {
        Log::new(&self.postgres, &self.postgres, &self.nats)
    }
}

/// A running stack.
#[derive(Debug)]
pub struct RunningStack {
    // Declared first, so that everything ends before its folder is deleted.
    supervisor: Process,
    state: PathBuf,
    /// The folder with the stack's state and the supervisor's output.
    directory: tempfile::TempDir,
}

impl RunningStack {
    /// Starts a stack of the programs under test, with separate data and free ports, and waits
    /// until it is ready.
    pub async fn start() -> Result<RunningStack> {
        Self::start_with(&[]).await
    }

    /// Starts a stack like [`RunningStack::start`], whose processes get these variables.
    pub async fn start_with(variables: &[(&str, &Path)]) -> Result<RunningStack> {
        let directory = enterable_folder()?;
        let state = directory.path().join("state");
        // One at a time, because two stacks that look for free ports at once would find the same
        // ones.
        let turn = File::create(std::env::temp_dir().join("daybook-acceptance.lock"))?;
        let turn = locked(turn, "the turn to start a stack", TURN_LIMIT).await?;
        let log = File::create(directory.path().join("supervisor.log"))?;
        let mut command = stack_tool(&state)?;
        command.arg("supervise").arg("--programs").arg(folder()?);
        command.envs(variables.iter().copied());
        let launch = Launch { command: &command, account: Account::Own, guard: Signal::SIGTERM };
        let supervisor = launch.start(log.try_clone()?.into(), log.into())?;
        let mut stack = RunningStack { supervisor, state, directory };
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        while stack.endpoints().is_err() {
            let (ended, late) = (stack.supervisor.ended(), tokio::time::Instant::now() > deadline);
            ensure!(
                ended.is_none() && !late,
                "the stack did not start ({ended:?}): {}",
                stack.logs()
            );
            tokio::time::sleep(crate::POLL).await;
        }
        drop(turn);
        Ok(stack)
    }

    /// The stack tool with the folder of this stack. Add the arguments.
    pub fn command(&self) -> Result<Command> {
        stack_tool(&self.state)
    }

    /// Runs the stack tool to completion and returns its output. Fails if the tool fails.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments).await?;
        if !output.status.success() {
            let (said, log) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            bail!("stack {}: {}\n{said}\n{log}", arguments.join(" "), output.status);
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs the stack tool to completion, with any result.
    pub async fn output(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command()?;
        command.args(arguments);
        Ok(finish_async(&mut command.into(), RUN_LIMIT).await?)
    }

    /// The stack's folder.
    pub fn directory(&self) -> &Path {
        &self.state
    }

    /// The current addresses and process ids, which change with restarts.
    pub fn endpoints(&self) -> Result<Endpoints> {
        Endpoints::read(&self.state)
    }

    /// Creates a client of both APIs.
    pub fn client(&self) -> Result<Client> {
        self.endpoints()?.client()
    }

    /// Opens the log and the checkpoints.
    pub fn log(&self) -> Result<Log> {
        self.endpoints()?.log()
    }

    /// The process id of a process or server.
    pub fn pid(&self, name: &str) -> Result<u32> {
        let endpoints = self.endpoints()?;
        endpoints
            .pids
            .get(name)
            .copied()
            .with_context(|| format!("{name} is not among {:?}", endpoints.pids))
    }

    /// Waits until a process or server has another process id.
    pub async fn wait_for_another(&self, name: &str, pid: u32) -> Result<u32> {
        let what = format!("{name} runs again after {pid}");
        until(&what, RESTART_LIMIT, async || Ok(Some(self.pid(name)?).filter(|now| *now != pid)))
            .await
    }

    /// Waits until every process reports that it is ready.
    pub async fn wait_until_ready(&self) -> Result<()> {
        for (name, admin) in self.endpoints()?.admin {
            until(&format!("{name} is ready"), RESTART_LIMIT, async || {
                let answer = http_get(format!("{admin}/readyz?verbose")).await?;
                ensure!(answer.status().is_success(), answer.text().await?);
                Ok(Some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Signals a process or server, and returns its process id.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<u32> {
        let pid = self.pid(name)?;
        kill(Pid::from_raw(i32::try_from(pid)?), signal)
            .with_context(|| format!("{name} ({pid})"))?;
        Ok(pid)
    }

    /// Stops the stack with `down`. Fails if a process is left.
    pub async fn down(&self) -> Result<()> {
        let pids: Vec<u32> = self.endpoints()?.pids.into_values().collect();
        self.run(&["down"]).await?;
        until("no process of the stack is left", GONE_LIMIT, async || {
            let left: Vec<u32> = pids
                .iter()
                .copied()
                .filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
                .collect();
            ensure!(left.is_empty(), "{left:?} still run");
            Ok(Some(()))
        })
        .await
    }

    /// The last lines of every log.
    pub fn logs(&self) -> String {
        const LAST: usize = 15;
        let folders = [self.directory.path().to_owned(), self.state.join("logs")];
        let files = folders
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flatten()
            .filter_map(Result::ok);
        let logs = files
            .map(|file| file.path())
            .filter(|path| path.extension().is_some_and(|end| end == "log"));
        let ends = logs.map(|path| {
            let log = std::fs::read_to_string(&path).unwrap_or_else(|error| error.to_string());
            let lines: Vec<&str> = log.lines().collect();
            format!(
                "--- {}\n{}\n",
                path.display(),
                lines[lines.len().saturating_sub(LAST)..].join("\n")
            )
        });
        ends.collect()
    }
}

impl Drop for RunningStack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        if self.supervisor.ended().is_none()
            && let Err(error) = self.supervisor.signal(Signal::SIGTERM)
        {
            eprintln!("could not signal the stack to stop: {error}");
        }
        let deadline = std::time::Instant::now() + GONE_LIMIT;
        while self.supervisor.ended().is_none() && std::time::Instant::now() < deadline {
            std::thread::sleep(crate::POLL);
        }
    }
}

/// A folder that the database's account can enter, even if this process runs as root.
pub fn enterable_folder() -> Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let enterable = std::fs::Permissions::from_mode(0o755);
    Ok(tempfile::Builder::new().prefix("daybook-stack-").permissions(enterable).tempdir()?)
}

/// The stack tool for a folder, which prefers the test run's servers. Add the arguments.
pub fn stack_tool(state: &Path) -> Result<Command> {
    let mut folders = Vec::new();
    for variable in ["DAYBOOK_TEST_NATS_SERVER", "DAYBOOK_TEST_PG_BIN"] {
        let value = std::env::var_os(variable)
            .with_context(|| format!("{variable} is not set: run `cargo stack test`"))?;
        let path = PathBuf::from(value);
        folders.push(if path.is_dir() {
            path
        } else {
            path.parent().context("a server's folder")?.to_owned()
        });
    }
    folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    let mut command = Command::new(program("stack")?);
    command
        .env("PATH", std::env::join_paths(folders)?)
        .arg("--dir")
        .arg(state)
        .stdin(Stdio::null());
    Ok(command)
}
