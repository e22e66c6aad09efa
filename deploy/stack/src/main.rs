//! `cargo stack`: parses the command line and runs the command. Its exit codes are those of
//! `cli_kit`.

use std::process::ExitCode;

use clap::Parser;
use stack::cli::Cli;
use stack::dispatch::run;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("stack: cannot start the runtime: {error}");
                return ExitCode::from(cli_kit::FAILED);
            }
        };
    match runtime.block_on(run(cli)) {
        Ok(code) => code,
        Err(error) => cli_kit::failed("stack", error.as_ref(), cli_kit::FAILED),
    }
}
