//! `command-api serve`: connects to the event store, serves, and drains.
//!
//! Both ports answer from the start. Commands get 503 until the event store and the keys of
//! personal data have known schemas, and every erasure is applied to both. The process waits for a
//! store that is away. A store with another schema ends the process, with a message that says what
//! to run.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use event_store::EncryptingStore;
use event_store::encryption::{self, LocalMasterKeys, SubjectKeyStore, Vault, VaultOptions};
use event_store::postgres::PostgresKeys;
use event_store::postgres::operations::Kind;
use event_store::postgres::{DIGESTING, PostgresOptions, PostgresStore};
use event_store::{
    EventStore as _, Head, Registry, StateLoader, StoreError, Task, UpcastingLog, WrittenType,
};
use identity::KeySource;
use nats_kit::{NatsHandle, Registration, register};
use postgres_kit::{Pauses, PoolLimits};
use secrecy::{ExposeSecret, SecretString};
use service_kit::clock;
use service_kit::health::{Component, Health};
use service_kit::http::{Port, Ports};
use service_kit::process::Process;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::application::erasure_gate::ErasureGate;
use crate::application::repository::{Departures, Repository, registry};
use crate::application::{Commands, Settlement, telemetry};
use crate::config::{ServeArgs, StateArgs};
use crate::erasure;
use crate::http::router;
use crate::operations::{self, Executor};
use crate::signing_in::SigningIn;

mod api;
mod pools;

use api::{api, operators};
use pools::Pools;

/// The name of the process to others.
const NAME: &str = "command-api";
/// The first pause after a failed attempt to reach the event store. The pauses double up to
/// [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// The interval between two checks of the event store.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The maximum time without progress for a task that commands need. After it the process is not
/// ready. It is longer than any step of such a task.
const PULSE_LIMIT: Duration = Duration::from_secs(8);
/// The same limit for a task that commands can do without for a while.
const SLOW_PULSE_LIMIT: Duration = Duration::from_secs(30);

/// Serves until a signal arrives, then finishes the commands in flight.
///
/// # Errors
/// A setting is invalid, an address cannot be bound, or the event store has a schema that this
/// program does not know.
pub async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let process = Process::start(NAME, &args.log.log)?;
    let listen = args.public(args.auth.optional()?.is_some())?;
    telemetry::describe();
    event_store::telemetry::describe_metrics();
    let health = process.health();
    let commands = Arc::new(OnceLock::new());
    let pools = Pools::of(args.pools.limits()?);
    let (api, signing_in, outside) = api(&args, pools.credentials, &commands, health)?;
    let departures = signing_in.as_ref().map(SigningIn::departures);
    let options = PostgresOptions::from_url(args.event_store.get()?.expose_secret())?
        .application_name(NAME)
        .read_pools(pools.reads);
    pools.tell(&options);
    let keys = KeyOptions {
        url: args.keys.url.get()?,
        limits: pools.keys,
        master: Arc::new(erasure::master_keys(&args.keys.master)?),
    };
    let components = Components::of(health);
    let registry = Arc::new(registry()?);
    let settlement = Settlement::new(Arc::clone(&commands), Arc::clone(&api.application.policy))?;
    let operators = operators(&api, outside.as_ref());
    let graphql = crate::graphql::routes(&api);
    let routes = router(&api, &args.allowed.allowed(), graphql);
    let public = Port::public(listen, routes, args.limits.limits());
    let wake = Arc::new(Notify::new());
    let admin =
        operations::routes(options.clone(), Arc::clone(&wake), settlement.clone(), operators);
    let ports = Ports { public: vec![public], admin: process.admin_with(args.admin_listen, admin) };
    let nats = NatsHandle::connect_if(args.nats.optional()?.as_ref(), NAME).await?;
    let registration = registration(&args);
    let executor = Executor {
        options: options.clone(),
        keys: keys.url.clone(),
        credentials: signing_in.as_ref().map(|signing_in| signing_in.identity.credential_store()),
        wake,
        settlement,
    };
    let (served, drain) = (process.served(), process.drain());
    let work = async {
        let watching = keep_stores(
            options,
            (keys, args.states),
            registry,
            departures.as_ref(),
            (&commands, &components),
        );
        let watching = Box::pin(watching);
        let operating = Box::pin(carry_out(&executor, health, drain.clone()));
        let sign_in = Box::pin(async {
            if let Some(signing_in) = signing_in {
                signing_in.work(drain, process.served()).await;
            }
        });
        let fetching = Box::pin(fetch_keys(outside, process.served()));
        let registering = register(nats, registration, health.clone(), process.drain());
        let all =
            async { tokio::join!(served.cancelled(), operating, sign_in, fetching, registering) };
        tokio::select! {
            ((), (), (), (), ()) = all => {}
            unusable = watching => return Err(unusable.into()),
        }
        if let Some(commands) = commands.get() {
            commands.drain().await;
        }
        anyhow::Ok(())
    };
    process.run(ports, work).await
}

