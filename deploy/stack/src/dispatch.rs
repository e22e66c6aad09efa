//! Runs the command that the command line names.

use std::process::ExitCode;

use crate::cli::{Cli, Command, ImportCommand};
use crate::layout::Layout;
use crate::{
    bench, down, import, logs, operate, prepare, psql, reset, restart, service, status, testing,
    token, up,
};

/// Runs the command.
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
        Command::Token(args) => token::run(&args),
        Command::Run { program, args } => operate::run(&layout, &program, &args),
        Command::Logs { name, follow, lines } => logs::run(&layout, &name, follow, lines).await,
        Command::Test(args) => testing::run(&layout, &args).await,
        Command::Prepare { check } => prepare::run(&layout, check).await,
        Command::Import(ImportCommand::Cdnow(args)) => import::run(&layout, &args).await,
        Command::Bench(args) => bench::run(&layout, &args).await,
    }
}
