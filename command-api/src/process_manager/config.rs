//! The settings of the process. Each is a flag and an environment variable, and is read once.

use std::num::NonZeroUsize;
use std::time::Duration;

use admin_client::TokenArgs;
use clap::{Args, Parser, Subcommand};
use identity::OperatorArgs;
use secrecy::SecretString;
use service_kit::config::{
    LimitArgs, ListenAddr, LogArgs, LoopbackAddr, NatsUrlArgs, SecretError, TlsArgs, WriterPoolArgs,
};
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use crate::config::{EventStoreUrlArgs, KeyArgs, PaymentArgs, ShippingArgs, StateArgs};
use crate::port::payment::MethodToken;
use crate::sagas::order_fulfilment::Times;

service_kit::secret_args!(
    /// The database of the work tables: postgres://user:password@host/database. Without it, they
    /// are in the database of the event store.
    WorkUrlArgs, "saga-url", "SAGA_URL", "saga-url-file", "SAGA_URL_FILE"
);

/// Runs the sagas of the shop: fulfils orders across stock, payment and shipping.
#[derive(Debug, Parser)]
#[command(name = "process-manager", version)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub action: Action,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Run the sagas until a signal stops the process. It waits while a server is away.
    Run(Box<RunArgs>),
    /// Bring the schema of the work tables up to date. It is safe to run this twice or at the same
    /// time.
    Migrate(MigrateArgs),
    /// Look at the sagas of the running processes, and decide about them.
    #[command(subcommand)]
    Sagas(SagasAction),
    /// Print the description of the operations on sagas as OpenAPI 3.1.
    Openapi,
}

/// The settings of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The database of the work tables.
    #[command(flatten)]
    pub tables: WorkUrlArgs,
    /// The database of the event store.
    #[command(flatten)]
    pub event_store: EventStoreUrlArgs,
}

/// The settings of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The address of the admin port, with health, metrics and the operations on sagas; loopback
    /// only.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9085")]
    pub admin_listen: LoopbackAddr,
    /// The address for the events of the payment provider and the shipper. It is open only with
    /// PAYMENT_WEBHOOK_SECRET or SHIPPING_WEBHOOK_SECRET. Beyond loopback it needs TLS here or in
    /// the trusted proxies.
    #[arg(long, env = "WEBHOOK_LISTEN", default_value = "127.0.0.1:8082")]
    pub webhook_listen: ListenAddr,
    /// The database of the event store.
    #[command(flatten)]
    pub event_store: EventStoreUrlArgs,
    /// The database of the work tables.
    #[command(flatten)]
    pub tables: WorkUrlArgs,
    /// The keys of personal data: the shipper gets the address.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// The broker, for speed.
    #[command(flatten)]
    pub nats: NatsUrlArgs,
    /// The provider that takes payments.
    #[command(flatten)]
    pub payment: PaymentArgs,
    /// The provider that ships orders.
    #[command(flatten)]
    pub shipping: ShippingArgs,
    /// How long fulfilment may take, and how much of it runs at once.
    #[command(flatten)]
    pub fulfilment: FulfilmentArgs,
    /// Who may decide about sagas.
    #[command(flatten)]
    pub operators: OperatorArgs,
    /// The limits of aggregates in memory and as snapshots.
    #[command(flatten)]
    pub states: StateArgs,
    /// The limits of the port for events.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// The certificate of the port for events.
    #[command(flatten)]
    pub tls: TlsArgs,
    /// The connections to the databases.
    #[command(flatten)]
    pub pools: WriterPoolArgs,
    /// The log settings.
    #[command(flatten)]
    pub log: LogArgs,
}

/// How long fulfilment may take, and how much of it runs at once.
#[derive(Debug, Args)]
pub struct FulfilmentArgs {
    /// What pays: the provider's token of a card or another way to pay.
    #[arg(long, env = "PAYMENT_METHOD", value_name = "TOKEN", value_parser = MethodToken::parse,
        default_value = "pm_card_visa")]
    pub payment_method: MethodToken,
    /// How long the payment provider may take to authorise, and again to capture, in seconds. After
    /// that the order is cancelled.
    #[arg(long, env = "PAYMENT_WITHIN", value_name = "SECONDS",
        default_value_t = Times::default().payment.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..))]
    pub payment_within: u64,
    /// How long it may take from the payment to the shipment, in seconds. After that the order is
    /// cancelled.
    #[arg(long, env = "SHIPMENT_WITHIN", value_name = "SECONDS",
        default_value_t = Times::default().shipment.as_secs(),
        value_parser = clap::value_parser!(u64).range(1..))]
    pub shipment_within: u64,
    /// The maximum number of sagas that the process drives at once.
    #[arg(long, env = "SAGAS_AT_ONCE", value_name = "COUNT", default_value = "256")]
    pub sagas_at_once: NonZeroUsize,
}

