//! `webhooks run`: opens the stores, sends, serves the admin port, and drains.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use event_feed::NatsHandle;
use event_store::encryption::{LocalMasterKeys, Vault};
use event_store::postgres::{DIGESTING, PostgresKeys, PostgresOptions, PostgresStore};
use event_store::{EventStore, StoreError};
use identity::OperatorKeys;
use postgres_kit::{Pauses, PoolLimits, SchemaError};
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::health::{Component, Health};
use service_kit::http::Ports;
use service_kit::process::Process;
use service_kit::{clock, telemetry};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;

use super::config::{RunArgs, connect_options};
use super::{NAME, api};
use crate::ops::Operations;
use crate::secret::Wrapping;
use crate::tables::Tables;
use crate::{Dispatcher, Limits, NO_CACHE, Sending};

/// How the pools share the connections: lookups in the log, scans of it, and keys.
const WEIGHTS: [u32; 3] = [2, 3, 1];
/// The pauses between attempts to reach a database at the start.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// The maximum time without progress of the log's own tasks.
const PULSE_LIMIT: Duration = Duration::from_secs(30);

/// Why the process cannot work before a person acts.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tables(#[from] SchemaError),
}

/// Sends webhooks until a signal arrives, then finishes the attempts under way.
///
/// # Errors
/// A setting is invalid, an address cannot be bound, or a schema is not the one that this program
/// knows. An absent server is no error.
pub(super) async fn run(args: RunArgs) -> anyhow::Result<()> {
    let process = Process::start(NAME, &args.log.log)?;
    event_store::telemetry::describe_metrics();
    let health = process.health();
    let operators = OperatorKeys::new(&args.operators, health)?;
    let operations = Arc::new(OnceLock::new());
    let routes = api::routes(Arc::clone(&operations), operators.operators.clone());
    let admin = process.admin_with(args.admin_listen, routes);
    let sender = Sender::new(&args)?;
    let work = async {
        let keeping = async {
            operators.keep(process.served()).await;
            anyhow::Ok(())
        };
        tokio::try_join!(sender.work(&args, &process, &operations), keeping).map(drop)
    };
    Box::pin(process.run(Ports { public: Vec::new(), admin }, work)).await
}

/// The keys of the secrets of subscriptions.
fn wrapping(args: &RunArgs) -> anyhow::Result<Wrapping> {
    Ok(Wrapping::new(keys("WEBHOOK_KEY", &args.secrets.get()?)?))
}

/// The address of the keys of personal data and the master keys, if both are set.
fn personal(args: &RunArgs) -> anyhow::Result<Option<(SecretString, LocalMasterKeys)>> {
    let usage = |what: &str| anyhow::Error::from(cli_kit::Usage(what.to_owned()));
    match (args.keys.optional()?, args.master.optional()?) {
        (None, None) => Ok(None),
        (Some(url), Some(master)) => Ok(Some((url, keys("MASTER_KEY", &master)?))),
        (Some(_), None) => Err(usage("SUBJECT_KEYS_URL needs MASTER_KEY")),
        (None, Some(_)) => Err(usage("MASTER_KEY needs SUBJECT_KEYS_URL")),
    }
}

fn keys(name: &str, text: &SecretString) -> Result<LocalMasterKeys, cli_kit::Usage> {
    let parsed = LocalMasterKeys::parse(text);
    parsed.map_err(|error| cli_kit::Usage(format!("{name}: {}", cli_kit::describe(&error))))
}

/// The settings, after they were read.
struct Sender {
    log: PostgresOptions,
    tables: PgConnectOptions,
    keys: PoolLimits,
    personal: Option<(SecretString, Arc<LocalMasterKeys>)>,
    wrapping: Wrapping,
}

