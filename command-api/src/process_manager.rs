//! The process `process-manager`: runs the shop's sagas ([`crate::sagas`]), and lets operators look
//! at them and decide about them.
//!
//! Its events have the actor `system:process-manager`. Any number of processes share the sagas.

mod api;
pub mod config;
mod remote;
mod run;
mod stores;
mod webhooks;

pub use config::{Action, Cli};

use saga::work;
use secrecy::ExposeSecret as _;

/// The name of the process.
const NAME: &str = "process-manager";

/// Runs the command of the command line.
///
/// # Errors
/// The command failed.
pub async fn execute(cli: Cli) -> anyhow::Result<()> {
    match cli.action {
        Action::Run(args) => run::run(*args).await,
        Action::Migrate(args) => {
            let url = args.tables.address(&args.event_store)?;
            let options = config::connect_options(url.expose_secret())?;
            Ok(work::schema().migrate(&options).await?)
        }
        Action::Sagas(action) => remote::execute(&action).await,
        Action::Openapi => {
            Ok(cli_kit::print(serde_json::to_string_pretty(&api::document())? + "\n")?)
        }
    }
}
