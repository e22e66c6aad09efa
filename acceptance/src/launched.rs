//! Launches the four processes one by one, with the event store and the read model on separate
//! clusters. It is for tests that stop one service and keep it stopped. (A stack restarts what
//! dies; this does not.)

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use identity::config::{AUDIENCE, ISSUER};
use identity::{Issuer, SigningKeys};
use local_servers::{
    Account, ClusterOptions, Launch, NatsOptions, NatsServer, PostgresCluster, Process,
    finish_async, free_port,
};
use nix::sys::signal::Signal;
use sqlx::Connection;
use stack::token::{self, Tokens};

use crate::{Client, Log, Way, program};

mod report;
mod topology;

pub use report::Readiness;
pub use topology::{Server, Service};

/// How long a command line may take.
const RUN_LIMIT: Duration = Duration::from_mins(3);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Base64 of 32 bytes. These processes have no secrets.
pub(crate) const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// The rates of processes whose clients send all that they can. Requests are counted all the same.
pub(crate) const RATES: &str = "1000000";

/// The system, service by service. Dropping it ends everything.
#[derive(Debug)]
pub struct Launched {
    // Declared first, so that the processes end before their servers.
    stand_by: Option<Process>,
    processes: BTreeMap<Service, Process>,
    ports: BTreeMap<Service, Ports>,
    /// The proxies that can be silenced, if there are any.
    ways: BTreeMap<(Service, Server), Way>,
    /// The cluster of the event store.
    pub event_store: PostgresCluster,
    /// The cluster of the read model.
    pub read_model: PostgresCluster,
    /// The nats-server of all processes.
    pub nats: NatsServer,
    logs: tempfile::TempDir,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    api: u16,
    admin: u16,
}

impl Launched {
    /// Starts two clusters, a broker and the four processes, and waits until all are ready.
    pub async fn start() -> Result<Launched> {
        let mut system = Self::servers().await?;
        system.launch_all().await?;
        Ok(system)
    }

    /// Like [`Launched::start`], with a proxy between each process and each server that can be
    /// silenced.
    pub async fn start_behind_ways() -> Result<Launched> {
        let mut system = Self::servers().await?;
        for service in Service::ALL {
            for server in Server::ALL.into_iter().filter(|server| server.is_used_by(service)) {
                let way = Way::to(system.port(server)?).await?;
                system.ways.insert((service, server), way);
            }
        }
        system.launch_all().await?;
        Ok(system)
    }

    async fn servers() -> Result<Launched> {
        let event_store = PostgresCluster::start(ClusterOptions::default()).await?;
        let read_model = PostgresCluster::start(ClusterOptions::default()).await?;
        let nats = NatsServer::start(NatsOptions::default()).await?;
        run("command-api", &["migrate", "event-store"], "EVENT_STORE_URL", &event_store.url())
            .await?;
        let mut admin = sqlx::PgConnection::connect(&event_store.url()).await?;
        sqlx::query("CREATE DATABASE subject_keys").execute(&mut admin).await?;
        admin.close().await?;
        run(
            "command-api",
            &["migrate", "subject-keys"],
            "SUBJECT_KEYS_URL",
            &keys_as(&event_store, "postgres"),
        )
        .await?;
        run("projector", &["migrate"], "READ_MODEL_URL", &read_model.url()).await?;
        for (cluster, statement) in [
            (
                &event_store,
                "CREATE ROLE command_api LOGIN IN ROLE event_store_appender, subject_keys_writer",
            ),
            (&event_store, "CREATE ROLE event_relay LOGIN IN ROLE event_store_relay"),
            (
                &event_store,
                "CREATE ROLE projector LOGIN IN ROLE event_store_reader, subject_keys_reader",
            ),
            (&read_model, "CREATE ROLE projector LOGIN IN ROLE read_model_owner"),
            (&read_model, "CREATE ROLE query_api LOGIN IN ROLE read_model_reader"),
        ] {
            let mut admin = sqlx::PgConnection::connect(&cluster.url()).await?;
            sqlx::query(statement).execute(&mut admin).await?;
            admin.close().await?;
        }
        let logs = tempfile::tempdir()?;
        let (processes, mut ports, ways) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for service in Service::ALL {
            ports.insert(service, Ports { api: free_port()?, admin: free_port()? });
        }
        Ok(Launched { stand_by: None, processes, ports, ways, event_store, read_model, nats, logs })
    }

