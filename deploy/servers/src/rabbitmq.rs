//! A private RabbitMQ server for one test.

mod programs;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::error::tail;
use crate::launch::{Account, Launch, Process};
use crate::{ServerError, free_port};

pub use programs::{RabbitMqNode, RabbitMqPrograms};

/// How long the server may take to start or stop.
const LIMIT: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(20);
const USER: &str = "tests";
const PASSWORD: &str = "tests";
const SERVER: &str = "RabbitMQ";

/// A running RabbitMQ. Dropping it kills it and deletes its data.
#[derive(Debug)]
pub struct RabbitMqServer {
    programs: RabbitMqPrograms,
    port: u16,
    tools_port: u16,
    process: Option<Process>,
    // Declared last, so that the folder is deleted after the server has ended.
    home: tempfile::TempDir,
}

impl RabbitMqServer {
    /// Starts a server on a free port without data.
    ///
    /// # Errors
    /// [`ServerError`]: the test run has no RabbitMQ, or it does not start.
    pub async fn start() -> Result<RabbitMqServer, ServerError> {
        let folder = |variable| {
            let named = std::env::var_os(variable).map(PathBuf::from);
            named.ok_or(ServerError::NotPrepared { variable })
        };
        let programs = RabbitMqPrograms::at(
            folder("DAYBOOK_TEST_RABBITMQ")?,
            folder("DAYBOOK_TEST_ERLANG")?,
        );
        let parent = std::env::temp_dir();
        let home = tempfile::Builder::new()
            .prefix("daybook-rabbitmq-")
            .tempdir_in(&parent)
            .map_err(ServerError::file("create a folder in", &parent))?;
        let port = || free_port().map_err(ServerError::file("bind a port on", "127.0.0.1"));
        let (port, tools_port) = (port()?, port()?);
        let mut server = RabbitMqServer { programs, port, tools_port, process: None, home };
        server.launch().await?;
        Ok(server)
    }

    /// The server's address for a user who may do everything.
    pub fn url(&self) -> String {
        format!("amqp://{USER}:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// The process id, or `None` while the server is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Kills the server with SIGKILL.
    ///
    /// # Panics
    /// If the server does not run, or cannot be killed.
    #[allow(clippy::panic, reason = "a test's server: failing loudly is its error handling")]
    pub async fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { panic!("RabbitMQ is not running") };
        match process.end(Signal::SIGKILL, LIMIT).await {
            Ok(true) => {}
            Ok(false) => panic!("RabbitMQ did not end: {}", tail(&self.log())),
            Err(error) => panic!("RabbitMQ: {error}"),
        }
    }

    /// Starts the server again on the same data and ports.
    ///
    /// # Panics
    /// If the server runs or does not start.
    #[allow(clippy::panic, reason = "a test's server: failing loudly is its error handling")]
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "RabbitMQ is already running");
        let launched = self.launch().await;
        launched.unwrap_or_else(|error| panic!("RabbitMQ did not start again: {error}"));
    }

    /// Deletes all data. The server must be stopped.
    ///
    /// # Panics
    /// If the server runs, or the data cannot be deleted.
    #[allow(clippy::panic, reason = "a test's server: failing loudly is its error handling")]
    pub fn wipe_data(&self) {
        assert!(self.process.is_none(), "stop RabbitMQ before wiping its data");
        let data = self.home.path().join("data");
        std::fs::remove_dir_all(&data)
            .unwrap_or_else(|error| panic!("cannot delete {}: {error}", data.display()));
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("output")
    }

    async fn launch(&mut self) -> Result<(), ServerError> {
        let node = RabbitMqNode {
            home: self.home.path(),
            name: &format!("test{}", self.port),
            port: self.port,
            tools_port: self.tools_port,
            user: USER,
            password: PASSWORD,
        };
        let command = self.programs.server(&node)?;
        let path = self.log();
        let log = std::fs::File::create(&path).map_err(ServerError::file("create", &path))?;
        let errors = log.try_clone().map_err(ServerError::file("open", &path))?;
        let launch = Launch { command: &command, account: Account::Own, guard: Signal::SIGKILL };
        let mut process = launch.start(log.into(), errors.into())?;
        let deadline = Instant::now() + LIMIT;
        while !is_ready(&path) {
            if process.ended().is_some() {
                return Err(ServerError::Ended { server: SERVER, log: tail(&path) });
            }
            if Instant::now() > deadline {
                let seconds = LIMIT.as_secs();
                let log = tail(&path);
                return Err(ServerError::Timeout { server: SERVER, what: "start", seconds, log });
            }
            tokio::time::sleep(POLL).await;
        }
        self.process = Some(process);
        Ok(())
    }
}

/// Whether the server reports that it is ready. An answer on the port could come from another
/// server.
fn is_ready(log: &Path) -> bool {
    std::fs::read_to_string(log).is_ok_and(|text| text.contains("Server startup complete"))
}