/// What the process says about itself to others.
fn registration(args: &ServeArgs) -> Registration {
    let registration = Registration::new(NAME, env!("CARGO_PKG_VERSION"));
    registration.admin(args.admin_listen).address(args.listen)
}

/// Keeps the keys of the outside issuer up to date until `served`, if there is one.
async fn fetch_keys(outside: Option<KeySource>, served: CancellationToken) {
    if let Some(outside) = outside {
        outside.keep(served).await;
    }
}

/// Carries out operations until `drain`. It does not wait for a log that commands can use.
async fn carry_out(executor: &Executor, health: &Health, drain: CancellationToken) {
    let pulse = |name| health.optional_pulse(name, operations::SILENCE_LIMIT);
    let (erasures, epochs) = (pulse("erasures"), pulse("epochs"));
    tokio::join!(
        executor.run(Kind::EraseSubject, erasures, drain.clone()),
        executor.run(Kind::BeginEpoch, epochs, drain)
    );
}

/// How to reach and decrypt the keys of personal data.
struct KeyOptions {
    url: SecretString,
    limits: PoolLimits,
    master: Arc<LocalMasterKeys>,
}

/// The components in `/readyz`.
///
/// The process is ready while the log can be read and appended to. Without the keys, commands with
/// personal data are refused in time and the others still work. So the keys are shown, but do not
/// count for readiness.
struct Components {
    store: Component,
    keys: Component,
    types: Component,
    health: Health,
}

impl Components {
    fn of(health: &Health) -> Self {
        Self {
            store: health.component("event_store"),
            keys: health.optional_component("subject_keys"),
            types: health.optional_component("event_types"),
            health: health.clone(),
        }
    }

    /// Adds a task of the stores to the report.
    fn watch(&self, task: Task, is_required: bool) {
        let Task { name, pulse } = task;
        let limit = if is_required { PULSE_LIMIT } else { SLOW_PULSE_LIMIT };
        self.health.watch(name, limit, is_required, move || pulse.silence());
    }
}

/// Connects to the event store and the keys, applies erasures, accepts commands, and watches both.
/// It returns only if one of them cannot be used.
async fn keep_stores(
    options: PostgresOptions,
    (keys, limits): (KeyOptions, StateArgs),
    registry: Arc<Registry>,
    departures: Option<&Arc<dyn Departures>>,
    (commands, components): (&OnceLock<Arc<Commands>>, &Components),
) -> StoreError {
    let erasure_gate = ErasureGate::default();
    let (store, found) = match reach(&options, &keys, &registry, &erasure_gate, components).await {
        Ok(reached) => reached,
        Err(unusable) => return unusable,
    };
    let vault = Vault::new(Arc::clone(&found) as _, keys.master, VaultOptions::default());
    components.watch(vault.task(), false);
    let digested = Arc::new(EncryptingStore::new(Arc::clone(&store) as _, vault));
    let states = StateLoader::new(UpcastingLog::new(digested, registry), limits.cache());
    let states = states.with_snapshots(Arc::clone(&store) as _, limits.snapshots());
    states.task().into_iter().for_each(|task| components.watch(task, false));
    for task in store.tasks() {
        let is_required = task.name != DIGESTING;
        components.watch(task, is_required);
    }
    let mut repository = Repository::over(states).only_in(erasure_gate.clone());
    if let Some(departures) = departures {
        repository = repository.asking(Arc::clone(departures));
    }
    commands.get_or_init(|| Arc::new(Commands::new(repository, clock::system())));
    components.store.ready();
    tracing::info!("the event store is ready");
    let head = watch::Sender::new(None);
    // The appending process also writes the digests of what was appended. The digests run in the
    // same task as the watches, so they end together.
    tokio::select! {
        unusable = watch_store(&store, &found, &erasure_gate, &head, components) => unusable,
        never = watch_keys(&found, head.subscribe(), components) => match never {},
        never = store.keep_digesting() => match never {},
    }
}

