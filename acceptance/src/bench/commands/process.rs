//! The process of the plain handlers.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use local_servers::{Account, Launch, Process, free_port};
use nix::sys::signal::Signal;
use tokio::net::TcpStream;

use crate::until;

const READY_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// The running process.
pub(in crate::bench) struct PlainProcess {
    process: Process,
    address: SocketAddr,
}

impl PlainProcess {
    /// Starts a subcommand of this program with these settings, and waits until it listens.
    pub(in crate::bench) async fn start(
        subcommand: &str,
        settings: &[(&str, &str)],
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let log = std::fs::File::create(logs.join("plain"))?;
        let errors = log.try_clone()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(subcommand).envs(settings.iter().copied());
        command.env("PLAIN_LISTEN", address.to_string());
        let launch = Launch { command: &command, account: Account::Own, guard: Signal::SIGKILL };
        let process = launch.start(log.into(), errors.into())?;
        let listens = until("the plain handlers listen", READY_LIMIT, async || {
            TcpStream::connect(address).await?;
            Ok(Some(()))
        });
        listens
            .await
            .with_context(|| std::fs::read_to_string(logs.join("plain")).unwrap_or_default())?;
        Ok(Self { process, address })
    }

    /// Where it listens.
    pub(in crate::bench) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it.
    pub(in crate::bench) async fn stop(mut self) -> anyhow::Result<()> {
        let ended = self.process.end(Signal::SIGTERM, STOP_LIMIT).await?;
        ensure!(ended, "the plain handlers did not end");
        Ok(())
    }
}
