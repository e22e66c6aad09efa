//! `sandbox`: reads the settings, serves and sends events.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use nats_kit::{NatsHandle, Registration, register};
use sandbox::{Faults, HookSettings, Sandbox, Settings};
use service_kit::config::{LogArgs, LoopbackAddr, NatsUrlArgs};
use service_kit::http::{Limits, Port, Ports};
use service_kit::process::{self, Process};

/// A payment provider and a shipper to develop and test against. It moves neither money nor goods.
#[derive(Debug, clap::Parser)]
#[command(name = "sandbox", version)]
struct Cli {
    /// The address of the API; loopback only.
    #[arg(long, env = "SANDBOX_LISTEN", default_value = "127.0.0.1:4010")]
    listen: LoopbackAddr,
    /// The address of the admin port, with health and metrics; loopback only.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9086")]
    admin_listen: LoopbackAddr,
    /// The file that keeps the state. It is created if it is not there.
    #[arg(long, env = "SANDBOX_STATE", value_name = "FILE")]
    state: PathBuf,
    /// The seed of faults at random: with the same one, a run repeats.
    #[arg(long, env = "SANDBOX_SEED", default_value_t = 1)]
    seed: u64,
    /// The address that gets events. Without it, none are sent.
    #[arg(long, env = "SANDBOX_WEBHOOK_ADDRESS", value_name = "URL")]
    webhook_address: Option<outward::Address>,
    /// The path of the receiver of the events of payments, below its address.
    #[arg(long, env = "SANDBOX_WEBHOOK_PATH", default_value = "/webhooks/payments")]
    webhook_path: String,
    /// The path of the receiver of the events of shipments.
    #[arg(long, env = "SANDBOX_SHIPMENT_WEBHOOK_PATH", default_value = "/webhooks/shipments")]
    shipment_webhook_path: String,
    /// The secret that signs events. It protects nothing: the sandbox is for development.
    #[arg(long, env = "SANDBOX_WEBHOOK_SECRET", default_value = "whsec_sandbox")]
    webhook_secret: String,
    #[command(flatten)]
    nats: NatsUrlArgs,
    #[command(flatten)]
    faults: Faults,
    #[command(flatten)]
    log: LogArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    match process::as_task(serve(Cli::parse())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => process::failed("sandbox", error.as_ref(), cli_kit::FAILED),
    }
}

async fn serve(cli: Cli) -> anyhow::Result<()> {
    let process = Process::start("sandbox", &cli.log.log)?;
    let nats = NatsHandle::connect_if(cli.nats.optional()?.as_ref(), "sandbox").await?;
    let (payments, shipments) = (cli.webhook_path, cli.shipment_webhook_path);
    let secret = cli.webhook_secret;
    let hooks =
        cli.webhook_address.map(|address| HookSettings { address, payments, shipments, secret });
    let faults = cli.faults.checked().map_err(|error| cli_kit::Usage(error.to_string()))?;
    let sandbox = Sandbox::open(Settings { state: cli.state, seed: cli.seed, faults, hooks })?;
    let public = Port::public(cli.listen, sandbox.routes(), Limits::default());
    let ports = Ports { public: vec![public], admin: process.admin(cli.admin_listen) };
    let registration = Registration::new("sandbox", env!("CARGO_PKG_VERSION"))
        .admin(cli.admin_listen)
        .address(cli.listen);
    let (served, drain, health) = (process.served(), process.drain(), process.health().clone());
    let work = async {
        let registering = async {
            register(nats, registration, health, drain).await;
            anyhow::Ok(())
        };
        let delivering = async { Ok(sandbox.deliver(served).await?) };
        tokio::try_join!(delivering, registering).map(drop)
    };
    process.run(ports, work).await
}
