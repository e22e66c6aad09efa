//! The process `event-relay`: publishes the log to NATS, RabbitMQ or both. See `event_feed::relay`
//! for its guarantees.

use std::process::ExitCode;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use event_feed::NatsHandle;
use event_feed::rabbitmq::{Queues, RabbitAddress};
use event_feed::relay::{
    JetStream, JetStreamSettings, OpenStore, PublishMode, RabbitMq, Relay, RelaySettings,
    RelayTarget, StreamLimits,
};
use event_store::postgres::{PostgresOptions, PostgresStore, WAKE_CHANNEL};
use event_store::{EventStore, StoreError};
use futures::future::OptionFuture;
use secrecy::ExposeSecret as _;
use service_kit::clock;
use service_kit::config::{LogArgs, LoopbackAddr, NatsUrlArgs, WriterPoolArgs};
use service_kit::http::Ports;
use service_kit::process::{self, Process};
use service_kit::telemetry;
use sqlx::postgres::PgConnectOptions;

/// The process makes many short-lived allocations on several threads, which the system's allocator
/// handles slowly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How the read pools share the connections: of lookups, and of scans.
const WEIGHTS: [u32; 2] = [1, 1];
/// The connections of a relay besides those of its store: that of the lease, and the one that
/// listens.
const OTHERS: u32 = 2;

service_kit::secret_args!(
    /// The address of the event store: postgres://user:password@host:port/database.
    EventStoreUrlArgs, "event-store-url", "EVENT_STORE_URL", "event-store-url-file",
        "EVENT_STORE_URL_FILE"
);

service_kit::secret_args!(
    /// The address of RabbitMQ: amqp://user:password@host:port/vhost, or amqps.
    RabbitmqUrlArgs, "rabbitmq-url", "RABBITMQ_URL", "rabbitmq-url-file", "RABBITMQ_URL_FILE"
);

/// Where the log is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// The JetStream stream `EVENTS`.
    Nats,
    /// The exchange `events` of RabbitMQ.
    Rabbitmq,
}

/// Publishes the events of the log to NATS JetStream, RabbitMQ or both, in order.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs until it is stopped. Any number of copies may run; one of them publishes to each
    /// target.
    Run(Box<RunArgs>),
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    event_store: EventStoreUrlArgs,
    /// Where to publish, separated by commas. The targets do not wait for each other.
    #[arg(long, env = "RELAY_TARGETS", value_enum, value_delimiter = ',', default_value = "nats")]
    relay_targets: Vec<Target>,
    #[command(flatten)]
    nats: NatsUrlArgs,
    #[command(flatten)]
    rabbitmq: RabbitmqUrlArgs,
    /// The queues of RabbitMQ that lose no event even if its data is deleted, with the events that
    /// they get, such as shipping=events.order.*,events.product.*;audit=events.#.
    #[arg(long, env = "RABBITMQ_QUEUES", default_value = "")]
    rabbitmq_queues: Queues,
    /// Address of the port for health and metrics.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9082")]
    admin_listen: LoopbackAddr,
    /// How many events before the head a new or emptied target begins.
    #[arg(long, env = "REFILL_WINDOW", default_value_t = 1_000_000,
        value_parser = clap::value_parser!(i64).range(1..))]
    refill_window: i64,
    /// Maximum number of messages in the stream.
    #[arg(long, env = "STREAM_MAX_MESSAGES", default_value_t = 1_000_000,
        value_parser = clap::value_parser!(i64).range(1..))]
    stream_max_messages: i64,
    /// Maximum number of bytes in the stream; -1 means no limit.
    #[arg(long, env = "STREAM_MAX_BYTES", default_value_t = -1, allow_negative_numbers = true)]
    stream_max_bytes: i64,
    /// Number of replicas of the stream in a NATS cluster.
    #[arg(long, env = "STREAM_REPLICAS", default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=5))]
    stream_replicas: u8,
    /// How to publish several events.
    #[arg(long, env = "PUBLISH", value_enum, default_value_t = PublishMode::Atomic)]
    publish: PublishMode,
    /// How soon another copy takes over from a vanished one, in seconds.
    #[arg(long, env = "LEASE_SECONDS", default_value_t = 4,
        value_parser = clap::value_parser!(u64).range(2..=60))]
    lease_seconds: u64,
    #[command(flatten)]
    pools: WriterPoolArgs,
    #[command(flatten)]
    log: LogArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command;
    match process::as_task(run(*args)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => process::failed("event-relay", error.as_ref(), cli_kit::FAILED),
    }
}

