//! `front serve`: reads the settings, finds out what the APIs behind it are, serves and drains.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use front::config::{Cli, Command, ServeArgs};
use front::{Front, Reports, keep_asking, processes, router};
use nats_kit::{NatsHandle, Registration, Registry, register};
use service_kit::http::{Port, Ports};
use service_kit::process::{self, Process};

/// Requests make many short-lived allocations on several threads. The system allocator is slow at
/// that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Serve(args) = Cli::parse().command;
    match process::as_task(serve(*args)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => process::failed("front", error.as_ref(), cli_kit::FAILED),
    }
}

async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let process = Process::start("front", &args.log.log)?;
    let listen = args.public()?;
    let front = Front::new(args.addresses(), args.upstream_limits(), &process.drain())
        .context("the certificates of the system cannot be used")?;
    let reports = Reports::new(process.health());
    let routes = router(front.clone(), &args.allowed.allowed());
    let public = Port::public(listen, routes, args.limits.limits());
    let nats = NatsHandle::connect_if(args.nats.optional()?.as_ref(), "front").await?;
    let (registry, health) = (Registry::new(), process.health());
    let registration = Registration::new("front", env!("CARGO_PKG_VERSION"))
        .admin(args.admin_listen)
        .address(args.listen);
    let admin = process.admin_with(args.admin_listen, processes(registry.clone()));
    let ports = Ports { public: vec![public], admin };
    let (served, drain) = (process.served(), process.drain());
    let work = async {
        let registering = register(nats.clone(), registration, health.clone(), drain);
        let looking = registry.keep(nats.clone(), health, served.clone());
        tokio::join!(keep_asking(&front, &reports, served), registering, looking);
        anyhow::Ok(())
    };
    process.run(ports, work).await
}
