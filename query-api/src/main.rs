//! `query-api serve`: reads the settings, connects, serves and drains.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use query_api::config::{Cli, Command, ServeArgs};
use query_api::database::Pools;
use query_api::http::Api;
use query_api::page::CursorKey;
use query_api::position::{self, Watcher};
use query_api::read::{ALL_PROJECTIONS, Reader};
use query_api::{http, ready};
use service_kit::clock;
use service_kit::consistency::TokenKey;
use service_kit::http::{Port, Ports};
use service_kit::process::{self, Process};

/// Requests make many short-lived allocations on several threads. The system allocator is slow at
/// that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => process::as_task(serve(*args)).await,
        Command::Openapi => describe(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => process::failed("query-api", error.as_ref(), cli_kit::FAILED),
    }
}

fn describe() -> anyhow::Result<()> {
    Ok(cli_kit::print(serde_json::to_string_pretty(&http::document())? + "\n")?)
}

async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let process = Process::start("query-api", &args.log.log)?;
    let health = process.health();
    let url = match args.replica.optional()? {
        Some(replica) => replica,
        None => args.read_model.get()?,
    };
    let pools = Pools::new(&url, args.connections)?;
    let watcher = Watcher::default();
    let api = Api {
        reader: Reader::new(pools.clone(), watcher.clone()),
        token_key: TokenKey::from_secret(&args.token_key.get()?).context("TOKEN_KEY")?,
        cursor_key: CursorKey::from_secret(&args.cursor_key.get()?).context("CURSOR_KEY")?,
        clock: clock::system(),
    };
    let public = Port::public(
        args.listen,
        http::router(api, &args.origins.allowed_origins),
        args.limits.limits(),
    );
    let ports = Ports { public: vec![public], admin: process.admin(args.admin_listen) };
    // The tasks that serve requests in flight run until the last request is answered.
    let background = process.served();
    // An unknown schema ends the process. It waits for everything else.
    let ready = async {
        let (component, pulse) =
            (health.component("read-model"), health.pulse("looking", ready::SILENCE_LIMIT));
        anyhow::Ok(ready::watch(pools.clone(), component, pulse, background.clone()).await?)
    };
    let polling = async {
        let pulse = health.pulse("polling", position::POLL_SILENCE);
        let (watcher, pool) = (watcher.clone(), pools.lookup.clone());
        position::poll(watcher, pool, ALL_PROJECTIONS, pulse, background.clone()).await;
        anyhow::Ok(())
    };
    let listening = async {
        if let Some(url) = args.nats.optional()? {
            position::listen(
                watcher.clone(),
                url,
                health.optional_component("nats"),
                background.clone(),
            )
            .await;
        }
        anyhow::Ok(())
    };
    let work = async { tokio::try_join!(ready, polling, listening).map(drop) };
    let ended = Box::pin(process.run(ports, work)).await;
    let closed = process.finish(pools.close()).await;
    ended?;
    Ok(closed?)
}
