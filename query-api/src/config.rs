//! The process's settings.

use service_kit::config::{
    LimitArgs, LogArgs, LoopbackAddr, NatsUrlArgs, OriginArgs, TokenKeyArgs,
};

service_kit::secret_args!(
    /// The database with the read tables: postgres://user:password@host:port/database.
    ReadModelUrl, "read-model-url", "READ_MODEL_URL", "read-model-url-file", "READ_MODEL_URL_FILE"
);

service_kit::secret_args!(
    /// A replica of that database; when named, all reads go there.
    ReadModelReplicaUrl, "read-model-replica-url", "READ_MODEL_REPLICA_URL",
        "read-model-replica-url-file",
    "READ_MODEL_REPLICA_URL_FILE"
);

service_kit::secret_args!(
    /// The key that signs page cursors, the same in all copies of this process: base64, at least 32
    /// bytes.
    CursorKeyArgs, "cursor-key", "CURSOR_KEY", "cursor-key-file", "CURSOR_KEY_FILE"
);

/// Answers queries from the read tables.
#[derive(Debug, clap::Parser)]
#[command(name = "query-api", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve the API until stopped.
    Serve(Box<ServeArgs>),
    /// Print the description of the API: OpenAPI 3.1, as `/openapi.json` shows it.
    Openapi,
}

/// The settings of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where the API listens; loopback only.
    #[arg(long, env = "QUERY_API_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: LoopbackAddr,
    /// Where the admin port listens; loopback only.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9081")]
    pub admin_listen: LoopbackAddr,
    /// How many connections to the database this process may hold for each of two kinds of
    /// questions: for single rows, and for lists.
    #[arg(long, env = "READ_MODEL_CONNECTIONS", default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(1..=200))]
    pub connections: u32,
    /// The database.
    #[command(flatten)]
    pub read_model: ReadModelUrl,
    /// Its replica.
    #[command(flatten)]
    pub replica: ReadModelReplicaUrl,
    /// NATS: only makes waiting queries answer sooner.
    #[command(flatten)]
    pub nats: NatsUrlArgs,
    /// The key of consistency tokens.
    #[command(flatten)]
    pub token_key: TokenKeyArgs,
    /// The key of cursors.
    #[command(flatten)]
    pub cursor_key: CursorKeyArgs,
    /// Who may call from a browser.
    #[command(flatten)]
    pub origins: OriginArgs,
    /// What the API's port takes on.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
}