    async fn launch_all(&mut self) -> Result<()> {
        for service in Service::ALL {
            self.launch(service)?;
        }
        for service in Service::ALL {
            self.wait_until_ready(service).await?;
        }
        Ok(())
    }

    /// Returns the proxy between a process and a server.
    pub fn way(&self, service: Service, server: Server) -> Result<&Way> {
        self.ways
            .get(&(service, server))
            .with_context(|| format!("{service:?} has no way to {server:?}"))
    }

    /// The server's own port.
    fn port(&self, server: Server) -> Result<u16> {
        Ok(match server {
            Server::EventStore | Server::SubjectKeys => self.event_store.port(),
            Server::ReadModel => self.read_model.port(),
            Server::Nats => {
                let url = self.nats.url();
                let port = url.rsplit_once(':').context("a port of NATS")?.1;
                port.parse().with_context(|| url.clone())?
            }
        })
    }

    /// A server's database address for the superuser.
    pub fn as_superuser(&self, server: Server) -> String {
        match server {
            Server::SubjectKeys => self.subject_keys(),
            Server::ReadModel => self.read_model.url(),
            Server::EventStore | Server::Nats => self.event_store.url(),
        }
    }

    /// Creates a client of both APIs.
    pub fn client(&self) -> Result<Client> {
        let (commands, queries) =
            (self.address(Service::CommandApi)?, self.address(Service::QueryApi)?);
        Client::new(&commands, &queries, tokens()?)
    }

    /// The address of an API.
    pub fn address(&self, service: Service) -> Result<String> {
        let ports = self.ports.get(&service).with_context(|| format!("ports of {service:?}"))?;
        Ok(format!("http://127.0.0.1:{}", ports.api))
    }

    /// Opens the log and the checkpoints.
    pub fn log(&self) -> Result<Log> {
        Log::new(&self.event_store.url(), &self.read_model.url(), &self.nats.url())
    }

    /// The address of the subject key database for the superuser.
    pub fn subject_keys(&self) -> String {
        keys_as(&self.event_store, "postgres")
    }

