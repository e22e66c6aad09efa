//! The command line: what can be asked for, and who does it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::layout::Layout;
use crate::{
    bench, down, import, logs, operate, prepare, psql, reset, restart, service, status, testing, up,
};

/// Runs the whole system on this machine, and its tests.
#[derive(Debug, Parser)]
#[command(name = "cargo stack", bin_name = "cargo stack", version)]
pub struct Cli {
    /// Where the stack keeps its data; `.stack` in the checkout by default.
    #[arg(long, global = true, env = "STACK_DIR", value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// Answer with JSON.
    #[arg(long)]
    pub json: bool,
}

/// What the tool can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything and stay until Ctrl-C.
    Up(UpArgs),
    /// Be the supervisor that `up --detach` leaves behind: in the foreground, printing nothing
    /// until it stops.
    #[command(hide = true)]
    Supervise(SuperviseArgs),
    /// Stop everything.
    Down(Output),
    /// Stop one process or server and keep it stopped, to see how the others do without it.
    Stop {
        /// command-api, query-api, event-relay, projector, postgres or nats.
        name: String,
    },
    /// Start a stopped process or server again.
    Start {
        /// Name of the process or server, as `status` lists it.
        name: String,
    },
    /// Build one process again and restart it, to see a change in the running system. The others
    /// run on. A server is restarted as it is.
    Restart {
        /// command-api, query-api, event-relay, projector, postgres or nats.
        name: String,
    },
    /// Say what runs, where, and whether it is ready.
    Status(Output),
    /// Stop everything and delete all data of the stack (not the keys, not the fetched servers).
    Reset {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// How it answers.
        #[command(flatten)]
        output: Output,
    },
    /// Open the stack's database.
    Psql {
        /// Passed on to psql.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run a command of a program's own against the stack: `run event-store verify`, `run projector
    /// status`.
    Run {
        /// Which program.
        #[arg(value_parser = operate::PROGRAMS)]
        program: String,
        /// Passed on to it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Print a process's log.
    Logs {
        /// command-api, query-api, event-relay, projector, postgres, nats or stack.
        name: String,
        /// Go on printing what is added.
        #[arg(long, short)]
        follow: bool,
        /// How many lines of the end.
        #[arg(long, default_value_t = 200)]
        lines: usize,
    },
    /// Run the whole test suite on servers of its own.
    Test(TestArgs),
    /// Refresh the checked descriptions of all SQL, so that a build needs no database.
    Prepare {
        /// Change nothing; fail when they are not up to date.
        #[arg(long)]
        check: bool,
    },
    /// Import a data set through the command API.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Measure.
    Bench(BenchArgs),
}

/// The settings of `up`.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Return once everything is ready; `down` stops it.
    #[arg(long)]
    pub detach: bool,
    /// Import the sample's order history once everything is ready.
    #[arg(long)]
    pub sample: bool,
    /// Ignore installed servers: use the pinned ones, fetched if need be.
    #[arg(long)]
    pub bundled: bool,
    /// How it answers.
    #[command(flatten)]
    pub output: Output,
    /// The build profile of the processes: `dev` is compiled soon, `release` runs fast.
    #[arg(long, env = "STACK_PROFILE", default_value = "dev", value_name = "NAME")]
    pub profile: String,
    /// Run the programs of this folder, built before, instead of building them.
    #[arg(long, value_name = "FOLDER", conflicts_with = "profile")]
    pub programs: Option<PathBuf>,
}

/// The settings of the supervisor.
#[derive(Debug, Clone, Args)]
pub struct SuperviseArgs {
    /// The folder of the programs.
    #[arg(long, value_name = "FOLDER")]
    pub programs: PathBuf,
    /// The build profile of the programs, if `up` built them.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Ignore installed servers.
    #[arg(long)]
    pub bundled: bool,
}

/// The settings of `test`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Run the long proofs with the counts that they promise.
    #[arg(long)]
    pub long: bool,
    /// Repeat a run.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Ignore installed servers: use the pinned ones, fetched if need be.
    #[arg(long)]
    pub bundled: bool,
    /// Passed on to the test runner.
    #[arg(last = true)]
    pub args: Vec<String>,
}

/// What can be imported.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// The purchases of a record shop's customers, 1997 and 1998.
    Cdnow(ImportArgs),
}

/// The settings of an import.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The file; the sample that the repository carries by default.
    pub file: Option<PathBuf>,
    /// How many commands are in flight at most.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub in_flight: u16,
    /// How it answers.
    #[command(flatten)]
    pub output: Output,
    /// For how many seconds one command is tried while the system cannot take it.
    #[arg(long, default_value_t = 180, value_name = "SECONDS")]
    pub patience: u64,
}

/// The settings of `bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// append, read, growth, condition, encrypt, hot, visible, idle, project, rebuild.
    #[arg(required = true)]
    pub names: Vec<String>,
    /// Also write the figures to a file, as an array.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Ignore installed servers.
    #[arg(long)]
    pub bundled: bool,
    /// Passed on to the bench.
    #[arg(last = true)]
    pub args: Vec<String>,
}

/// Does what was asked.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let layout = Layout::find(cli.dir)?;
    match cli.command {
        Command::Up(args) => up::run(&layout, &args).await,
        Command::Supervise(args) => up::supervise(&layout, args).await,
        Command::Down(output) => down::run(&layout, output.json).await,
        Command::Stop { name } => service::stop(&layout, &name).await,
        Command::Start { name } => service::start(&layout, &name).await,
        Command::Restart { name } => restart::run(&layout, &name).await,
        Command::Status(output) => status::run(&layout, output.json).await,
        Command::Reset { yes, output } => reset::run(&layout, yes, output.json).await,
        Command::Psql { args } => psql::run(&layout, &args),
        Command::Run { program, args } => operate::run(&layout, &program, &args),
        Command::Logs { name, follow, lines } => logs::run(&layout, &name, follow, lines).await,
        Command::Test(args) => testing::run(&layout, &args).await,
        Command::Prepare { check } => prepare::run(&layout, check).await,
        Command::Import(ImportCommand::Cdnow(args)) => import::run(&layout, &args).await,
        Command::Bench(args) => bench::run(&layout, &args).await,
    }
}
