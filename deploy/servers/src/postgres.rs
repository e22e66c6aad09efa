//! A private PostgreSQL cluster that tests and the stack create, start, stop, kill and freeze.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::error::tail;
use crate::launch::{Account, Launch, Process, send};
use crate::{ServerError, free_port};

mod binaries;
mod postmaster;
mod standby;

pub use binaries::PostgresBinaries;
use postmaster::children;
pub use postmaster::{PostmasterState, postmaster_data, postmaster_state};

/// How long a cluster may take to start or stop, including recovery after a kill.
const LIMIT: Duration = Duration::from_mins(1);
/// How long `initdb` or a base backup may take.
const MAKE_LIMIT: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(10);
/// How many ports to try if another process takes the chosen one.
const PORT_ATTEMPTS: usize = 5;

/// The options of a private cluster.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// Server settings in addition to the defaults.
    pub settings: Vec<(String, String)>,
    /// Whether commits reach the disk (`fsync`). Off by default, because most tests kill processes
    /// and not machines.
    pub durable: bool,
    /// The installation; by default the one of the test run.
    pub binaries: Option<PostgresBinaries>,
    /// The folder in which the cluster is created; by default the system's temporary folder.
    pub directory: Option<PathBuf>,
}

/// A running private cluster. Dropping it stops it and deletes its data.
#[derive(Debug)]
pub struct PostgresCluster {
    binaries: PostgresBinaries,
    account: Account,
    data: PathBuf,
    log: PathBuf,
    settings: Vec<(String, String)>,
    port: u16,
    process: Option<Process>,
    // Declared last, so that the folder is deleted after the server has ended.
    _home: tempfile::TempDir,
}

impl PostgresCluster {
    /// Creates a cluster and starts it on a free port.
    pub async fn start(options: ClusterOptions) -> Result<PostgresCluster, ServerError> {
        let binaries = options.binaries.map_or_else(PostgresBinaries::of_test_run, Ok)?;
        let parent = options.directory.unwrap_or_else(std::env::temp_dir);
        let mut settings = vec![("max_connections".to_owned(), "400".to_owned())];
        if !options.durable {
            // The last setting lets the event store append even without durable commits.
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

    /// Creates a cluster's data in a folder below `parent` and starts it on a free port.
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

    /// The cluster's address for the superuser.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The cluster's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The postmaster's process id, or `None` while the cluster is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// The cluster's data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Stops the cluster cleanly.
    ///
    /// # Panics
    /// If the cluster does not stop in time.
    pub async fn stop(&mut self) {
        self.end(Signal::SIGINT, "stop").await;
    }

    /// Kills the postmaster with SIGKILL. Its children notice and end, as after a crash.
    ///
    /// # Panics
    /// If the cluster cannot be killed.
    pub async fn kill(&mut self) {
        self.end(Signal::SIGKILL, "end").await;
    }

    /// Restarts the cluster on the same data and port.
    ///
    /// # Panics
    /// If the cluster does not start.
    #[allow(clippy::panic, reason = "a test's server: failing loudly is its error handling")]
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "the cluster is already running");
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.launch().await {
                Ok(()) => return,
                // After a kill, old children may hold the shared memory for a moment.
                Err(ServerError::Ended { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(POLL).await;
                }
                Err(error) => panic!("PostgreSQL did not start again: {error}"),
            }
        }
    }

    /// Freezes the postmaster and all its children.
    ///
    /// # Panics
    /// If a process cannot be signalled.
    pub fn pause(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    /// Resumes a frozen cluster.
    ///
    /// # Panics
    /// If a process cannot be signalled.
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
        let Some(mut process) = self.process.take() else { panic!("the cluster is not running") };
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
        let Some(pid) = self.pid() else { panic!("the cluster is not running") };
        // The postmaster first, so that it cannot start new children.
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
            // Resume the cluster if it is frozen, and tell it to shut down at once with all its
            // children. The process's own drop waits for the end.
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
