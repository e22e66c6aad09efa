//! The command line: `projector run | status | account | parked | verify | explain | rebuild |
//! switch-back | drop | pause | resume | operations | migrate | start-over`.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use service_kit::config::{LogArgs, LoopbackAddr, NatsUrlArgs};

use crate::projections;
use account::AccountArgs;
use background::BackgroundArgs;
use explain::ExplainArgs;
use operations::OperationsArgs;
use parked::ParkedArgs;
use pause::PauseArgs;
use projection::AnyProjection;
use projection::generation::SchemaError;
use rebuild::RebuildArgs;
use switch::{DropArgs, SwitchBackArgs};
use verify::VerifyArgs;

pub(crate) mod account;
mod background;
pub mod error;
pub(crate) mod explain;
pub(crate) mod operations;
pub(crate) mod parked;
pub(crate) mod pause;
mod progress;
pub(crate) mod reach;
pub(crate) mod rebuild;
mod remote;
pub(crate) mod status;
pub(crate) mod switch;
pub(crate) mod verify;

service_kit::secret_args!(
    /// Where the log is: postgres://user:password@host:port/database.
    EventStoreUrl, "event-store-url", "EVENT_STORE_URL", "event-store-url-file",
        "EVENT_STORE_URL_FILE"
);

service_kit::secret_args!(
    /// Where the read tables are: postgres://user:password@host:port/database.
    ReadModelUrl, "read-model-url", "READ_MODEL_URL", "read-model-url-file", "READ_MODEL_URL_FILE"
);

service_kit::secret_args!(
    /// Where the keys of personal data are kept: postgres://user:password@host:port/database.
    SubjectKeysUrl, "subject-keys-url", "SUBJECT_KEYS_URL", "subject-keys-url-file",
        "SUBJECT_KEYS_URL_FILE"
);

service_kit::secret_args!(
    /// The master keys, one a line, each base64 of 32 bytes: they open the keys of personal data.
    MasterKey, "master-key", "MASTER_KEY", "master-key-file", "MASTER_KEY_FILE"
);

/// Works read tables out from the log of events.
///
/// Exit codes: 0 done, 1 rows are not what the log makes, 2 wrong usage, 3 could not be done or
/// could not look.
#[derive(Debug, Parser)]
#[command(name = "projector", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Project events as they come, until SIGTERM. Waits for whatever is away.
    Run(Box<RunArgs>),
    /// Show how far each projection is: position, head, lag, mode and heartbeat; once, or again and
    /// again.
    Status(Box<StatusArgs>),
    /// Show where every event up to each checkpoint went: applied, ignored, parked or skipped.
    Account(AccountArgs),
    /// See to events that a projection's fold refused: list, show, retry, skip, export.
    Parked(ParkedArgs),
    /// Fold the log anew and compare with the live rows at the same position. Exit code 1 when they
    /// differ.
    Verify(Box<VerifyArgs>),
    /// List the events that made a row, with the row after each; or show the row as it once was.
    Explain(Box<ExplainArgs>),
    /// Make the next generation of a projection next to the live one, compare the two, and let it
    /// take its place.
    Rebuild(Box<RebuildArgs>),
    /// Let queries see the generation again that they saw before the live one. It is caught up
    /// first.
    SwitchBack(Box<SwitchBackArgs>),
    /// Remove a generation that queries do not see, with all its rows.
    Drop(DropArgs),
    /// Stop projecting a projection, in every process, until somebody resumes it. Queries see its
    /// rows as they are.
    Pause(PauseArgs),
    /// Project a paused projection again, from where it stands.
    Resume(PauseArgs),
    /// Show what people asked the running projectors to do, the newest first; or cancel it.
    Operations(OperationsArgs),
    /// Bring the read model's schema into the form that this program knows. Safe twice and at once.
    Migrate(MigrateArgs),
    /// Project one projection from the first event again, in a new generation that takes the old
    /// one's place at once.
    ///
    /// For a log whose history has changed, and for a fold that has: until it has caught up,
    /// queries see it fill.
    StartOver(StartOverArgs),
}

/// Settings of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub(crate) event_store: EventStoreUrl,
    #[command(flatten)]
    pub(crate) read_model: ReadModelUrl,
    #[command(flatten)]
    pub(crate) subject_keys: SubjectKeysUrl,
    #[command(flatten)]
    pub(crate) master_key: MasterKey,
    #[command(flatten)]
    pub(crate) nats: NatsUrlArgs,
    /// Where /livez, /readyz, /metrics and the operations are served; loopback only.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9083")]
    pub(crate) admin_listen: LoopbackAddr,
    #[command(flatten)]
    pub(crate) verify: BackgroundArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Settings of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub(crate) event_store: EventStoreUrl,
    #[command(flatten)]
    pub(crate) read_model: ReadModelUrl,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Show it again and again, until Ctrl-C; with --json, a document on each line.
    #[arg(long)]
    pub(crate) watch: bool,
    /// How many seconds lie between two looks of --watch, from 0.1 to 3600.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = status::parse_interval,
        requires = "watch")]
    pub(crate) interval: Duration,
}

/// Settings of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    pub(crate) read_model: ReadModelUrl,
}

/// Settings of `start-over`.
#[derive(Debug, Args)]
pub struct StartOverArgs {
    /// Which projection.
    pub(crate) projection: String,
    /// Into how many partitions its keys are split; as before, unless said.
    #[arg(long)]
    pub(crate) partitions: Option<i32>,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) read_model: ReadModelUrl,
}

/// The projection of this name.
pub(crate) fn projection(name: &str) -> Result<Arc<dyn AnyProjection>, SchemaError> {
    let known = projections::all().into_iter().find(|projection| projection.name() == name);
    known.ok_or_else(|| SchemaError::UnknownProjection(name.to_owned()))
}

/// Warns, and asks the person at the keyboard for the projection's name.
pub(crate) fn confirmed(name: &str, warning: &str) -> std::io::Result<bool> {
    write!(std::io::stderr(), "{warning} Type {name} to go on: ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == name)
}