async fn run(args: RunArgs) -> anyhow::Result<()> {
    let process = Process::start("event-relay", &args.log.log)?;
    let targets = distinct(&args.relay_targets)?;
    let relays = Relays::new(&args, &process, u32::try_from(targets.len())?)?;
    let nats = if targets.contains(&Target::Nats) {
        let nats = NatsHandle::connect(args.nats.get()?.expose_secret(), "event-relay").await?;
        Some(relays.to(JetStream::new(nats, jetstream_settings(&args))))
    } else {
        None
    };
    let rabbitmq = if targets.contains(&Target::Rabbitmq) {
        Some(relays.to(rabbitmq(&args)?))
    } else {
        None
    };
    let ports = Ports { public: Vec::new(), admin: process.admin(args.admin_listen) };
    let (options, drain) = (relays.options, process.drain());
    let working = async {
        refuse_unknown_schema(options).await?;
        tokio::join!(
            OptionFuture::from(nats.map(|relay| relay.run(drain.clone()))),
            OptionFuture::from(rabbitmq.map(|relay| relay.run(drain.clone()))),
        );
        anyhow::Ok(())
    };
    Box::pin(process.run(ports, working)).await
}

/// The targets, of which none is named twice.
fn distinct(targets: &[Target]) -> Result<&[Target], cli_kit::Usage> {
    let twice = targets.iter().enumerate().any(|(at, target)| targets[..at].contains(target));
    if twice {
        return Err(cli_kit::Usage("RELAY_TARGETS names a target twice".to_owned()));
    }
    Ok(targets)
}

fn rabbitmq(args: &RunArgs) -> anyhow::Result<RabbitMq> {
    let address: RabbitAddress = args
        .rabbitmq
        .get()?
        .expose_secret()
        .parse()
        .map_err(|error| cli_kit::Usage(format!("RABBITMQ_URL: {error}")))?;
    Ok(RabbitMq::new(address, args.rabbitmq_queues.0.clone()))
}

/// What the relays of one process have in common.
struct Relays<'a> {
    process: &'a Process,
    connect: PgConnectOptions,
    options: PostgresOptions,
    settings: RelaySettings,
}

impl<'a> Relays<'a> {
    /// Reads the settings. The relays share the connections of the process.
    fn new(args: &RunArgs, process: &'a Process, relays: u32) -> anyhow::Result<Self> {
        let url = args.event_store.get()?;
        let connect = PgConnectOptions::from_str(url.expose_secret())
            .map_err(|_| cli_kit::Usage("EVENT_STORE_URL is not a Postgres URL".to_owned()))?;
        let whole = args.pools.limits()?;
        let [share, _] = if relays > 1 { whole.divided([1; 2]) } else { [whole; 2] };
        let options = PostgresOptions::from_url(url.expose_secret())?
            .application_name("event-relay")
            .read_pools(share.divided(WEIGHTS));
        telemetry::most_connections("store", relays * options.most_connections());
        telemetry::most_connections("lease", relays * OTHERS);
        Ok(Self { process, connect, options, settings: settings(args) })
    }

    fn to<T: RelayTarget>(&self, target: T) -> Relay<T> {
        Relay::new(
            opener(self.options.clone()),
            self.connect.clone(),
            WAKE_CHANNEL,
            target,
            clock::system(),
            self.process.health(),
            self.settings.clone(),
        )
    }
}

/// Refuses a database with an unknown schema at once. If the database is away, the relay waits for
/// it.
async fn refuse_unknown_schema(options: PostgresOptions) -> anyhow::Result<()> {
    match PostgresStore::connect(options).await {
        Err(error @ StoreError::Unusable(_)) => Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "waiting for the event store");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

fn opener(options: PostgresOptions) -> OpenStore {
    Arc::new(move || {
        let options = options.clone();
        Box::pin(async move {
            Ok(Arc::new(PostgresStore::connect(options).await?) as Arc<dyn EventStore>)
        })
    })
}

fn settings(args: &RunArgs) -> RelaySettings {
    RelaySettings {
        lease_duration: Duration::from_secs(args.lease_seconds),
        refill_window: args.refill_window,
        ..RelaySettings::default()
    }
}

fn jetstream_settings(args: &RunArgs) -> JetStreamSettings {
    JetStreamSettings {
        publish: args.publish,
        limits: StreamLimits {
            max_messages: args.stream_max_messages,
            max_bytes: args.stream_max_bytes,
            replicas: args.stream_replicas.into(),
        },
    }
}
