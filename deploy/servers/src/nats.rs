//! A private nats-server with JetStream for one test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::error::tail;
use crate::launch::{Account, Launch, Process};
use crate::{ServerError, free_port};

const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);
const PORT_ATTEMPTS: usize = 5;

/// The options of a test's server.
#[derive(Debug, Clone, Default)]
pub struct NatsOptions {
    /// The maximum message size in bytes; by default the server's own.
    pub max_payload: Option<u32>,
    /// Additional configuration text, for example users and permissions.
    pub config: Option<String>,
    /// The program; by default the one of the test run.
    pub program: Option<PathBuf>,
    /// The folder in which its data folder is created; by default the system's temporary folder.
    pub directory: Option<PathBuf>,
}

/// A running nats-server. Dropping it stops it and deletes its store.
#[derive(Debug)]
pub struct NatsServer {
    program: PathBuf,
    options: NatsOptions,
    port: u16,
    process: Option<Process>,
    // Declared last, so that the folder is deleted after the server has ended.
    home: tempfile::TempDir,
}

impl NatsServer {
    /// Starts a server on a free port with an empty store.
    pub async fn start(options: NatsOptions) -> Result<NatsServer, ServerError> {
        let variable = "DAYBOOK_TEST_NATS_SERVER";
        let named =
            options.program.clone().or_else(|| std::env::var_os(variable).map(PathBuf::from));
        let program = named.ok_or(ServerError::NotPrepared { variable })?;
        let parent = options.directory.clone().unwrap_or_else(std::env::temp_dir);
        let home = tempfile::Builder::new()
            .prefix("daybook-nats-")
            .tempdir_in(&parent)
            .map_err(ServerError::file("create a folder in", &parent))?;
        let mut server = NatsServer { program, options, port: 0, process: None, home };
        let mut attempt = 1;
        loop {
            server.port = free_port().map_err(ServerError::file("bind a port on", "127.0.0.1"))?;
            match server.launch().await {
                Err(ServerError::Ended { log, .. })
                    if attempt < PORT_ATTEMPTS && log.contains("address already in use") =>
                {
                    attempt += 1;
                }
                other => return other.map(|()| server),
            }
        }
    }

    /// The server's address, without a user.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The server's address for a user from the configuration.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("nats://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// The process id, or `None` while the server is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Stops the server cleanly.
    ///
    /// # Panics
    /// If the server does not stop in time.
    pub async fn stop(&mut self) {
        self.end(Signal::SIGTERM).await;
    }

    /// Kills the server with SIGKILL.
    ///
    /// # Panics
    /// If the server cannot be killed.
    pub async fn kill(&mut self) {
        self.end(Signal::SIGKILL).await;
    }

    /// Restarts the server on the same store and port.
    ///
    /// # Panics
    /// If the server does not start.
    #[allow(clippy::panic, reason = "a test's server: failing loudly is its error handling")]
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "nats-server is already running");
        self.launch()
            .await
            .unwrap_or_else(|error| panic!("nats-server did not start again: {error}"));
    }

    /// Freezes the server with SIGSTOP.
    ///
    /// # Panics
    /// If the server cannot be signalled.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Resumes a frozen server.
    ///
    /// # Panics
    /// If the server cannot be signalled.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Deletes the server's store. The server must be stopped.
    ///
    /// # Panics
    /// If the server runs, or the store cannot be deleted.
    #[allow(
        clippy::panic,
        clippy::unused_async,
        reason = "a test's server: failing loudly is its error handling; async like its neighbours"
    )]
    pub async fn wipe_store(&mut self) {
        assert!(self.process.is_none(), "stop nats-server before wiping its store");
        let store = self.store();
        if store.exists() {
            std::fs::remove_dir_all(&store)
                .unwrap_or_else(|error| panic!("cannot delete {}: {error}", store.display()));
        }
    }

    /// The folder of the server's streams.
    pub fn store(&self) -> PathBuf {
        self.home.path().join("store")
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn write_config(&self) -> Result<PathBuf, ServerError> {
        let path = self.home.path().join("nats.conf");
        let payload = self
            .options
            .max_payload
            .map(|bytes| format!("max_payload: {bytes}\n"))
            .unwrap_or_default();
        let config = format!(
            "listen: \"127.0.0.1:{}\"\n{payload}jetstream {{ store_dir: \"{}\", sync_interval: \
                always }}\n{}\n",
            self.port,
            self.store().display(),
            self.options.config.as_deref().unwrap_or_default()
        );
        std::fs::write(&path, config).map_err(ServerError::file("write", &path))?;
        Ok(path)
    }

    async fn launch(&mut self) -> Result<(), ServerError> {
        let config = self.write_config()?;
        let log_path = self.log();
        let log =
            std::fs::File::create(&log_path).map_err(ServerError::file("create", &log_path))?;
        let errors = log.try_clone().map_err(ServerError::file("open", &log_path))?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&config);
        let launch = Launch { command: &command, account: Account::Own, guard: Signal::SIGKILL };
        let mut process = launch.start(log.into(), errors.into())?;
        let deadline = Instant::now() + LIMIT;
        while !is_ready(&log_path) {
            if process.ended().is_some() {
                return Err(ServerError::Ended { server: "nats-server", log: tail(&log_path) });
            }
            if Instant::now() > deadline {
                let (server, what) = ("nats-server", "start");
                return Err(ServerError::Timeout {
                    server,
                    what,
                    seconds: LIMIT.as_secs(),
                    log: tail(&log_path),
                });
            }
            tokio::time::sleep(POLL).await;
        }
        self.process = Some(process);
        Ok(())
    }

    #[allow(clippy::panic, reason = "a test's server: failing loudly is its error handling")]
    async fn end(&mut self, signal: Signal) {
        let Some(mut process) = self.process.take() else { panic!("nats-server is not running") };
        match process.end(signal, LIMIT).await {
            Ok(true) => {}
            Ok(false) => panic!(
                "nats-server did not end within {} s: {}",
                LIMIT.as_secs(),
                tail(&self.log())
            ),
            Err(error) => panic!("nats-server: {error}"),
        }
    }

    #[allow(clippy::panic, reason = "a test's server: failing loudly is its error handling")]
    fn signal(&self, signal: Signal) {
        let Some(process) = &self.process else { panic!("nats-server is not running") };
        process.signal(signal).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Whether the server reports in its log that it is ready. An answer on the port could come from
/// another server.
fn is_ready(log: &Path) -> bool {
    std::fs::read_to_string(log).is_ok_and(|text| text.contains("Server is ready"))
}