impl Sender {
    fn new(args: &RunArgs) -> anyhow::Result<Self> {
        let [lookups, scans, keys] = args.pools.limits()?.divided(WEIGHTS);
        let log = PostgresOptions::from_url(args.event_store.get()?.expose_secret())?
            .application_name(NAME)
            .read_pools([lookups, scans]);
        let personal = personal(args)?.map(|(url, master)| (url, Arc::new(master)));
        let of_keys = personal.as_ref().map_or(0, |_| PostgresKeys::most_connections(keys));
        let of_tables = Tables::CONNECTIONS + Dispatcher::OTHER_CONNECTIONS;
        for (of, most) in
            [("store", log.most_connections()), ("keys", of_keys), ("webhooks", of_tables)]
        {
            telemetry::most_connections(of, most);
        }
        let tables = connect_options(args.tables.address(&args.event_store)?.expose_secret())?;
        Ok(Self { log, tables, keys, personal, wrapping: wrapping(args)? })
    }

    async fn work(
        &self,
        args: &RunArgs,
        process: &Process,
        operations: &OnceLock<Operations>,
    ) -> anyhow::Result<()> {
        let drain = process.drain();
        let nats = match args.nats.optional()? {
            Some(url) => Some(NatsHandle::connect(url.expose_secret(), NAME).await?),
            None => None,
        };
        let tables = Tables::new(&self.tables);
        let (log, vault) = tokio::select! {
            opened = self.open(&tables, process.health()) => opened?,
            () = drain.cancelled() => return Ok(()),
        };
        let sending = Sending {
            log,
            tables,
            wrapping: self.wrapping.clone(),
            vault,
            reach: args.reach(),
            limits: Limits::default(),
            clock: clock::system(),
        };
        let (changed, changes) = watch::channel(0);
        operations.get_or_init(|| Operations::new(sending.clone(), changed));
        let mut dispatcher = Dispatcher::new(sending, &self.tables, process.health(), changes);
        if let Some(nats) = nats {
            dispatcher = dispatcher.live(nats);
        }
        dispatcher.run(drain).await;
        Ok(())
    }

    /// Opens the stores. It waits while one is away.
    async fn open(
        &self,
        tables: &Tables,
        health: &Health,
    ) -> Result<(Arc<dyn EventStore>, Option<Arc<Vault>>), Unusable> {
        let attempt = || async { Ok(PostgresStore::connect(self.log.clone()).await?) };
        let log = patiently(&health.component("event_store"), "the event store", attempt).await?;
        // The command API writes the digests.
        for task in log.tasks().into_iter().filter(|task| task.name != DIGESTING) {
            let pulse = task.pulse;
            health.watch(task.name, PULSE_LIMIT, true, move || pulse.silence());
        }
        let vault = match &self.personal {
            None => None,
            Some((url, master)) => {
                let attempt = || async {
                    let keys = PostgresKeys::connect_with(url.expose_secret(), NAME, self.keys);
                    Ok(keys.await.map_err(StoreError::from)?)
                };
                let component = health.component("subject_keys");
                let keys = patiently(&component, "the store of subject keys", attempt).await?;
                component.ready();
                Some(Vault::new(Arc::new(keys), Arc::clone(master) as _, NO_CACHE))
            }
        };
        let attempt = || async { Ok(tables.check().await?) };
        let component = health.component("webhook_tables");
        patiently(&component, "the tables of webhooks", attempt).await?;
        Ok((Arc::new(log), vault))
    }
}

/// Retries until it succeeds, or until it is clear that it never will.
async fn patiently<T, F>(
    component: &Component,
    what: &str,
    attempt: impl Fn() -> F,
) -> Result<T, Unusable>
where
    F: Future<Output = Result<T, Unusable>>,
{
    let judge = |error: Unusable, pause: Duration| {
        if is_final(&error) {
            return Err(error);
        }
        let error = cli_kit::describe(&error);
        component.not_ready(error.clone());
        tracing::warn!(error, retry_in_ms = pause.as_millis(), "waiting for {what}");
        Ok(())
    };
    Pauses::new(RETRY_FIRST, RETRY_MOST).retry(attempt, judge).await
}

const fn is_final(error: &Unusable) -> bool {
    match error {
        Unusable::Store(StoreError::Unusable(_) | StoreError::Invalid(_)) => true,
        Unusable::Store(StoreError::Keys(error)) => !error.is_transient(),
        Unusable::Store(_) | Unusable::Tables(SchemaError::Database(_)) => false,
        Unusable::Tables(_) => true,
    }
}