    /// Runs an operator command of the command API to completion, with its role. Returns its
    /// output.
    pub async fn operate(&self, arguments: &[&str]) -> Result<String> {
        let role = Service::CommandApi.role();
        let mut command = tokio::process::Command::new(program("command-api")?);
        command
            .args(arguments)
            .env("EVENT_STORE_URL", url_as(&self.event_store, role))
            .env("MASTER_KEY", KEY);
        command.env("SUBJECT_KEYS_URL", keys_as(&self.event_store, role));
        let output = finish_async(&mut command, RUN_LIMIT).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(
            output.status.success(),
            "command-api {arguments:?}: {}: {said}",
            output.status
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs the event store's command line to completion, as the owner of the log. Returns its
    /// output.
    pub async fn event_store_command(&self, arguments: &[&str]) -> Result<String> {
        run("event-store", arguments, "EVENT_STORE_URL", &self.event_store.url()).await
    }

    /// Projects these projections again from the first event.
    pub async fn start_over(&self, projections: &[String]) -> Result<()> {
        for projection in projections {
            run(
                "projector",
                &["start-over", projection, "--yes"],
                "READ_MODEL_URL",
                &self.read_model.url(),
            )
            .await?;
        }
        Ok(())
    }

    /// Launches a process that is not running.
    pub fn launch(&mut self, service: Service) -> Result<()> {
        let ports = *self.ports.get(&service).context("ports")?;
        let process = self
            .launch_with(service, ports, |server| self.way(service, server).ok().map(Way::port))?;
        self.processes.insert(service, process);
        Ok(())
    }

    /// Launches a second process of a service, with connections that never fall silent.
    pub fn launch_stand_by(&mut self, service: Service) -> Result<()> {
        let ports = Ports { api: free_port()?, admin: free_port()? };
        self.stand_by = Some(self.launch_with(service, ports, |_| None)?);
        Ok(())
    }

    fn launch_with(
        &self,
        service: Service,
        ports: Ports,
        way: impl Fn(Server) -> Option<u16>,
    ) -> Result<Process> {
        let (name, action) = service.program();
        let through = |server: Server, url: String| -> Result<String> {
            let own = format!(":{}", self.port(server)?);
            Ok(way(server)
                .map_or_else(|| url.clone(), |port| url.replacen(&own, &format!(":{port}"), 1)))
        };
        let mut command = Command::new(program(name)?);
        command.arg(action);
        for (key, value) in [
            (
                "EVENT_STORE_URL",
                through(Server::EventStore, url_as(&self.event_store, service.role()))?,
            ),
            (
                "READ_MODEL_URL",
                through(Server::ReadModel, url_as(&self.read_model, service.role()))?,
            ),
            (
                "SUBJECT_KEYS_URL",
                through(Server::SubjectKeys, keys_as(&self.event_store, service.role()))?,
            ),
            ("MASTER_KEY", KEY.to_owned()),
            ("NATS_URL", through(Server::Nats, self.nats.url())?),
            ("COMMAND_API_LISTEN", format!("127.0.0.1:{}", ports.api)),
            ("QUERY_API_LISTEN", format!("127.0.0.1:{}", ports.api)),
            ("ADMIN_LISTEN", format!("127.0.0.1:{}", ports.admin)),
            ("RESERVATION_KEY", KEY.to_owned()),
            ("TOKEN_KEY", KEY.to_owned()),
            ("CURSOR_KEY", KEY.to_owned()),
            ("ACCESS_TOKEN_KEYS", KEY.to_owned()),
            ("IDENTITY_URL", self.address(Service::CommandApi)?),
            ("RATE_LIMITS", RATES.to_owned()),
            ("IDENTITY_CACHE", self.logs.path().join("identity").display().to_string()),
        ] {
            command.env(key, value);
        }
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.logs.path().join(name))?;
        let errors = log.try_clone()?;
        let launch = Launch { command: &command, account: Account::Own, guard: Signal::SIGKILL };
        Ok(launch.start(log.into(), errors.into())?)
    }

    /// Stops a process and waits for its end.
    pub async fn stop(&mut self, service: Service) -> Result<()> {
        let mut process =
            self.processes.remove(&service).with_context(|| format!("{service:?} does not run"))?;
        if !process.end(Signal::SIGTERM, STOP_LIMIT).await? {
            bail!(
                "{service:?} did not end within {} s of SIGTERM: {}",
                STOP_LIMIT.as_secs(),
                self.log_of(service)
            );
        }
        Ok(())
    }

    /// Whether a process is running.
    pub fn runs(&mut self, service: Service) -> bool {
        self.processes.get_mut(&service).is_some_and(|process| process.ended().is_none())
    }
}

fn url_as(cluster: &PostgresCluster, role: &str) -> String {
    format!("postgres://{role}@127.0.0.1:{}/postgres", cluster.port())
}

/// The address of the database of personal data keys, on the log's cluster.
fn keys_as(cluster: &PostgresCluster, role: &str) -> String {
    format!("postgres://{role}@127.0.0.1:{}/subject_keys", cluster.port())
}

/// The issuer of access tokens, with [`KEY`].
pub(crate) fn issuer() -> Result<Issuer> {
    Ok(Issuer::new(SigningKeys::parse(&KEY.into())?, ISSUER, AUDIENCE))
}

/// The tokens of an administrator, signed with [`KEY`].
pub(crate) fn tokens() -> Result<Tokens> {
    Ok(Tokens::new(issuer()?, token::holder(token::OPERATOR, "admin")?))
}

/// Runs a program to completion and returns its output.
async fn run(name: &str, arguments: &[&str], variable: &str, value: &str) -> Result<String> {
    let mut command = tokio::process::Command::new(program(name)?);
    let output = finish_async(command.args(arguments).env(variable, value), RUN_LIMIT).await?;
    if !output.status.success() {
        bail!(
            "{name} {arguments:?}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}
