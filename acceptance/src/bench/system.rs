//! The processes for benchmarks of the whole system, on the benchmark's database and with a
//! separate broker.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use local_servers::{
    Account, Launch, NatsOptions, NatsServer, Process, finish_async, free_port, http_get,
};
use nix::sys::signal::Signal;
use sqlx::PgConnection;

use super::logs::Logs;
use super::server::BenchDatabase;
use crate::launched::{KEY, RATES, issuer, tokens};
use crate::{Client, POLL, Service, program, until};

const READY_LIMIT: Duration = Duration::from_mins(1);
/// How long a command may take on a benchmark's largest log.
const COMMAND_LIMIT: Duration = Duration::from_mins(30);
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running process.
pub(super) struct Running {
    process: Process,
    api: u16,
    admin: u16,
}

/// The servers that all processes need.
pub(super) struct System {
    pub(super) database: BenchDatabase,
    nats: NatsServer,
    logs: Logs,
}

impl System {
    /// Creates a migrated database and an empty broker.
    pub(super) async fn create(server: &str) -> anyhow::Result<Self> {
        let database = BenchDatabase::create(server).await?;
        event_store::postgres::migrate(database.url()).await?;
        event_store::postgres::keys::migrate(database.url()).await?;
        let nats = NatsServer::start(NatsOptions::default()).await?;
        let system = Self { database, nats, logs: Logs::create()? };
        let published = issuer()?.keys().published().clone();
        std::fs::write(system.logs.path().join("jwks.json"), serde_json::to_vec(&published)?)?;
        system.projector(&["migrate"]).await?;
        Ok(system)
    }

    /// The broker's address.
    pub(super) fn nats(&self) -> String {
        self.nats.url()
    }

    /// Starts a process and waits until it is ready.
    pub(super) async fn launch(&self, service: Service) -> anyhow::Result<Running> {
        self.launch_with(service, &[]).await
    }

    /// Starts a process with these settings and waits until it is ready.
    pub(super) async fn launch_with(
        &self,
        service: Service,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Running> {
        let (name, action) = service.program();
        self.start(name, &[action], settings).await
    }

    /// Starts a program with these arguments and settings, and waits until it is ready.
    pub(super) async fn start(
        &self,
        name: &str,
        arguments: &[&str],
        settings: &[(&str, String)],
    ) -> anyhow::Result<Running> {
        let (api, admin) = (free_port()?, free_port()?);
        let mut command = self.command(name)?;
        command.args(arguments).env("ADMIN_LISTEN", format!("127.0.0.1:{admin}"));
        for listen in ["COMMAND_API_LISTEN", "QUERY_API_LISTEN", "SANDBOX_LISTEN"] {
            command.env(listen, format!("127.0.0.1:{api}"));
        }
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.logs.path().join(name))?;
        let errors = log.try_clone()?;
        let launch = Launch { command: &command, account: Account::Own, guard: Signal::SIGKILL };
        let process = launch.start(log.into(), errors.into())?;
        let address = format!("http://127.0.0.1:{admin}/readyz?verbose");
        let what = format!("{name} is ready");
        let ready = until(&what, READY_LIMIT, async || {
            let answer = http_get(&address).await?;
            ensure!(answer.status().is_success(), answer.text().await?);
            Ok(Some(()))
        });
        ready.await.with_context(|| {
            std::fs::read_to_string(self.logs.path().join(name)).unwrap_or_default()
        })?;
        Ok(Running { process, api, admin })
    }

    /// Runs a projector command to completion.
    pub(super) async fn projector(&self, arguments: &[&str]) -> anyhow::Result<()> {
        self.finish("projector", arguments).await
    }

