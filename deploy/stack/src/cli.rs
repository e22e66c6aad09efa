//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::check::Check;

/// The programs with maintenance commands.
pub const PROGRAMS: [&str; 4] = ["event-store", "projector", "command-api", "process-manager"];

/// Runs the whole system on this machine, and its tests.
#[derive(Debug, Parser)]
#[command(name = "cargo stack", bin_name = "cargo stack", version)]
pub struct Cli {
    /// The stack's data folder; by default `.stack` in the checkout.
    #[arg(long, global = true, env = "STACK_DIR", value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The output format.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// The commands of the tool.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything and stay until Ctrl-C.
    Up(UpArgs),
    /// Run the supervisor that `up --detach` leaves behind, in the foreground. It prints nothing
    /// until it stops.
    #[command(hide = true)]
    Supervise(SuperviseArgs),
    /// Stop everything.
    Down(Output),
    /// Stop one process or server and keep it stopped, to see how the others cope.
    Stop {
        /// command-api, query-api, event-relay, projector, front, process-manager, sandbox,
        /// postgres, nats or rabbitmq.
        name: String,
    },
    /// Start a stopped process or server again.
    Start {
        /// The process or server, as `status` lists it.
        name: String,
    },
    /// Rebuild and restart one process, to see a change in the running system. The others keep
    /// running. A server is only restarted.
    Restart {
        /// command-api, query-api, event-relay, projector, front, process-manager, sandbox,
        /// postgres, nats or rabbitmq.
        name: String,
    },
    /// Show what runs, where, and whether it is ready.
    Status(Output),
    /// Stop everything and delete all data of the stack (but not the keys and the downloaded
    /// servers).
    Reset {
        /// Do not ask for confirmation.
        #[arg(long)]
        yes: bool,
        /// The output format.
        #[command(flatten)]
        output: Output,
    },
    /// Open the stack's database with psql.
    Psql {
        /// Arguments for psql.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run a command of one of the programs against the stack, such as `run event-store verify` or
    /// `run projector status`.
    Run {
        /// The program to run.
        #[arg(value_parser = PROGRAMS)]
        program: String,
        /// Arguments for the program.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Print an access token for curl. It is valid for five minutes.
    Token(TokenArgs),
    /// Print a process's log.
    Logs {
        /// command-api, query-api, event-relay, projector, front, process-manager, sandbox,
        /// postgres, nats, rabbitmq or stack.
        name: String,
        /// Keep printing new lines.
        #[arg(long, short)]
        follow: bool,
        /// How many of the last lines to print.
        #[arg(long, default_value_t = 200)]
        lines: usize,
    },
    /// Run the whole test suite on separate servers.
    Test(TestArgs),
    /// Refresh the checked descriptions of all SQL, so that a build needs no database.
    Prepare {
        /// Change nothing; fail if they are out of date.
        #[arg(long)]
        check: bool,
    },
    /// Import a data set through the command API.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Run benchmarks.
    Bench(BenchArgs),
}

/// The arguments of `up`.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Return once everything is ready; `down` stops it.
    #[arg(long)]
    pub detach: bool,
    /// Import the sample order history once everything is ready.
    #[arg(long)]
    pub sample: bool,
    /// Ignore installed servers; use the pinned ones and download them if needed.
    #[arg(long)]
    pub bundled: bool,
    /// Also run RabbitMQ, as a second target of the relay. It uses an installed one, or Debian's
    /// packages. RABBITMQ_QUEUES is passed on to the relay.
    #[arg(long)]
    pub rabbitmq: bool,
    /// The output format.
    #[command(flatten)]
    pub output: Output,
    /// The build profile of the processes: `dev` compiles fast, `release` runs fast.
    #[arg(long, env = "STACK_PROFILE", default_value = "dev", value_name = "NAME")]
    pub profile: String,
    /// Run the prebuilt programs in this folder instead of building them.
    #[arg(long, value_name = "FOLDER", conflicts_with = "profile")]
    pub programs: Option<PathBuf>,
}

/// The arguments of the supervisor.
#[derive(Debug, Clone, Args)]
pub struct SuperviseArgs {
    /// The folder with the programs.
    #[arg(long, value_name = "FOLDER")]
    pub programs: PathBuf,
    /// The build profile of the programs, if `up` built them.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Ignore installed servers.
    #[arg(long)]
    pub bundled: bool,
    /// Also run RabbitMQ.
    #[arg(long)]
    pub rabbitmq: bool,
}

/// The arguments of `test`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Run the randomised tests with their full counts.
    #[arg(long)]
    pub long: bool,
    /// Run one check that is too large for the suite, instead of the suite.
    #[arg(long, value_name = "NAME", conflicts_with = "args")]
    pub only: Option<Check>,
    /// Use this seed, to repeat a run.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Ignore installed servers; use the pinned ones and download them if needed.
    #[arg(long)]
    pub bundled: bool,
    /// Arguments for the test runner.
    #[arg(last = true)]
    pub args: Vec<String>,
}

/// The arguments of `token`.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// The role of the holder: admin, support or user.
    #[arg(long, default_value = "admin")]
    pub role: String,
    /// The user who holds the token, with the role `user`.
    #[arg(long, value_name = "ID", conflicts_with = "role")]
    pub user: Option<uuid::Uuid>,
}

/// The data sets that can be imported.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// The purchases of a record shop's customers in 1997 and 1998.
    Cdnow(ImportArgs),
}

/// The arguments of an import.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The file; by default the sample in the repository.
    pub file: Option<PathBuf>,
    /// The maximum number of concurrent commands.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub in_flight: u16,
    /// The output format.
    #[command(flatten)]
    pub output: Output,
    /// For how many seconds to retry a command while the system cannot take it.
    #[arg(long, default_value_t = 180, value_name = "SECONDS")]
    pub patience: u64,
}

/// The arguments of `bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// append, read, growth, condition, commands, overload, encrypt, hot, rebuild, project,
    /// queries, visible, idle.
    #[arg(required = true)]
    pub names: Vec<String>,
    /// Also write the results to a file, as a JSON array.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Ignore installed servers.
    #[arg(long)]
    pub bundled: bool,
    /// Arguments for the benchmark.
    #[arg(last = true)]
    pub args: Vec<String>,
}
