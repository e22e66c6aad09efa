//! The settings of the process.

use identity::OidcArgs;
use identity::config::{CacheArgs, PolicyArgs, TokenArgs};
use reqwest::Url;
use service_kit::config::{
    AllowedArgs, Callers, LimitArgs, Listen, ListenAddr, ListenRefused, LogArgs, LoopbackAddr,
    NatsUrlArgs, RateArgs, ReaderPoolArgs, Switch, TlsArgs, TokenKeyArgs, VersionArgs,
};

use crate::graphql::Settings;
use crate::http::Version;
use crate::live::LiveArgs;
use crate::position::MAX_WAITERS;

service_kit::secret_args!(
    /// The database with the read tables: postgres://user:password@host:port/database.
    ReadModelUrl, "read-model-url", "READ_MODEL_URL", "read-model-url-file", "READ_MODEL_URL_FILE"
);

service_kit::secret_args!(
    /// A replica of that database. Reads go there while it answers and does not lag too much.
    ReadModelReplicaUrl, "read-model-replica-url", "READ_MODEL_REPLICA_URL",
        "read-model-replica-url-file",
    "READ_MODEL_REPLICA_URL_FILE"
);

service_kit::secret_args!(
    /// The key that signs page cursors: base64, at least 32 bytes. All copies of this process need
    /// the same key.
    CursorKeyArgs, "cursor-key", "CURSOR_KEY", "cursor-key-file", "CURSOR_KEY_FILE"
);

/// Answers queries from the read tables.
#[derive(Debug, clap::Parser)]
#[command(name = "query-api", version)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of the program.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve the API until a signal stops it.
    Serve(Box<ServeArgs>),
    /// Print the description of the API as OpenAPI 3.1, the same as `/openapi.json`.
    Openapi {
        /// The version of the API. The description of version 2 is the same as `/openapi/v2.json`.
        #[arg(long, value_enum, default_value_t = Version::V1)]
        version: Version,
    },
}

/// Where the public keys of access tokens come from.
#[derive(Debug, clap::Args)]
pub struct IdentityArgs {
    /// The address of the command API, which publishes the keys of access tokens.
    #[arg(long, env = "IDENTITY_URL", value_name = "URL", default_value = "http://127.0.0.1:8080",
        value_parser = identity::published::address)]
    pub identity_url: Url,
    /// Where the copies are.
    #[command(flatten)]
    pub cache: CacheArgs,
}

/// The settings of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// The address of the API. Beyond loopback it needs TLS, here or in the trusted proxies.
    #[arg(long, env = "QUERY_API_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: ListenAddr,
    /// The address of the admin port; loopback only.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9081")]
    pub admin_listen: LoopbackAddr,
    /// The connections to each server with the read tables, besides those of exports.
    #[command(flatten)]
    pub pools: ReaderPoolArgs,
    /// The maximum number of exports at once. Each has a database connection of its own.
    #[arg(long, env = "EXPORTS", default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=64))]
    pub exports: u32,
    /// The maximum number of exports of one user at once, and without one of one address.
    #[arg(long, env = "EXPORTS_PER_CLIENT", default_value_t = 2,
        value_parser = clap::value_parser!(u32).range(1..=64))]
    pub exports_per_client: u32,
    /// The maximum time of one export, in seconds. Its snapshot keeps Postgres from removing old
    /// versions of rows.
    #[arg(long, env = "EXPORT_SECONDS", default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub export_seconds: u64,
    /// How far the replica may lag before reads go to the primary, in seconds.
    #[arg(long, env = "READ_MODEL_REPLICA_MAX_LAG_SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub replica_max_lag: u32,
    /// The maximum number of queries that wait for a position at once. Each holds a connection, or
    /// a part of one with HTTP/2, but none to the database.
    #[arg(long, env = "WAITING_QUERIES", default_value_t = MAX_WAITERS,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub waiting_queries: u32,
    /// Whether clients may ask for the GraphQL schema.
    #[arg(long, env = "GRAPHQL_INTROSPECTION", value_enum, default_value_t = Switch::Enabled)]
    pub graphql_introspection: Switch,
    /// Whether there is a page at `/graphiql` to try GraphQL queries on, for development.
    #[arg(long, env = "GRAPHIQL", value_enum, default_value_t = Switch::Disabled)]
    pub graphiql: Switch,
    /// How many live updates there may be.
    #[command(flatten)]
    pub live: LiveArgs,
    /// The database with the read tables.
    #[command(flatten)]
    pub read_model: ReadModelUrl,
    /// A replica of that database.
    #[command(flatten)]
    pub replica: ReadModelReplicaUrl,
    /// NATS. It shortens the wait of queries that wait for a position, and of live updates; and the
    /// process registers there.
    #[command(flatten)]
    pub nats: NatsUrlArgs,
    /// The key of consistency tokens.
    #[command(flatten)]
    pub token_key: TokenKeyArgs,
    /// The key of page cursors.
    #[command(flatten)]
    pub cursor_key: CursorKeyArgs,
    /// Where the public keys of access tokens come from.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Who issues access tokens, and for whom.
    #[command(flatten)]
    pub access_tokens: TokenArgs,
    /// An outside issuer whose access tokens count, too.
    #[command(flatten)]
    pub oidc: OidcArgs,
    /// What the answers of old versions say about their end.
    #[command(flatten)]
    pub versions: VersionArgs,
    /// What everybody may do.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// The names of the API, and the web origins that may call it from a browser.
    #[command(flatten)]
    pub allowed: AllowedArgs,
    /// How often a client may ask.
    #[command(flatten)]
    pub rates: RateArgs,
    /// The limits of the API's port.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// The certificate of the API's port.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// The log settings.
    #[command(flatten)]
    pub log: LogArgs,
}

impl ServeArgs {
    /// What the GraphQL endpoint shows of itself.
    pub fn graphql(&self) -> Settings {
        Settings {
            introspection: self.graphql_introspection.into(),
            graphiql: self.graphiql == Switch::Enabled,
        }
    }

    /// Where the API listens.
    ///
    /// # Errors
    /// [`ListenRefused`]: its callers would not be protected.
    pub fn public(&self) -> Result<Listen, ListenRefused> {
        self.limits.listen(("QUERY_API_LISTEN", self.listen), Callers::Known, &self.tls)
    }
}
