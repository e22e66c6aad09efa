//! `process-manager run`: opens the stores, runs the sagas, serves the admin port, and drains.

use std::sync::{Arc, OnceLock};

use access::Principal;
use event_feed::NatsHandle;
use event_feed::consumer::End;
use event_store::encryption::{Vault, VaultOptions};
use event_store::postgres::{DIGESTING, PostgresKeys, PostgresOptions};
use event_store::{EncryptingStore, Registry, StateLoader, Task, UpcastingLog};
use identity::OperatorKeys;
use postgres_kit::PoolLimits;
use saga::ops::Operations;
use saga::work::WorkTable;
use saga::{Driver, Runner, RunnerSettings, Sagas};
use secrecy::ExposeSecret as _;
use service_kit::config::Callers;
use service_kit::health::Health;
use service_kit::http::{Port, Ports};
use service_kit::process::Process;
use service_kit::{clock, telemetry};
use sqlx::postgres::PgConnectOptions;

use super::config::{RunArgs, connect_options};
use super::stores::{self, Components, Stores};
use super::webhooks::{self, Readers, Reports};
use super::{NAME, api};
use crate::application::erasure_gate::ErasureGate;
use crate::application::repository::{Repository, registry};
use crate::application::{Commands, telemetry as commands_telemetry};
use crate::erasure;
use crate::sagas::order_fulfilment::{self, Gateways};
use crate::sagas::{CrashPoints, Crashing, OrderFulfilment, PRINCIPAL, Shop};

/// How the pools share the connections: lookups in the log, scans of it, and keys.
const WEIGHTS: [u32; 3] = [3, 2, 1];
/// The maximum time without progress of a task that the sagas can do without for a while.
const SLOW_PULSE_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// Runs the sagas until a signal arrives, then lets them come to rest.
///
/// # Errors
/// A setting is invalid, an address cannot be bound, or a schema is not the one that this program
/// knows. An absent server is no error.
pub(super) async fn run(args: RunArgs) -> anyhow::Result<()> {
    let process = Process::start(NAME, &args.log.log)?;
    commands_telemetry::describe();
    event_store::telemetry::describe_metrics();
    let health = process.health();
    let operators = OperatorKeys::new(&args.operators, health)?;
    let operations = Arc::new(OnceLock::new());
    let routes = api::routes(Arc::clone(&operations), operators.operators.clone());
    let admin = process.admin_with(args.admin_listen, routes);
    let manager = Manager::new(&args, health)?;
    let late = Late { operations, reports: webhooks::Late::default() };
    let public = webhook_port(&args, &late)?.into_iter().collect();
    let work = async {
        let keeping = async {
            operators.keep(process.served()).await;
            anyhow::Ok(())
        };
        tokio::try_join!(manager.work(&args, &process, &late), keeping).map(drop)
    };
    Box::pin(process.run(Ports { public, admin }, work)).await
}

/// What exists once the stores are open.
struct Late {
    operations: Arc<OnceLock<Operations>>,
    reports: webhooks::Late,
}

/// The port for the events of the payment provider and the shipper; `None` if no secret is set.
fn webhook_port(args: &RunArgs, late: &Late) -> anyhow::Result<Option<Port>> {
    let readers =
        Readers { payments: args.payment.webhooks()?, shipments: args.shipping.webhooks()? };
    let Some(routes) = webhooks::routes(readers, &late.reports, &clock::system()) else {
        return Ok(None);
    };
    let at = ("WEBHOOK_LISTEN", args.webhook_listen);
    let listen = args.limits.listen(at, Callers::Known, &args.tls)?;
    Ok(Some(Port::public(listen, routes, args.limits.limits())))
}

/// The settings, after they were read.
struct Manager {
    log: PostgresOptions,
    tables: PgConnectOptions,
    keys: PoolLimits,
    gateways: Gateways,
    registry: Arc<Registry>,
    components: Components,
}