    /// Runs a command of a program to completion.
    pub(super) async fn finish(&self, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command(name)?;
        command.args(arguments);
        let output = finish_async(&mut command.into(), COMMAND_LIMIT).await?;
        ensure!(
            output.status.success(),
            "{name} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// The names of all projections.
    pub(super) async fn projections(&self) -> anyhow::Result<Vec<String>> {
        let live = sqlx::query_scalar("SELECT projection FROM read_model.generations WHERE live");
        Ok(live.fetch_all(&mut self.database.connect().await?).await?)
    }

    /// The command of a program, with its settings.
    pub(super) fn command(&self, name: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(program(name)?);
        for url in ["EVENT_STORE_URL", "READ_MODEL_URL", "SUBJECT_KEYS_URL"] {
            command.env(url, self.database.url());
        }
        for key in ["MASTER_KEY", "RESERVATION_KEY", "TOKEN_KEY", "CURSOR_KEY", "ACCESS_TOKEN_KEYS"]
        {
            command.env(key, KEY);
        }
        // The query API starts from a copy of the public keys, so it needs no other process.
        command.env("IDENTITY_URL", "http://127.0.0.1:1");
        command.env("IDENTITY_CACHE", self.logs.path());
        // All clients of a benchmark share one address.
        command.env("MAX_CONNECTIONS_PER_ADDRESS", "1024");
        command.env("RATE_LIMITS", RATES);
        command.env("NATS_URL", self.nats.url()).env("LOG", "warn");
        Ok(command)
    }

    /// A client of these two processes.
    pub(super) fn client(commands: &Running, queries: &Running) -> anyhow::Result<Client> {
        let address = |running: &Running| format!("http://127.0.0.1:{}", running.api);
        Client::new(&address(commands), &address(queries), tokens()?)
    }

    /// Waits until every live projection has reached the head, and returns its position.
    pub(super) async fn wait_until_caught_up(&self, limit: Duration) -> anyhow::Result<i64> {
        let mut connection = self.database.connect().await?;
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let (head, least) = positions(&mut connection).await?;
            if least >= head {
                return Ok(head);
            }
            ensure!(
                tokio::time::Instant::now() < deadline,
                "at {least} of {head} after {} s",
                limit.as_secs()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// The folder of the processes' logs.
    pub(super) fn logs(&self) -> &Path {
        self.logs.path()
    }

    /// Drops the database and the logs of a benchmark that has succeeded.
    pub(super) async fn drop(self) -> anyhow::Result<()> {
        self.logs.succeed();
        self.database.drop().await
    }
}

impl Running {
    /// The address of its API.
    pub(super) const fn address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.api)
    }

    /// The URL that answers while it is alive.
    pub(super) fn alive_url(&self) -> String {
        format!("http://127.0.0.1:{}/livez", self.admin)
    }

    /// What it says of itself, in Prometheus format.
    pub(super) async fn metrics(&self) -> anyhow::Result<String> {
        let address = format!("http://127.0.0.1:{}/metrics", self.admin);
        Ok(http_get(address).await?.error_for_status()?.text().await?)
    }

    /// The id of the process.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Stops the process and waits for its end.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        ensure!(
            self.process.end(Signal::SIGTERM, STOP_LIMIT).await?,
            "a process did not end within {} s",
            STOP_LIMIT.as_secs()
        );
        Ok(())
    }
}

/// The value of a metric with this name and these labels.
pub(super) fn metric(metrics: &str, name: &str) -> anyhow::Result<f64> {
    let mut lines = metrics.lines().filter_map(|line| line.rsplit_once(' '));
    let found = lines.find(|(series, _)| *series == name);
    let (_, value) = found.with_context(|| format!("there is no metric {name}"))?;
    Ok(value.parse()?)
}

/// The log's head, and the lowest position of all live projections.
async fn positions(connection: &mut PgConnection) -> anyhow::Result<(i64, i64)> {
    let statement = "SELECT (SELECT coalesce(max(position), 0) FROM event_store.events), \
        min(position)
                     FROM read_model.checkpoints JOIN read_model.generations USING (projection, \
                     generation) WHERE live";
    Ok(sqlx::query_as(statement).fetch_one(connection).await?)
}
