//! Runs the sagas of a process: follows the log, and drives the instances that have something to
//! do. Any number of processes may run the same sagas.
//!
//! One process at a time folds the log into the work tables ([`crate::work`]); another takes over
//! when it ends or hangs. Every process drives instances: those that it folded itself, handed over
//! in memory, and those that it claims because they are due.
//!
//! Memory is bounded: a process has at most [`RunnerSettings::concurrency`] instances.

use std::sync::Arc;
use std::time::Duration;

use event_feed::NatsHandle;
use event_feed::consumer::{End, StopReason, Worker, WorkerSettings};
use event_store::UpcastingLog;
use postgres_kit::{Lease, LeaseTable, Pauses};
use service_kit::clock::SharedClock;
use service_kit::health::{Component, Health};
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::driver::{DriveError, Driver};
use crate::intake::{self, Intake, deployment};
use crate::probe::Probe;
use crate::sagas::Sagas;
use crate::telemetry;
use crate::work::{self, WorkTable};

mod counts;
mod executor;
mod judge;
mod registration;
mod strays;

use executor::Executor;
use registration::Registration;

/// The limits and intervals of a runner.
#[derive(Debug, Clone)]
pub struct RunnerSettings {
    /// The maximum number of instances that the process drives at once.
    pub concurrency: usize,
    /// How often it looks for instances that are due.
    pub poll: Duration,
    /// How long a process that does not answer keeps its instances.
    pub lease: Duration,
    /// How long the instances may take to come to rest when the process ends.
    pub drain: Duration,
    /// How the log is followed.
    pub worker: WorkerSettings,
}

impl Default for RunnerSettings {
    fn default() -> Self {
        Self {
            concurrency: 256,
            poll: Duration::from_millis(200),
            lease: Duration::from_secs(6),
            drain: Duration::from_secs(10),
            worker: WorkerSettings::default(),
        }
    }
}

/// Runs the sagas of a process, with the guarantees of the crate.
pub struct Runner {
    driver: Driver,
    connect: PgConnectOptions,
    nats: Option<NatsHandle>,
    health: Health,
    /// Whether the log has said where the sagas begin.
    deployed: Component,
    settings: RunnerSettings,
}

impl Runner {
    /// The maximum number of connections to the work tables: those of claims and operations, and
    /// one each of the fold, its lease and the driver's registration.
    pub const MOST_CONNECTIONS: u32 = work::CONNECTIONS + 3;

    /// A runner of these sagas over this log. Its work tables are at the address `connect`. It
    /// polls the log unless [`Runner::live`] gives it a broker.
    pub fn new(
        log: UpcastingLog,
        sagas: Sagas,
        connect: PgConnectOptions,
        (clock, health): (SharedClock, Health),
        settings: RunnerSettings,
    ) -> Self {
        telemetry::describe();
        let driver = Driver::new(log, sagas, clock);
        let deployed = health.component("sagas in the log");
        Self { driver, connect, nats: None, health, deployed, settings }
    }

    /// Reads live from this broker.
    #[must_use]
    pub fn live(mut self, nats: NatsHandle) -> Self {
        self.nats = Some(nats);
        self
    }

    /// Follows the engine from point to point. For tests.
    #[must_use]
    pub fn probed(mut self, probe: Arc<dyn Probe>) -> Self {
        self.driver.probe = Some(probe);
        self
    }

    /// Runs until `drain` is cancelled, or until the log turns out to have another history, which a
    /// person must decide about. It waits for the databases and the broker while they are away.
    ///
    /// An event that the fold cannot read or that makes it panic stops the fold: no instance begins
    /// and none gets signals until a person acts, and health says so. Those that have begun are
    /// driven until `drain` is cancelled.
    pub async fn run(self, drain: CancellationToken) -> End {
        let Some(deployed) = self.deploy(&drain).await else { return End::Drained };
        let driver = Uuid::now_v7();
        let (handover, handed) = intake::handover(driver, self.settings.concurrency);
        let sagas = self.driver.sagas.clone();
        let log = Arc::clone(self.driver.log.store());
        let probe = self.driver.probe.clone();
        let intake = Intake::new((log, &self.connect), sagas, deployed, handover, probe);
        let lease = Lease::new(LeaseTable::Saga, intake::NAME, driver, self.settings.lease);
        let mut worker = Worker::new(
            self.driver.log.clone(),
            (lease, self.connect.clone()),
            intake,
            &self.health,
            self.settings.worker.clone(),
        );
        if let Some(nats) = &self.nats {
            worker = worker.live(nats.clone());
        }
        let executor = Executor::new(
            self.driver,
            WorkTable::new(&self.connect),
            Registration::new(&self.connect, driver, self.settings.lease),
            handed,
            &self.health,
            self.settings,
        );
        let ends = drain.child_token();
        let (end, ()) = tokio::join!(
            async {
                let end = Box::pin(worker.run(drain.clone())).await;
                if is_about_one_event(&end) {
                    drain.cancelled().await;
                }
                ends.cancel();
                end
            },
            executor.run(ends.clone())
        );
        end
    }

    /// Asks the log where the sagas begin, until it answers.
    async fn deploy(&self, drain: &CancellationToken) -> Option<deployment::Deployments> {
        let worker = &self.settings.worker;
        let mut pauses = Pauses::new(worker.retry_first, worker.retry_most);
        loop {
            let store = self.driver.log.store().as_ref();
            let deployed: Result<_, DriveError> = tokio::select! {
                biased;
                () = drain.cancelled() => return None,
                deployed = deployment::deploy(store, &self.driver.sagas) => deployed,
            };
            match deployed {
                Ok(deployed) => {
                    self.deployed.ready();
                    return Some(deployed);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot ask the log where the sagas begin: will retry");
                    self.deployed.not_ready(error.to_string());
                }
            }
            tokio::select! {
                () = pauses.wait() => {}
                () = drain.cancelled() => return None,
            }
        }
    }
}

/// Whether only the fold stopped. The instances are those of the log, so they are driven on.
const fn is_about_one_event(end: &End) -> bool {
    match end {
        End::Stopped(
            StopReason::Unreadable(_) | StopReason::Refused(..) | StopReason::Panicked,
        ) => true,
        End::Stopped(StopReason::Over(_) | StopReason::OtherHistory { .. }) | End::Drained => false,
    }
}
