//! The four processes launched one by one, with the event store and the read model on clusters of their own: for tests that take
//! one part away and keep it away. (A stack restarts what dies; this does not.)

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use local_servers::{Account, ClusterOptions, Launch, NatsOptions, NatsServer, PostgresCluster, Process, free_port};
use nix::sys::signal::Signal;
use sqlx::Connection;

use crate::{Client, Log, program, until};

const READY_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Base64 of 32 bytes; these processes keep no secret.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// One of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Takes commands.
    CommandApi,
    /// Answers queries.
    QueryApi,
    /// Publishes events.
    EventRelay,
    /// Writes the read tables.
    Projector,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 4] = [Part::CommandApi, Part::QueryApi, Part::EventRelay, Part::Projector];

    /// Its program and what that is told to do.
    pub(crate) const fn program(self) -> (&'static str, &'static str) {
        match self {
            Part::CommandApi => ("command-api", "serve"),
            Part::QueryApi => ("query-api", "serve"),
            Part::EventRelay => ("event-relay", "run"),
            Part::Projector => ("projector", "run"),
        }
    }
}

/// The system, part by part. Everything ends when this is dropped.
#[derive(Debug)]
pub struct Launched {
    // First: the processes end before their servers.
    processes: BTreeMap<Part, Process>,
    ports: BTreeMap<Part, Ports>,
    /// The cluster of the event store.
    pub event_store: PostgresCluster,
    /// The cluster of the read model.
    pub read_model: PostgresCluster,
    /// The broker.
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
        let event_store = PostgresCluster::start(ClusterOptions::default()).await?;
        let read_model = PostgresCluster::start(ClusterOptions::default()).await?;
        let nats = NatsServer::start(NatsOptions::default()).await?;
        run("command-api", &["migrate", "event-store"], "EVENT_STORE_URL", &event_store.url()).await?;
        let mut admin = sqlx::PgConnection::connect(&event_store.url()).await?;
        sqlx::query("CREATE DATABASE subject_keys").execute(&mut admin).await?;
        admin.close().await?;
        run("command-api", &["migrate", "subject-keys"], "SUBJECT_KEYS_URL", &keys_as(&event_store, "postgres")).await?;
        run("projector", &["migrate"], "READ_MODEL_URL", &read_model.url()).await?;
        for (cluster, statement) in [
            (&event_store, "CREATE ROLE command_api LOGIN IN ROLE event_store_appender, subject_keys_writer"),
            (&event_store, "CREATE ROLE event_relay LOGIN IN ROLE event_store_relay"),
            (&event_store, "CREATE ROLE projector LOGIN IN ROLE event_store_reader, subject_keys_reader"),
            (&read_model, "CREATE ROLE projector LOGIN IN ROLE read_model_owner"),
            (&read_model, "CREATE ROLE query_api LOGIN IN ROLE read_model_reader"),
        ] {
            let mut admin = sqlx::PgConnection::connect(&cluster.url()).await?;
            sqlx::query(statement).execute(&mut admin).await?;
            admin.close().await?;
        }
        let logs = tempfile::tempdir()?;
        let mut system = Launched { processes: BTreeMap::new(), ports: BTreeMap::new(), event_store, read_model, nats, logs };
        for part in Part::ALL {
            system.ports.insert(part, Ports { api: free_port()?, admin: free_port()? });
        }
        for part in Part::ALL {
            system.launch(part)?;
        }
        for part in Part::ALL {
            system.wait_until_ready(part).await?;
        }
        Ok(system)
    }

    /// A client of both APIs.
    pub fn client(&self) -> Result<Client> {
        let address = |part| self.ports.get(&part).map(|ports| format!("http://127.0.0.1:{}", ports.api));
        let (commands, queries) = (address(Part::CommandApi), address(Part::QueryApi));
        Client::new(&commands.context("a command API")?, &queries.context("a query API")?)
    }

    /// The log and the checkpoints.
    pub fn log(&self) -> Result<Log> {
        Log::new(&self.event_store.url(), &self.read_model.url(), &self.nats.url())
    }

    /// The database of subject keys, as the superuser.
    pub fn subject_keys(&self) -> String {
        keys_as(&self.event_store, "postgres")
    }

    /// Runs a command of the command API's operators to its end, with its role; gives back what it printed.
    pub async fn operate(&self, arguments: &[&str]) -> Result<String> {
        let role = role(Part::CommandApi);
        let mut command = tokio::process::Command::new(program("command-api")?);
        command.args(arguments).env("EVENT_STORE_URL", url_as(&self.event_store, role)).env("MASTER_KEY", KEY);
        let output = command.env("SUBJECT_KEYS_URL", keys_as(&self.event_store, role)).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "command-api {arguments:?}: {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs the event store's command line to its end, as the owner of the log.
    pub async fn event_store_command(&self, arguments: &[&str]) -> Result<String> {
        run("event-store", arguments, "EVENT_STORE_URL", &self.event_store.url()).await
    }

    /// Projects every projection anew from the first event.
    pub async fn start_over(&self, projections: &[&str]) -> Result<()> {
        for projection in projections {
            run("projector", &["start-over", projection, "--yes"], "READ_MODEL_URL", &self.read_model.url()).await?;
        }
        Ok(())
    }

    /// Launches a process that does not run.
    pub fn launch(&mut self, part: Part) -> Result<()> {
        let (name, action) = part.program();
        let ports = *self.ports.get(&part).context("ports")?;
        let mut command = Command::new(program(name)?);
        command.arg(action);
        for (key, value) in [
            ("EVENT_STORE_URL", url_as(&self.event_store, role(part))),
            ("READ_MODEL_URL", url_as(&self.read_model, role(part))),
            ("SUBJECT_KEYS_URL", keys_as(&self.event_store, role(part))),
            ("MASTER_KEY", KEY.to_owned()),
            ("NATS_URL", self.nats.url()),
            ("COMMAND_API_LISTEN", format!("127.0.0.1:{}", ports.api)),
            ("QUERY_API_LISTEN", format!("127.0.0.1:{}", ports.api)),
            ("ADMIN_LISTEN", format!("127.0.0.1:{}", ports.admin)),
            ("CLAIM_KEY", KEY.to_owned()),
            ("TOKEN_KEY", KEY.to_owned()),
            ("CURSOR_KEY", KEY.to_owned()),
        ] {
            command.env(key, value);
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.logs.path().join(name))?;
        let errors = log.try_clone()?;
        let launch = Launch { command: &command, account: Account::Own, guard: Signal::SIGKILL };
        self.processes.insert(part, launch.start(log.into(), errors.into())?);
        Ok(())
    }

    /// Tells a process to end and waits until it has.
    pub async fn stop(&mut self, part: Part) -> Result<()> {
        let mut process = self.processes.remove(&part).with_context(|| format!("{part:?} does not run"))?;
        if !process.end(Signal::SIGTERM, STOP_LIMIT).await? {
            bail!("{part:?} did not end within {} s of SIGTERM: {}", STOP_LIMIT.as_secs(), self.log_of(part));
        }
        Ok(())
    }

    /// Waits until a process says that it is ready.
    pub async fn wait_until_ready(&mut self, part: Part) -> Result<()> {
        let address = format!("http://127.0.0.1:{}/readyz?verbose", self.ports.get(&part).context("ports")?.admin);
        let what = format!("{part:?} is ready");
        let ready = until(&what, READY_LIMIT, async || {
            let answer = reqwest::get(&address).await?;
            anyhow::ensure!(answer.status().is_success(), answer.text().await?);
            Ok(Some(()))
        });
        ready.await.with_context(|| self.log_of(part))
    }

    /// Waits until a process is not ready and says all of this.
    pub async fn wait_until_it_says(&mut self, part: Part, words: &[&str]) -> Result<()> {
        let address = format!("http://127.0.0.1:{}/readyz?verbose", self.ports.get(&part).context("ports")?.admin);
        let what = format!("{part:?} says {words:?}");
        let said = until(&what, READY_LIMIT, async || {
            let answer = reqwest::get(&address).await?;
            let (ready, text) = (answer.status().is_success(), answer.text().await?);
            anyhow::ensure!(!ready && words.iter().all(|words| text.contains(words)), text);
            Ok(Some(()))
        });
        said.await.with_context(|| self.log_of(part))
    }

    /// Whether a process runs and has not ended.
    pub fn runs(&mut self, part: Part) -> bool {
        self.processes.get_mut(&part).is_some_and(|process| process.ended().is_none())
    }

    fn log_of(&self, part: Part) -> String {
        const LAST: usize = 20;
        let text = std::fs::read_to_string(self.logs.path().join(part.program().0)).unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = text.lines().collect();
        format!("the end of its log:\n{}", lines[lines.len().saturating_sub(LAST)..].join("\n"))
    }
}

/// The database role of a process; each may do only what its group may.
const fn role(part: Part) -> &'static str {
    match part {
        Part::CommandApi => "command_api",
        Part::QueryApi => "query_api",
        Part::EventRelay => "event_relay",
        Part::Projector => "projector",
    }
}

fn url_as(cluster: &PostgresCluster, role: &str) -> String {
    format!("postgres://{role}@127.0.0.1:{}/postgres", cluster.port())
}

/// The keys of personal data: a database of their own beside the log's.
fn keys_as(cluster: &PostgresCluster, role: &str) -> String {
    format!("postgres://{role}@127.0.0.1:{}/subject_keys", cluster.port())
}

/// Runs a program to its end and gives back what it printed.
async fn run(name: &str, arguments: &[&str], variable: &str, value: &str) -> Result<String> {
    let output = tokio::process::Command::new(program(name)?).args(arguments).env(variable, value).output().await?;
    if !output.status.success() {
        bail!("{name} {arguments:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