impl Manager {
    fn new(args: &RunArgs, health: &Health) -> anyhow::Result<Self> {
        let [lookups, scans, keys] = args.pools.limits()?.divided(WEIGHTS);
        let log = PostgresOptions::from_url(args.event_store.get()?.expose_secret())?
            .application_name(NAME)
            .read_pools([lookups, scans]);
        for (of, most) in [
            ("store", log.most_connections()),
            ("keys", PostgresKeys::most_connections(keys)),
            ("sagas", Runner::MOST_CONNECTIONS),
        ] {
            telemetry::most_connections(of, most);
        }
        let limits = outward::Settings::default();
        let gateways = Gateways {
            payments: args.payment.gateway(limits.clone())?,
            shipping: args.shipping.gateway(limits)?,
            method: args.fulfilment.payment_method.clone(),
            clock: clock::system(),
        };
        Ok(Self {
            log,
            tables: connect_options(args.tables.address(&args.event_store)?.expose_secret())?,
            keys,
            gateways,
            registry: Arc::new(registry()?),
            components: Components::of(health),
        })
    }

    async fn work(&self, args: &RunArgs, process: &Process, late: &Late) -> anyhow::Result<()> {
        let (drain, tables) = (process.drain(), WorkTable::new(&self.tables));
        let nats = match args.nats.optional()? {
            Some(url) => Some(NatsHandle::connect(url.expose_secret(), NAME).await?),
            None => None,
        };
        let url = args.keys.url.get()?;
        let keys = (&url, self.keys);
        let opening = stores::open(&self.log, keys, &tables, &self.registry, &self.components);
        let stores = tokio::select! {
            opened = opening => opened?,
            () = drain.cancelled() => return Ok(()),
        };
        let gate = ErasureGate::default();
        let (log, sagas, commands) = self.sagas(args, &stores, &gate)?;
        let driver = Driver::new(log.clone(), sagas.clone(), clock::system());
        let operations = late.operations.get_or_init(|| Operations::new(driver, tables)).clone();
        let (payments, shipping) = (&self.gateways.payments, &self.gateways.shipping);
        let (payments, shipping) = (Arc::clone(payments), Arc::clone(shipping));
        late.reports.get_or_init(|| Reports { operations, commands, payments, shipping });
        let settings = RunnerSettings {
            concurrency: args.fulfilment.sagas_at_once.get(),
            ..RunnerSettings::default()
        };
        let times = (clock::system(), process.health().clone());
        let mut runner = Runner::new(log, sagas, self.tables.clone(), times, settings);
        if let Some(nats) = nats {
            runner = runner.live(nats);
        }
        let points = CrashPoints::of_environment();
        if points.is_used() {
            runner = runner.probed(Arc::new(points));
        }
        tokio::select! {
            end = runner.run(drain) => match end {
                End::Drained => Ok(()),
                End::Stopped(reason) => Err(reason.into()),
            },
            unusable = stores::watch(&stores, &gate, &self.components) => Err(unusable.into()),
        }
    }

    /// The sagas over the log, whose personal data can be read, and the commands on it.
    fn sagas(
        &self,
        args: &RunArgs,
        stores: &Stores,
        gate: &ErasureGate,
    ) -> anyhow::Result<(UpcastingLog, Sagas, Arc<Commands>)> {
        let master = Arc::new(erasure::master_keys(&args.keys.master)?);
        let vault = Vault::new(Arc::clone(&stores.keys), master, VaultOptions::default());
        self.watch(vault.task(), false);
        let store = Arc::new(EncryptingStore::new(Arc::clone(&stores.log) as _, vault));
        let log = UpcastingLog::new(store, Arc::clone(&self.registry));
        let states = StateLoader::new(log.clone(), args.states.cache());
        let snapshots = Arc::clone(&stores.log) as _;
        let states = states.with_snapshots(snapshots, args.states.snapshots());
        states.task().into_iter().for_each(|task| self.watch(task, false));
        for task in stores.log.tasks() {
            // The command API writes the digests.
            if task.name != DIGESTING {
                self.watch(task, true);
            }
        }
        let repository = Repository::over(states).only_in(gate.clone());
        let commands = Arc::new(Commands::new(repository, clock::system()));
        let shop = Shop::new(Arc::clone(&commands), log.clone())?;
        let actions = OrderFulfilment::new(shop, self.gateways.clone());
        let actions = Crashing::at(CrashPoints::of_environment(), actions);
        let saga = order_fulfilment::saga(actions, args.fulfilment.times())?
            .acting_as(Principal::system(PRINCIPAL)?.to_string());
        Ok((log, Sagas::new([saga])?, commands))
    }

    fn watch(&self, Task { name, pulse }: Task, is_required: bool) {
        let health = &self.components.health;
        health.watch(name, SLOW_PULSE_LIMIT, is_required, move || pulse.silence());
    }
}
