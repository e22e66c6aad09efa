//! The settings of the command lines that ask a running command API for operations.

use admin_client::TokenArgs;
use clap::Args;
use uuid::Uuid;

/// Names the running command API to ask.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// The address of a running command API's admin port.
    #[arg(
        long,
        value_name = "URL",
        env = "COMMAND_API_ADMIN_URL",
        default_value = "http://127.0.0.1:9080"
    )]
    pub admin: String,
    /// The access token of the caller.
    #[command(flatten)]
    pub token: TokenArgs,
}

/// The settings of `begin-epoch`.
#[derive(Debug, Args)]
pub struct BeginEpochArgs {
    /// The current epoch of the log, as `event-store epoch` shows it. If another one is current
    /// when the request is carried out, no epoch begins.
    #[arg(long, value_name = "EPOCH")]
    pub replaces: Uuid,
    /// An epoch of another copy of the log that ends here. It can be given several times.
    #[arg(long = "abandon", value_name = "EPOCH")]
    pub abandoned: Vec<Uuid>,
    /// Who asks for it: an opaque id, for the record. Needed unless an access token says it.
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
    /// Why, for the record and for the list of epochs.
    #[arg(long, value_name = "WHY")]
    pub reason: String,
    /// The command API to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// The settings of `operations`.
#[derive(Debug, Args)]
pub struct OperationsArgs {
    /// Show only the operation with this id, with its arguments and its result, as JSON.
    pub id: Option<Uuid>,
    /// Cancel it, if its effect has not begun.
    #[arg(long, requires = "id")]
    pub cancel: bool,
    /// Who cancels the operation, for the record. Needed unless an access token says it.
    #[arg(long, value_name = "WHO", requires = "cancel")]
    pub by: Option<String>,
    /// The maximum number of operations to list, at most 100.
    #[arg(long, default_value_t = 20, conflicts_with = "id")]
    pub limit: u32,
    /// Print JSON instead of a text for people.
    #[arg(long)]
    pub json: bool,
    /// The command API to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
}
