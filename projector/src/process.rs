//! The process `projector run`: reads the settings, connects, projects, carries out operations,
//! serves the admin port, and shuts down.

use std::sync::Arc;
use std::time::Duration;

use event_feed::{Follower, FollowerSettings};
use event_store::encryption::{LocalMasterKeys, SubjectKeyStore, Vault, VaultOptions};
use event_store::erasure::{self};
use event_store::postgres::PostgresKeys;
use event_store::{
    EventStore, PostgresOptions, PostgresStore, Registry, StoreError, UpcastingLog, WrittenType,
};
use identity::OperatorKeys;
use nats_kit::{NatsHandle, Registration, register};
use postgres_kit::{Pauses, PoolLimits};
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::clock;
use service_kit::http::Ports;
use service_kit::operations::Turns;
use service_kit::process::Process;
use service_kit::telemetry;
use tokio::sync::Notify;

use crate::cli::RunArgs;
use crate::cli::error::CommandError;
use crate::cli::reach::{connect_options, store_options};
use crate::{operations, projections};
use projection::operation::{self, Executor, Reach};
use projection::ops::verify::background::{self, Background};
use projection::{
    chain,
    runner::{self, Runner, Watch},
};

/// How the pools share the connections: lookups in the log, scans of it, and keys.
const WEIGHTS: [u32; 3] = [1, 1, 1];
/// The first pause between attempts to reach a database at the start. The pauses double up to
/// [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// Runs until SIGTERM.
///
/// # Errors
/// A setting is wrong or a schema is not the one that this program knows. An absent server is not
/// an error.
pub async fn run(args: RunArgs) -> Result<(), CommandError> {
    let process = Process::start("projector", &args.log.log)?;
    let options = connect_options(&args.read_model.get()?)?;
    let [lookups, scans, keys] = args.pools.limits()?.divided(WEIGHTS);
    let wake = Arc::new(Notify::new());
    let reach = Reach {
        options,
        store: store_options(&args.event_store.get()?)?,
        registry: Arc::new(projections::registry()?),
        vault: None,
    };
    let identity = OperatorKeys::new(&args.identity, process.health())?;
    let operators = identity.operators.clone();
    let api = operations::routes(reach.clone(), projections::all(), Arc::clone(&wake), operators);
    let admin = process.admin_with(args.admin_listen, api);
    let nats = NatsHandle::connect_if(args.nats.optional()?.as_ref(), "projector").await?;
    let work = async {
        // Requests in flight may still need the keys.
        let keeping = async {
            identity.keep(process.served()).await;
            Ok::<(), CommandError>(())
        };
        let registering = async {
            let registration =
                Registration::new("projector", env!("CARGO_PKG_VERSION")).admin(args.admin_listen);
            let health = process.health().clone();
            register(nats.clone(), registration, health, process.drain()).await;
            Ok(())
        };
        let pools = ([lookups, scans], keys);
        let projecting = project(&args, (reach, pools), (&process, nats.clone()), wake);
        tokio::try_join!(projecting, keeping, registering).map(drop)
    };
    Box::pin(process.run(Ports { public: Vec::new(), admin }, work)).await
}

