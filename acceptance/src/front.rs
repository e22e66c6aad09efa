//! A front before two APIs, as a process of its own. Dropping it ends it.

use std::fs::File;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use local_servers::{Account, Launch, Process, free_port, http_get};
use nix::sys::signal::Signal;

use crate::{Client, Launched, Service, launched, program, until};

/// How long it may take to be ready.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// A running front.
#[derive(Debug)]
pub struct Front {
    _process: Process,
    /// Its address, without a slash at the end.
    pub address: String,
    admin: String,
    log: tempfile::NamedTempFile,
}

impl Front {
    /// Starts a front before the APIs of a system, and waits until it is ready.
    pub async fn before(system: &Launched) -> Result<Front> {
        let (port, admin) = (free_port()?, free_port()?);
        let log = tempfile::NamedTempFile::new()?;
        let mut command = Command::new(program("front")?);
        command
            .arg("serve")
            .env("FRONT_LISTEN", format!("127.0.0.1:{port}"))
            .env("ADMIN_LISTEN", format!("127.0.0.1:{admin}"))
            .env("COMMAND_API_URL", system.address(Service::CommandApi)?)
            .env("QUERY_API_URL", system.address(Service::QueryApi)?);
        let launch = Launch { command: &command, account: Account::Own, guard: Signal::SIGKILL };
        let process = launch.start(File::create(log.path())?.into(), log.reopen()?.into())?;
        let [address, admin] = [port, admin].map(|port| format!("http://127.0.0.1:{port}"));
        let front = Front { _process: process, address, admin, log };
        front.wait_until_it_says("\"ready\":true,\"draining\"").await?;
        Ok(front)
    }

    /// A client of both APIs at the one address.
    pub fn client(&self) -> Result<Client> {
        Client::new(&self.address, &self.address, launched::tokens()?)
    }

    /// Waits until its report on itself has these words.
    pub async fn wait_until_it_says(&self, words: &str) -> Result<()> {
        let what = format!("the front says {words}");
        let said = until(&what, READY_LIMIT, async || {
            let report = http_get(format!("{}/readyz?verbose", self.admin)).await?.text().await?;
            ensure!(report.contains(words), report);
            Ok(Some(()))
        });
        said.await.map_err(|error| {
            let log = std::fs::read_to_string(self.log.path()).unwrap_or_default();
            error.context(log)
        })
    }
}
