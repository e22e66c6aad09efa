//! The reference: clients who send the commands of an order themselves, to a system without a
//! process manager. There is no command that reserves stock; the shipment takes it.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::SagasBench;
use super::customers::Customer;
use crate::Service;
use crate::bench::commands::load::Load;
use crate::bench::round::{Round, run as round};
use crate::bench::system::{Running, System};

type Doing = Pin<Box<dyn Future<Output = anyhow::Result<u64>> + Send>>;

/// A system without a process manager.
pub(super) struct Counter {
    system: System,
    running: Vec<Running>,
    load: Arc<Load>,
}

impl Counter {
    /// Starts the processes, and makes users and products.
    pub(super) async fn open(bench: &SagasBench) -> anyhow::Result<Self> {
        let system = System::create(&bench.url).await?;
        let api = system.launch(Service::CommandApi).await?;
        let goods = usize::from(bench.goods);
        let load = Arc::new(Load::prepare_with(api.address(), goods, goods).await?);
        let mut running = vec![api];
        for service in [Service::EventRelay, Service::Projector] {
            running.push(system.launch(service).await?);
        }
        Ok(Self { system, running, load })
    }

    /// Sends whole orders, one after another over each connection.
    pub(super) async fn round(&self, connections: usize, seconds: f64) -> anyhow::Result<Round> {
        let workers = (0..connections).map(|_| {
            let customer = Arc::new(Mutex::new(Customer::new(&self.load)));
            move || -> Doing {
                let customer = Arc::clone(&customer);
                Box::pin(async move {
                    customer.lock().await.whole_order().await?;
                    Ok(1)
                })
            }
        });
        Ok(round(seconds, workers.collect()).await?.0)
    }

    /// Ends the processes, and drops the database.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        for process in self.running {
            process.stop().await?;
        }
        self.system.drop().await
    }
}
