//! The command line: `projector run | status | account | parked | verify | explain | rebuild |
//! switch-back | drop | pause | resume | operations | migrate | openapi | start-over`.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use identity::OperatorArgs;
use service_kit::config::{LogArgs, LoopbackAddr, NatsUrlArgs, WriterPoolArgs};

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
    /// The address of the log: postgres://user:password@host:port/database.
    EventStoreUrl, "event-store-url", "EVENT_STORE_URL", "event-store-url-file",
        "EVENT_STORE_URL_FILE"
);

service_kit::secret_args!(
    /// The address of the read tables: postgres://user:password@host:port/database.
    ReadModelUrl, "read-model-url", "READ_MODEL_URL", "read-model-url-file", "READ_MODEL_URL_FILE"
);

service_kit::secret_args!(
    /// The address of the keys of personal data: postgres://user:password@host:port/database.
    SubjectKeysUrl, "subject-keys-url", "SUBJECT_KEYS_URL", "subject-keys-url-file",
        "SUBJECT_KEYS_URL_FILE"
);

service_kit::secret_args!(
    /// The master keys, which decrypt the keys of personal data: one per line, each base64 of 32
    /// bytes.
    MasterKey, "master-key", "MASTER_KEY", "master-key-file", "MASTER_KEY_FILE"
);

/// Builds the read tables from the log of events.
///
/// Exit codes: 0 done, 1 rows differ from the log, 2 wrong usage, 3 could not be done or checked.
#[derive(Debug, Parser)]
#[command(name = "projector", version)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Project events as they arrive, until SIGTERM. Waits while a server is away.
    Run(Box<RunArgs>),
    /// Show the progress of each projection: position, head, lag, mode and heartbeat.
    Status(Box<StatusArgs>),
    /// Account for every event up to each checkpoint: applied, ignored, parked or skipped.
    Account(AccountArgs),
    /// Manage events that a projection refused: list, show, retry, skip, export.
    Parked(ParkedArgs),
    /// Fold the log again, and compare with the live rows at the same position. Exit code 1 if they
    /// differ.
    Verify(Box<VerifyArgs>),
    /// List the events that made a row, with the row after each. Or show the row as it was.
    Explain(Box<ExplainArgs>),
    /// Build the next generation of a projection next to the live one, compare the two, and switch
    /// queries to it.
    Rebuild(Box<RebuildArgs>),
    /// Switch queries back to the generation that they saw before the live one. It catches up
    /// first.
    SwitchBack(Box<SwitchBackArgs>),
    /// Drop a generation that queries do not see, with all its rows.
    Drop(DropArgs),
    /// Pause a projection in every process, until a person resumes it. Queries still see its rows.
    Pause(PauseArgs),
    /// Resume a paused projection at its checkpoint.
    Resume(PauseArgs),
    /// List the operations of the running projectors, the newest first. Or show or cancel one.
    Operations(OperationsArgs),
    /// Migrate the read model's schema to the version of this program. Safe to run twice or at once.
    Migrate(MigrateArgs),
    /// Print the description of the operations API as OpenAPI 3.1.
    Openapi,
    /// Replace a projection's live generation at once by an empty one, which fills from the first
    /// event.
    ///
    /// It serves a log whose history has changed, and a fold that has changed. Until the new
    /// generation has caught up, queries see it fill. A rebuild shows them no empty table.
    StartOver(StartOverArgs),
}

/// The settings of `run`.
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
    /// The address that serves /livez, /readyz, /metrics and the operations; loopback only.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9083")]
    pub(crate) admin_listen: LoopbackAddr,
    #[command(flatten)]
    pub(crate) verify: BackgroundArgs,
    #[command(flatten)]
    pub(crate) identity: OperatorArgs,
    #[command(flatten)]
    pub(crate) pools: WriterPoolArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// The settings of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    pub(crate) event_store: EventStoreUrl,
    #[command(flatten)]
    pub(crate) read_model: ReadModelUrl,
    /// Print JSON instead of a text for people.
    #[arg(long)]
    pub(crate) json: bool,
    /// Repeat until Ctrl-C; with --json, print one document per line.
    #[arg(long)]
    pub(crate) watch: bool,
    /// The number of seconds between two repetitions of --watch, from 0.1 to 3600.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = status::parse_interval,
        requires = "watch")]
    pub(crate) interval: Duration,
}

/// The settings of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    pub(crate) read_model: ReadModelUrl,
}

/// The settings of `start-over`.
#[derive(Debug, Args)]
pub struct StartOverArgs {
    /// The name of the projection.
    pub(crate) projection: String,
    /// The number of partitions; by default as before.
    #[arg(long)]
    pub(crate) partitions: Option<i32>,
    /// Do not ask for confirmation.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) read_model: ReadModelUrl,
}

/// Finds the projection with this name.
pub(crate) fn projection(name: &str) -> Result<Arc<dyn AnyProjection>, SchemaError> {
    let known = projections::all().into_iter().find(|projection| projection.name() == name);
    known.ok_or_else(|| SchemaError::UnknownProjection(name.to_owned()))
}

/// Prints a warning, and asks the person at the keyboard to type the projection's name.
pub(crate) fn confirmed(name: &str, warning: &str) -> std::io::Result<bool> {
    write!(std::io::stderr(), "{warning} Type {name} to go on: ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == name)
}