impl FulfilmentArgs {
    /// How long the steps may take.
    pub const fn times(&self) -> Times {
        Times {
            payment: Duration::from_secs(self.payment_within),
            shipment: Duration::from_secs(self.shipment_within),
        }
    }
}

impl WorkUrlArgs {
    /// The address of the work tables.
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

/// Reads the address of the work tables.
///
/// # Errors
/// It is not a Postgres address. It is not shown, because it may hold a password.
pub(super) fn connect_options(url: &str) -> Result<PgConnectOptions, cli_kit::Usage> {
    let not_an_address = |_| cli_kit::Usage("SAGA_URL is not a Postgres URL".to_owned());
    url.parse().map_err(not_an_address)
}

/// What to look at or decide.
#[derive(Debug, Subcommand)]
pub enum SagasAction {
    /// List the sagas that have not ended, the one without progress for longest first.
    List(ListArgs),
    /// List the sagas without progress for some time, whatever they wait for.
    Stuck(StuckArgs),
    /// Show a saga with a page of its timeline.
    Show(ShowArgs),
    /// Begin the next attempt of a step, or of its compensation, now.
    Retry(RetryArgs),
    /// Decide that a compensation is not needed.
    Skip(SkipArgs),
    /// Undo a saga from where it is.
    GiveUp(WhyArgs),
    /// Let a parked saga go on.
    Resume(ResumeArgs),
    /// Stop a saga until somebody resumes it.
    Park(WhyArgs),
    /// Make the processes fold the log into their list of work again, if the list is wrong.
    FoldAgain(FoldAgainArgs),
}

/// Names the running process manager to ask.
#[derive(Debug, Args)]
pub struct AdminArgs {
    /// The address of a running process manager's admin port.
    #[arg(
        long,
        value_name = "URL",
        env = "PROCESS_MANAGER_ADMIN_URL",
        default_value = "http://127.0.0.1:9085"
    )]
    pub admin: String,
    /// The access token of the caller.
    #[command(flatten)]
    pub token: TokenArgs,
}

/// Names a saga, and who decides.
#[derive(Debug, Args)]
pub struct OfSagaArgs {
    /// The saga: its id, or the id of its order.
    pub id: Uuid,
    /// Who decides: an opaque id, for the record. Needed unless an access token says it.
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
    /// The process manager to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// The settings of `sagas list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only sagas in this status: absent, running, compensating, parked or failing.
    #[arg(long)]
    pub status: Option<String>,
    /// The maximum number of sagas, at most 1000.
    #[arg(long, default_value_t = 50)]
    pub limit: u32,
    /// Print JSON instead of a text for people.
    #[arg(long)]
    pub json: bool,
    /// The process manager to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// The settings of `sagas stuck`.
#[derive(Debug, Args)]
pub struct StuckArgs {
    /// The time without progress, in seconds.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 600)]
    pub seconds: u32,
    /// What to list.
    #[command(flatten)]
    pub list: ListArgs,
}

/// The settings of `sagas show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The saga: its id, or the id of its order.
    pub id: Uuid,
    /// The version after which the page of the timeline begins.
    #[arg(long, value_name = "VERSION", default_value_t = 0)]
    pub after: u32,
    /// The maximum number of events, at most 1000.
    #[arg(long, default_value_t = 1_000)]
    pub limit: u32,
    /// Print JSON instead of a text for people.
    #[arg(long)]
    pub json: bool,
    /// The process manager to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// The settings of `sagas fold-again`.
#[derive(Debug, Args)]
pub struct FoldAgainArgs {
    /// Who asks: an opaque id, for the record. Needed unless an access token says it.
    #[arg(long, value_name = "WHO")]
    pub by: Option<String>,
    /// The process manager to ask.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// The settings of `sagas retry`.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The name of the step to repeat, such as ship.
    #[arg(long)]
    pub step: String,
    /// The saga to decide about, and who decides.
    #[command(flatten)]
    pub of: OfSagaArgs,
}

/// The settings of `sagas skip`.
#[derive(Debug, Args)]
pub struct SkipArgs {
    /// The name of the step whose compensation is not needed, such as ship.
    #[arg(long)]
    pub step: String,
    /// Why, for the record. It is not about a person.
    #[arg(long, value_name = "WHY")]
    pub reason: String,
    /// The saga to decide about, and who decides.
    #[command(flatten)]
    pub of: OfSagaArgs,
}

/// The settings of `sagas give-up` and `sagas park`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Why, for the record. It is not about a person.
    #[arg(long, value_name = "WHY")]
    pub reason: String,
    /// The saga to decide about, and who decides.
    #[command(flatten)]
    pub of: OfSagaArgs,
}

/// The settings of `sagas resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The saga to decide about, and who decides.
    #[command(flatten)]
    pub of: OfSagaArgs,
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