/// Watches whether the event store answers, and publishes its head. Returns only if the store
/// cannot be used.
async fn watch_store(
    store: &PostgresStore,
    found: &PostgresKeys,
    erasure_gate: &ErasureGate,
    head: &watch::Sender<Option<Head>>,
    components: &Components,
) -> StoreError {
    let pulse = components.health.pulse("event_store_watch", PULSE_LIMIT);
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = erasure_gate.doubted() => {}
        }
        pulse.beat();
        let erasure_gate = settle(store, found, erasure_gate).await;
        telemetry::head(erasure_gate.as_ref().ok().map(|head| head.mark.position));
        match erasure_gate {
            Ok(found) => {
                components.store.ready();
                head.send_replace(Some(found));
            }
            // One cause is the schema of another program.
            Err(error @ StoreError::Unusable(_)) => return error,
            // Causes include another history and unsafe settings. The reason says what to do, and
            // the store recovers by itself afterwards.
            Err(error) => components.store.not_ready(error.to_string()),
        }
    }
}

/// Watches whether the keys answer, and stores the log's head with them for processes that start
/// later.
///
/// This is separate from the other watch, because silent keys must not hide the state of the event
/// store.
async fn watch_keys(
    found: &PostgresKeys,
    head: watch::Receiver<Option<Head>>,
    components: &Components,
) -> Infallible {
    let pulse = components.health.pulse("subject_keys_watch", SLOW_PULSE_LIMIT);
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut noted = None;
    loop {
        ticks.tick().await;
        pulse.beat();
        let newest = *head.borrow();
        let looked = match newest.filter(|newest| noted != Some(*newest)) {
            Some(newest) => found.set_known_head(newest).await.map(|()| noted = Some(newest)),
            None => found.applied().await.map(drop),
        };
        match looked {
            Ok(()) => components.keys.ready(),
            Err(error) => components.keys.not_ready(error.to_string()),
        }
    }
}

/// Applies every erasure to an epoch that is new to this process. No command is accepted in the
/// epoch before that. Returns the log's head.
async fn settle(
    store: &PostgresStore,
    keys: &PostgresKeys,
    erasure_gate: &ErasureGate,
) -> Result<Head, StoreError> {
    let head = store.ready().await?;
    let epoch = head.epoch;
    if !erasure_gate.holds(epoch) {
        erasure::apply(store, keys).await?;
        erasure_gate.settle(epoch);
        tracing::info!(%epoch, "commands are taken in this epoch of the log");
    }
    Ok(head)
}

/// Reports the events in the log that this program cannot read. It serves anyway: only commands
/// that read such an event fail.
fn tell_unreadable(unreadable: &[WrittenType], component: &Component) {
    if unreadable.is_empty() {
        return component.ready();
    }
    let list = unreadable.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    tracing::error!(types = list, "the log holds events that this program cannot read");
    component.not_ready(format!("the log holds events that this program cannot read: {list}"));
}

/// Connects to the log and the keys, and applies every erasure to both. Also returns the event
/// types in the log that this program cannot read.
async fn reach(
    options: &PostgresOptions,
    keys: &KeyOptions,
    registry: &Registry,
    erasure_gate: &ErasureGate,
    components: &Components,
) -> Result<(Arc<PostgresStore>, Arc<PostgresKeys>), StoreError> {
    let attempt = || async {
        let url = keys.url.expose_secret();
        let found = PostgresKeys::connect_with(url, NAME, keys.limits).await?;
        encryption::check(&found, keys.master.as_ref()).await?;
        Ok(found)
    };
    let found = patiently(&components.keys, "the store of subject keys", attempt).await?;
    // This process is new and knows nothing of the log. But the log must still have everything that
    // an earlier process has seen.
    let attempt = || async {
        let store =
            PostgresStore::connect(options.clone().known_head(found.known_head().await?)).await?;
        Ok((registry.unreadable(store.written_types().await?), store))
    };
    let (unreadable, store) = patiently(&components.store, "the event store", attempt).await?;
    tell_unreadable(&unreadable, &components.types);
    let attempt = || async { settle(&store, &found, erasure_gate).await };
    patiently(&components.store, "every erasure to be applied", attempt).await?;
    Ok((Arc::new(store), Arc::new(found)))
}

/// Retries until it succeeds, or until it is clear that it never will.
async fn patiently<T, F>(
    component: &Component,
    what: &str,
    attempt: impl Fn() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let judge = |error, pause| {
        let is_final = match &error {
            StoreError::Unusable(_) | StoreError::Invalid(_) => true,
            StoreError::Keys(error) => !error.is_transient(),
            _ => false,
        };
        if is_final {
            return Err(error);
        }
        component.not_ready(error.to_string());
        warn_of_wait(&error, pause, what);
        Ok(())
    };
    Pauses::new(FIRST_PAUSE, MAX_PAUSE).retry(attempt, judge).await
}

fn warn_of_wait(error: &StoreError, pause: Duration, what: &str) {
    let cause: &(dyn std::error::Error + 'static) = error;
    tracing::warn!(error = cause, retry_in_ms = pause.as_millis(), "waiting for {what}");
}
