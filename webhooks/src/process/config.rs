//! The settings of the process. Each is a flag and an environment variable, and is read once.

use clap::{Args, Parser, Subcommand};
use identity::OperatorArgs;
use ipnet::IpNet;
use secrecy::SecretString;
use service_kit::config::{LogArgs, LoopbackAddr, NatsUrlArgs, SecretError, WriterPoolArgs};
use sqlx::postgres::PgConnectOptions;

use crate::reach::Reach;

mod actions;

pub use actions::{
    AdminArgs, ByArgs, CancelArgs, CreateArgs, DeliveriesAction, DeliveriesListArgs, ListArgs,
    OfArgs, ReplayArgs, ReplaysAction, ResumeArgs, RetryArgs, SkipArgs, SubscriptionsAction,
    WhyArgs,
};

service_kit::secret_args!(
    /// The database of the event store: postgres://user:password@host/database.
    EventStoreUrlArgs, "event-store-url", "EVENT_STORE_URL", "event-store-url-file",
        "EVENT_STORE_URL_FILE"
);

service_kit::secret_args!(
    /// The database of subscriptions and deliveries: postgres://user:password@host/database.
    /// Without it, they are in the database of the event store.
    TablesUrlArgs, "webhooks-url", "WEBHOOKS_URL", "webhooks-url-file", "WEBHOOKS_URL_FILE"
);

service_kit::secret_args!(
    /// The keys that encrypt the secrets of subscriptions, one per line, each base64 of 32 bytes.
    /// The first one encrypts, and all of them can decrypt.
    WebhookKeyArgs, "webhook-key", "WEBHOOK_KEY", "webhook-key-file", "WEBHOOK_KEY_FILE"
);

service_kit::secret_args!(
    /// The database of the keys of personal data: postgres://user:password@host/database. Without
    /// it, no subscription can have personal data.
    SubjectKeysUrlArgs, "subject-keys-url", "SUBJECT_KEYS_URL", "subject-keys-url-file",
        "SUBJECT_KEYS_URL_FILE"
);

service_kit::secret_args!(
    /// The master keys, one per line, each base64 of 32 bytes. They decrypt the keys of personal
    /// data.
    MasterKeyArgs, "master-key", "MASTER_KEY", "master-key-file", "MASTER_KEY_FILE"
);

/// Sends events of the log to the receivers of others, as signed webhooks.
#[derive(Debug, Parser)]
#[command(name = "webhooks", version)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub action: Action,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Send webhooks until a signal stops the process. It waits while a server is away.
    Run(Box<RunArgs>),
    /// Bring the schema of subscriptions up to date. It is safe to run this twice or at the same
    /// time.
    Migrate(MigrateArgs),
    /// List, create and change the subscriptions of the running processes.
    #[command(subcommand)]
    Subscriptions(SubscriptionsAction),
    /// Look at what was not delivered, and decide about it.
    #[command(subcommand)]
    Deliveries(DeliveriesAction),
    /// Send events of the past once more.
    #[command(subcommand)]
    Replays(ReplaysAction),
    /// Print the description of these operations as OpenAPI 3.1.
    Openapi,
}

/// The settings of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The database of subscriptions and deliveries.
    #[command(flatten)]
    pub tables: TablesUrlArgs,
    /// The database of the event store.
    #[command(flatten)]
    pub event_store: EventStoreUrlArgs,
}

/// The settings of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The address of the admin port, with health, metrics and the operations; loopback only.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9087")]
    pub admin_listen: LoopbackAddr,
    /// The database of the event store.
    #[command(flatten)]
    pub event_store: EventStoreUrlArgs,
    /// The database of subscriptions and deliveries.
    #[command(flatten)]
    pub tables: TablesUrlArgs,
    /// The keys of the secrets of subscriptions.
    #[command(flatten)]
    pub secrets: WebhookKeyArgs,
    /// The database of the keys of personal data.
    #[command(flatten)]
    pub keys: SubjectKeysUrlArgs,
    /// The master keys.
    #[command(flatten)]
    pub master: MasterKeyArgs,
    /// The broker, for speed.
    #[command(flatten)]
    pub nats: NatsUrlArgs,
    /// Networks that receivers may be in although they are not public, such as 10.1.0.0/16. There,
    /// http is allowed, too. Several are separated by commas.
    #[arg(long, env = "WEBHOOK_ALLOWED_NETWORKS", value_name = "NETWORKS", value_delimiter = ',')]
    pub allowed_networks: Vec<IpNet>,
    /// Who may ask for operations.
    #[command(flatten)]
    pub operators: OperatorArgs,
    /// The connections to the databases.
    #[command(flatten)]
    pub pools: WriterPoolArgs,
    /// The log settings.
    #[command(flatten)]
    pub log: LogArgs,
}

impl RunArgs {
    /// Which addresses receivers may have.
    pub fn reach(&self) -> Reach {
        Reach::with_allowed(self.allowed_networks.clone())
    }
}

impl TablesUrlArgs {
    /// The address of the tables.
    ///
    /// # Errors
    /// A setting is missing or cannot be read.
    pub(super) fn address(
        &self,
        event_store: &EventStoreUrlArgs,
    ) -> Result<SecretString, SecretError> {
        self.optional()?.map_or_else(|| event_store.get(), Ok)
    }
}

/// Reads the address of the tables.
///
/// # Errors
/// It is not a Postgres address. It is not shown, because it may hold a password.
pub(super) fn connect_options(url: &str) -> Result<PgConnectOptions, cli_kit::Usage> {
    let not_an_address = |_| cli_kit::Usage("WEBHOOKS_URL is not a Postgres URL".to_owned());
    url.parse().map_err(not_an_address)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
