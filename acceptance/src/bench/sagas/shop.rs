//! The whole system, with a process manager and a sandbox.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use local_servers::{free_port, peak_memory_kib};
use sqlx::PgConnection;
use tokio::time::sleep;

use super::SagasBench;
use super::customers::{Customer, Customers, Pace};
use super::gateway::Gateway;
use super::record::{self, Found, Times};
use crate::bench::commands::load::Load;
use crate::bench::system::{Running, System};
use crate::{Client, POLL, Service};

const KIB_PER_MIB: f64 = 1024.0;
/// What signs the events of the sandbox. It protects nothing.
const SECRET: &str = "whsec_bench";
/// How long the sagas under way may take to fill the system before they are measured.
const LEAD: Duration = Duration::from_secs(1);
/// How long the sagas of a round may take to end after it.
const DRAIN_LIMIT: Duration = Duration::from_mins(3);

/// A running system that fulfils orders.
pub(super) struct Shop {
    system: System,
    api: Running,
    queries: Running,
    manager: Running,
    others: [Running; 3],
    /// The users and products.
    pub(super) load: Arc<Load>,
    /// The sandbox.
    pub(super) gateway: Gateway,
    connections: u16,
    under_way: u16,
}

/// A round of sagas.
pub(super) struct Fulfilled {
    /// The sagas that ended in a second.
    pub(super) rate: f64,
    /// What the log has of them.
    pub(super) found: Found,
}

impl Shop {
    /// Starts the processes, and makes users and products.
    pub(super) async fn open(bench: &SagasBench) -> anyhow::Result<Self> {
        let system = System::create(&bench.url).await?;
        system.finish("process-manager", &["migrate"]).await?;
        let api = system.launch(Service::CommandApi).await?;
        let goods = usize::from(bench.goods);
        let load = Arc::new(Load::prepare_with(api.address(), goods, goods).await?);
        let relay = system.launch(Service::EventRelay).await?;
        let projector = system.launch(Service::Projector).await?;
        let queries = system.launch(Service::QueryApi).await?;
        let webhooks = format!("127.0.0.1:{}", free_port()?);
        let state = system.logs().join("sandbox.json");
        let sandbox = [
            ("SANDBOX_STATE", state.display().to_string()),
            ("SANDBOX_WEBHOOK_ADDRESS", format!("http://{webhooks}")),
            ("SANDBOX_WEBHOOK_SECRET", SECRET.to_owned()),
        ];
        let sandbox = system.start("sandbox", &[], &sandbox).await?;
        let gateway = Gateway::new(sandbox.address())?;
        let address = format!("http://{}", sandbox.address());
        let settings = [
            ("WEBHOOK_LISTEN", webhooks),
            ("PAYMENT_WEBHOOK_SECRET", SECRET.to_owned()),
            ("SHIPPING_WEBHOOK_SECRET", SECRET.to_owned()),
            ("PAYMENT_PROVIDER", "sandbox".to_owned()),
            ("SHIPPING_PROVIDER", "sandbox".to_owned()),
            ("PAYMENT_SANDBOX", address.clone()),
            ("SHIPPING_SANDBOX", address),
        ];
        let manager = system.start("process-manager", &["run"], &settings).await?;
        let (connections, under_way) = (bench.connections, bench.under_way);
        let others = [relay, projector, sandbox];
        Ok(Self { system, api, queries, manager, others, load, gateway, connections, under_way })
    }

    /// The settings of the server.
    pub(super) async fn settings(&self) -> anyhow::Result<String> {
        self.system.database.settings().await
    }

    /// A client of both APIs.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        System::client(&self.api, &self.queries)
    }

    /// What the process manager says of itself, in Prometheus format.
    pub(super) async fn metrics(&self) -> anyhow::Result<String> {
        self.manager.metrics().await
    }

    /// The most memory that the process manager has taken so far.
    pub(super) fn peak_memory_mib(&self) -> anyhow::Result<f64> {
        Ok(f64::from(u32::try_from(peak_memory_kib(self.manager.pid())?)?) / KIB_PER_MIB)
    }

    /// A connection to the log, and the position of its last event.
    pub(super) async fn log(&self) -> anyhow::Result<(PgConnection, i64)> {
        let mut log = self.system.database.connect().await?;
        let head = "SELECT coalesce(max(position), 0) FROM event_store.events";
        let head = sqlx::query_scalar(head).fetch_one(&mut log).await?;
        Ok((log, head))
    }

    /// Starts clients who place this many orders, at this pace.
    pub(super) async fn customers(&self, pace: Pace, most: u32) -> anyhow::Result<Customers> {
        let log = self.log().await?;
        let plan = (pace, most);
        Ok(Customers::start(&self.load, self.connections, plan, self.under_way, log))
    }

    /// Waits until this many sagas have ended since a position.
    pub(super) async fn drained(
        &self,
        log: &mut PgConnection,
        (from, count): (i64, u32),
        limit: Duration,
    ) -> anyhow::Result<()> {
        let (mut position, mut seen) = (from, 0);
        let (count, deadline) = (i64::from(count), Instant::now() + limit);
        loop {
            let (ended, last) = record::ended(log, position).await?;
            (position, seen) = (last, seen + ended);
            // A late answer can make a saga end again, so the cheap count only says when to look.
            if seen >= count && record::found(log, from).await?.ended() == count {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{seen} of {count} sagas ended in time");
            sleep(POLL).await;
        }
    }

    /// Measures the rate of sagas while their clients send all that there is room for.
    pub(super) async fn fulfilled(&self, seconds: f64) -> anyhow::Result<Fulfilled> {
        let (mut log, from) = self.log().await?;
        let customers = self.customers(Pace::Full, u32::MAX).await?;
        sleep(LEAD).await;
        let (_, position) = record::ended(&mut log, from).await?;
        let began = Instant::now();
        sleep(Duration::from_secs_f64(seconds)).await;
        let (ended, _) = record::ended(&mut log, position).await?;
        let rate = f64::from(u32::try_from(ended)?) / began.elapsed().as_secs_f64();
        let confirmed = customers.stop().await?;
        self.drained(&mut log, (from, confirmed), DRAIN_LIMIT).await?;
        record::is_once(&mut log, from).await?;
        Ok(Fulfilled { rate, found: record::found(&mut log, from).await? })
    }

    /// Fulfils one order after another on the idle system.
    pub(super) async fn one_at_a_time(&self, seconds: f64) -> anyhow::Result<Times> {
        let (mut log, from) = self.log().await?;
        let mut customer = Customer::new(&self.load);
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        let mut position = from;
        while Instant::now() < end {
            customer.confirmed_order().await?;
            self.drained(&mut log, (position, 1), DRAIN_LIMIT).await?;
            (_, position) = record::ended(&mut log, position).await?;
        }
        record::times(&mut log, from).await
    }

    /// Waits until the sagas of a phase have ended that were confirmed since a position.
    pub(super) async fn settled(&self, from: i64, confirmed: u32) -> anyhow::Result<()> {
        let (mut log, _) = self.log().await?;
        self.drained(&mut log, (from, confirmed), DRAIN_LIMIT).await
    }

    /// Ends the processes, and drops the database.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        for process in [self.manager, self.queries, self.api].into_iter().chain(self.others) {
            process.stop().await?;
        }
        self.system.drop().await
    }
}
