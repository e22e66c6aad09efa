//! The settings of the process. Each is a flag and an environment variable, and is read once.

use admin_client::TokenArgs;
use clap::{Parser, Subcommand};
use identity::OidcArgs;
use identity::config::{CacheArgs, PolicyArgs};
use service_kit::config::{
    AllowedArgs, Callers, LimitArgs, Listen, ListenAddr, ListenRefused, LogArgs, LoopbackAddr,
    NatsUrlArgs, PublicUrl, RateArgs, Switch, TlsArgs, TokenKeyArgs, VersionArgs, WriterPoolArgs,
};

use crate::http::Version;

mod access;
mod access_tokens;
mod administrator;
mod gateway;
mod mail;
mod operations;
mod session;
mod states;

pub use access::{AccessAction, ItemArgs, RoleArgs, UserArgs};
pub use access_tokens::{AccessTokenArgs, AccessTokenKeysArgs};
pub use administrator::{CreateAdminArgs, StoreArgs, reservation_secret};
pub use gateway::{PaymentArgs, PaymentProvider, ShippingArgs, ShippingProvider};
pub use mail::{MailArgs, MailServerArgs};
pub use operations::{AdminArgs, BeginEpochArgs, OperationsArgs};
pub use session::SessionArgs;
pub use states::StateArgs;

service_kit::secret_args!(
    /// The database of the event store: postgres://user:password@host/database.
    EventStoreUrlArgs, "event-store-url", "EVENT_STORE_URL", "event-store-url-file",
        "EVENT_STORE_URL_FILE"
);

service_kit::secret_args!(
    /// The database of users' credentials: postgres://user:password@host/database.
    AuthUrlArgs, "auth-url", "AUTH_URL", "auth-url-file", "AUTH_URL_FILE"
);

service_kit::secret_args!(
    /// The key that hashes unique values: base64, at least 32 bytes.
    ReservationKeyArgs, "reservation-key", "RESERVATION_KEY", "reservation-key-file",
        "RESERVATION_KEY_FILE"
);

service_kit::secret_args!(
    /// The database of the keys of personal data: postgres://user:password@host/database.
    SubjectKeysUrlArgs, "subject-keys-url", "SUBJECT_KEYS_URL", "subject-keys-url-file",
        "SUBJECT_KEYS_URL_FILE"
);

service_kit::secret_args!(
    /// The master keys, one per line, each base64 of 32 bytes. The first one encrypts the keys of
    /// personal data, and all of them can decrypt.
    MasterKeyArgs, "master-key", "MASTER_KEY", "master-key-file", "MASTER_KEY_FILE"
);

/// Takes commands over HTTP and appends the resulting events to the event store.
#[derive(Debug, Parser)]
#[command(name = "command-api", version)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub action: Action,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Serve the API until a signal stops it.
    Serve(Box<ServeArgs>),
    /// Bring a schema up to date. It is safe to run this twice or at the same time.
    #[command(subcommand)]
    Migrate(MigrateTarget),
    /// Erase the personal data of a subject for good and print the proof. This also finishes an
    /// erasure that was interrupted.
    ///
    /// The exit code is 1 if any readable data is left.
    EraseSubject(Box<EraseSubjectArgs>),
    /// Create the first administrator, and print how to log in. It is safe to run this again: it
    /// completes what was interrupted, and changes no password.
    ///
    /// Somebody who is registered already is appointed only with --existing.
    CreateAdmin(Box<CreateAdminArgs>),
    /// List and change the access of users: their roles, sessions and API keys.
    #[command(subcommand)]
    Access(AccessAction),
    /// Let a running command API begin a new epoch of the log. It also can while it refuses
    /// commands because events were lost.
    BeginEpoch(BeginEpochArgs),
    /// List, show or cancel the operations of the command APIs.
    Operations(OperationsArgs),
    /// Encrypt all keys of personal data with the first master key. No event changes. The other
    /// master keys can be removed afterwards.
    RotateMasterKey(KeyArgs),
    /// Print the description of the API as OpenAPI 3.1, the same as `/openapi.json`.
    Openapi {
        /// The version of the API. The description of version 2 is the same as `/openapi/v2.json`.
        #[arg(long, value_enum, default_value_t = Version::V1)]
        version: Version,
        /// Describe the operations API of the admin port instead.
        #[arg(long, conflicts_with = "version")]
        admin: bool,
    },
    /// Print the description of the events as AsyncAPI 3.0, the same as `/asyncapi.json`.
    Asyncapi,
    /// Print the JSON Schemas of the events, by `type/version`.
    Schemas {
        /// The only type to print, such as `order.placed`.
        #[arg(long = "type")]
        event_type: Option<String>,
    },
}

/// The schemas that this program can bring up to date.
#[derive(Debug, Subcommand)]
pub enum MigrateTarget {
    /// The schema of the event store. Run this as the owner of its database.
    EventStore {
        /// The database of the event store.
        #[command(flatten)]
        url: EventStoreUrlArgs,
    },
    /// The schema of the keys of personal data. Run this as the owner of its database.
    SubjectKeys {
        /// The database of the keys.
        #[command(flatten)]
        url: SubjectKeysUrlArgs,
    },
    /// The schema of users' credentials.
    Auth {
        /// The database of the credentials.
        #[command(flatten)]
        url: AuthUrlArgs,
    },
}