async fn project(
    args: &RunArgs,
    (reach, (reads, keys)): (Reach, ([PoolLimits; 2], PoolLimits)),
    (process, nats): (&Process, Option<NatsHandle>),
    wake: Arc<Notify>,
) -> Result<(), CommandError> {
    let health = process.health();
    let watch = Watch::new(health, clock::system());
    let Reach { options, registry, .. } = reach.clone();
    let log_options = store_options(&args.event_store.get()?)?.read_pools(reads);
    tell_connections(&log_options, keys, &reach);
    let keys_url = (args.subject_keys.get()?, keys);
    let master = LocalMasterKeys::parse(&args.master_key.get()?)?;
    let started = async {
        runner::check_read_model(&options, &watch).await?;
        let (store, unreadable) = open_store(&log_options, &registry).await?;
        let keys = open_keys(&keys_url, store.as_ref()).await?;
        Ok::<_, CommandError>((store, unreadable, keys))
    };
    let drain = process.drain();
    let (store, unreadable, keys) = tokio::select! {
        started = started => started?,
        () = drain.cancelled() => return Ok(()),
    };
    watch.unreadable(&unreadable);
    // The runner manages its partitions in between.
    let settings =
        FollowerSettings { idle_report: runner::ACQUIRE_EVERY, ..FollowerSettings::default() };
    let follower = Follower::new(Arc::clone(&store), nats.clone(), settings);
    let log = UpcastingLog::new(store, Arc::clone(&registry));
    let vault = Vault::new(keys, Arc::new(master), VaultOptions::default());
    let pulse = health.optional_pulse("background_verification", background::SILENCE_LIMIT);
    let (reads, keys) = (log.clone(), Arc::clone(&vault));
    let verifying = Background {
        settings: args.verify.into(),
        options: options.clone(),
        log: reads,
        vault: keys,
        pulse,
    };
    let reach = Reach { vault: Some(Arc::clone(&vault)), ..reach };
    let pulse = health.optional_pulse("operations", operation::SILENCE_LIMIT);
    let executor = Executor::new(reach, projections::all(), wake, pulse);
    let mut runner =
        Runner::new(log, options, projections::all(), nats, watch.clone()).revealing(vault);
    let working = async { tokio::join!(runner.run(follower, drain.clone()), executor.run(drain)) };
    tokio::select! {
        ((), ()) = working => {}
        never = verifying.run(projections::all()) => match never {},
    }
    Ok(())
}

/// Shows in the metrics how many connections the process opens at most. The runner shows those of
/// its partitions.
fn tell_connections(log: &PostgresOptions, keys: PoolLimits, reach: &Reach) {
    for (of, most) in [
        ("store", log.most_connections()),
        ("keys", PostgresKeys::most_connections(keys)),
        ("operations", reach.most_connections() + Turns::MOST),
        ("verification", background::MAX_CONNECTIONS),
    ] {
        telemetry::most_connections(of, most);
    }
}

/// The store, and what it holds that this program cannot read.
async fn open_store(
    options: &PostgresOptions,
    registry: &Registry,
) -> Result<(Arc<dyn EventStore>, Vec<WrittenType>), CommandError> {
    let attempt = || async {
        let store: Arc<dyn EventStore> = Arc::new(PostgresStore::connect(options.clone()).await?);
        let unreadable = registry.unreadable(store.written_types().await?);
        Ok((store, unreadable))
    };
    let judge = waiting_for("the event store");
    Pauses::new(RETRY_FIRST, RETRY_MOST).retry(attempt, judge).await
}

/// Waits until the keys are there and every erasure in the log has been applied to them. The
/// command API destroys restored ones.
async fn open_keys(
    (url, limits): &(SecretString, PoolLimits),
    store: &dyn EventStore,
) -> Result<Arc<dyn SubjectKeyStore>, CommandError> {
    let attempt = || async {
        let keys = PostgresKeys::connect_with(url.expose_secret(), "projector", *limits).await?;
        if !erasure::is_settled(store, &keys).await? {
            return Err(CommandError::ErasuresNotApplied);
        }
        Ok(Arc::new(keys) as Arc<dyn SubjectKeyStore>)
    };
    let judge = waiting_for("the store of subject keys");
    Pauses::new(RETRY_FIRST, RETRY_MOST).retry(attempt, judge).await
}

/// Returns a function that reports an error that passes by itself, and returns every other one.
fn waiting_for(what: &'static str) -> impl Fn(CommandError, Duration) -> Result<(), CommandError> {
    move |error, pause| {
        let passes = match &error {
            CommandError::ErasuresNotApplied
            | CommandError::Store(StoreError::Unavailable(_) | StoreError::OutcomeUnknown(_)) => {
                true
            }
            CommandError::Store(StoreError::Keys(error)) | CommandError::Keys(error) => {
                error.is_transient()
            }
            _ => false,
        };
        if !passes {
            return Err(error);
        }
        tracing::warn!(
            error = chain(&error),
            retry_in_ms = pause.as_millis(),
            "waiting for {what}"
        );
        Ok(())
    }
}