/// The settings to reach the keys of personal data.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// The database of the keys.
    #[command(flatten)]
    pub url: SubjectKeysUrlArgs,
    /// The master keys that encrypt them.
    #[command(flatten)]
    pub master: MasterKeyArgs,
}

/// The settings of `erase-subject`.
#[derive(Debug, clap::Args)]
pub struct EraseSubjectArgs {
    /// The subject: the id in `$subject` of personal fields.
    pub subject: uuid::Uuid,
    /// Who requests the erasure: an opaque id, stored in the ledger and in the event. Needed unless
    /// an access token says it to a running command API.
    #[arg(long)]
    pub by: Option<String>,
    /// Let a running command API do the work, as an operation that outlives this command line. The
    /// value is the address of its admin port. The databases need not be reached from here.
    #[arg(long, value_name = "URL", env = "COMMAND_API_ADMIN_URL", requires = "reason")]
    pub admin: Option<String>,
    /// The access token of the caller, for --admin.
    #[command(flatten)]
    pub token: TokenArgs,
    /// Why, for the record of operations. Needed with --admin.
    #[arg(long, value_name = "WHY")]
    pub reason: Option<String>,
    /// Cancel the person's open orders with the erasure. Without it, an open order refuses the
    /// erasure. It needs --admin.
    #[arg(long)]
    pub cancel_open_orders: bool,
    /// Print the proof as JSON.
    #[arg(long)]
    pub json: bool,
    /// The database of the event store.
    #[command(flatten)]
    pub event_store: EventStoreUrlArgs,
    /// The database of the keys of personal data.
    #[command(flatten)]
    pub keys: SubjectKeysUrlArgs,
    /// The database of credentials. Without it, the proof does not cover them.
    #[command(flatten)]
    pub auth: AuthUrlArgs,
}

/// The settings of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// The address of the API. Beyond loopback it needs callers who can say who they are (AUTH_URL
    /// or OIDC_ISSUER), and TLS here or in the trusted proxies.
    #[arg(long = "listen", env = "COMMAND_API_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: ListenAddr,
    /// The address of the admin port, with health and metrics; loopback only.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9080")]
    pub admin_listen: LoopbackAddr,
    /// The public URL of the query API. The `Location` of a new resource begins with it.
    #[arg(long, env = "PUBLIC_QUERY_URL", default_value = "http://127.0.0.1:8081")]
    pub public_query_url: PublicUrl,
    /// What the answers of old versions say about their end.
    #[command(flatten)]
    pub versions: VersionArgs,
    /// Whether orders can be imported with their original prices and dates.
    #[arg(long, env = "ORDER_IMPORT", value_enum, default_value_t = Switch::Disabled)]
    pub order_import: Switch,
    /// Whether clients may ask for the GraphQL schema.
    #[arg(long, env = "GRAPHQL_INTROSPECTION", value_enum, default_value_t = Switch::Enabled)]
    pub graphql_introspection: Switch,
    /// NATS. The process registers there, and needs it for nothing else.
    #[command(flatten)]
    pub nats: NatsUrlArgs,
    /// The database of the event store.
    #[command(flatten)]
    pub event_store: EventStoreUrlArgs,
    /// The keys of personal data.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// The key that hashes unique values.
    #[command(flatten)]
    pub reservation_key: ReservationKeyArgs,
    /// The key of consistency tokens.
    #[command(flatten)]
    pub token_key: TokenKeyArgs,
    /// The settings of access tokens.
    #[command(flatten)]
    pub access_tokens: AccessTokenArgs,
    /// An outside issuer whose access tokens count, too.
    #[command(flatten)]
    pub oidc: OidcArgs,
    /// Where the copy of its public keys is.
    #[command(flatten)]
    pub cache: CacheArgs,
    /// The database of credentials. Without it, nobody can log in.
    #[command(flatten)]
    pub auth: AuthUrlArgs,
    /// How long sessions live, and what is kept of them.
    #[command(flatten)]
    pub sessions: SessionArgs,
    /// How mails leave.
    #[command(flatten)]
    pub mail: MailArgs,
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
    /// The limits of aggregates in memory and as snapshots.
    #[command(flatten)]
    pub states: StateArgs,
    /// The connections to the databases.
    #[command(flatten)]
    pub pools: WriterPoolArgs,
    /// The certificate of the API's port.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// The log settings.
    #[command(flatten)]
    pub log: LogArgs,
}

impl ServeArgs {
    /// Where the API listens. `has_log_in` says whether there is a database of credentials.
    ///
    /// # Errors
    /// [`ListenRefused`]: its callers would not be protected.
    pub fn public(&self, has_log_in: bool) -> Result<Listen, ListenRefused> {
        let callers = if has_log_in || self.oidc.oidc_issuer.is_some() {
            Callers::Known
        } else {
            Callers::Unknown { missing: "AUTH_URL or OIDC_ISSUER" }
        };
        self.limits.listen(("COMMAND_API_LISTEN", self.listen), callers, &self.tls)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
