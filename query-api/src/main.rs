//! `query-api serve`: reads the settings, connects, serves and drains.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser as _;
use identity::published::{Reports, Source};
use identity::{Gate, KeySource, Revocations};
use query_api::config::{Cli, Command, IdentityArgs, ServeArgs};
use query_api::database::Pools;
use query_api::http::{Api, ApiParts};
use query_api::live::{self, Live};
use query_api::page::CursorKey;
use query_api::position::{self, Watcher};
use query_api::read::{ALL_PROJECTIONS, Reader};
use query_api::{graphql, http, ready};
use service_kit::clock;
use service_kit::consistency::TokenKey;
use service_kit::health::Health;
use service_kit::http::{Port, Ports};
use service_kit::process::{self, Process};
use tokio_util::sync::CancellationToken;

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

fn api(args: &ServeArgs, reader: Reader, live: Live, gate: Gate) -> anyhow::Result<Api> {
    Ok(ApiParts {
        reader,
        live,
        token_key: TokenKey::from_secret(&args.token_key.get()?).context("TOKEN_KEY")?,
        cursor_key: CursorKey::from_secret(&args.cursor_key.get()?).context("CURSOR_KEY")?,
        gate,
        rates: http::rates(&args.rates.rate_limits)
            .map_err(|error| cli_kit::Usage(format!("RATE_LIMITS: {error}")))?,
        policy: Arc::new(args.policy.policy()),
        clock: clock::system(),
    }
    .into())
}

/// Pulls what the command API publishes of access tokens until `stop`.
fn keep_published(
    args: &IdentityArgs,
    folder: Option<PathBuf>,
    gate: Gate,
    health: &Health,
    stop: CancellationToken,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let source = Source::new(&args.identity_url, folder, gate)?;
    let reports = Reports::required(health);
    Ok(async move {
        source.keep(reports, stop).await;
        anyhow::Ok(())
    })
}

/// The gate, and the source of the outside issuer's keys, if there is one.
fn gate(
    args: &ServeArgs,
    folder: Option<PathBuf>,
    health: &Health,
) -> anyhow::Result<(Gate, Option<KeySource>)> {
    let outside = args.oidc.source(&args.access_tokens.access_token_issuer, folder, health);
    let outside = outside.map_err(|error| cli_kit::Usage(cli_kit::describe(&error)))?;
    let gate = Gate::new(Arc::new(args.access_tokens.verifier()), Revocations::default());
    Ok((gate.accepting(outside.as_ref().map(KeySource::verifier)), outside))
}

async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let process = Process::start("query-api", &args.log.log)?;
    let listen = args.public()?;
    let health = process.health();
    let url = match args.replica.optional()? {
        Some(replica) => replica,
        None => args.read_model.get()?,
    };
    let pools = Pools::new(&url, args.connections)?;
    let watcher = Watcher::default();
    let folder = args.identity.cache.folder()?;
    let (gate, outside) = gate(&args, folder.clone(), health)?;
    let reader = Reader::new(pools.clone(), watcher.clone());
    let live = Live::new(args.live.settings(), process.drain());
    let api = api(&args, reader.clone(), live.clone(), gate.clone())?;
    let graphql = graphql::routes(&api, args.graphql());
    let routes = http::router(api, &args.allowed.allowed(), graphql);
    let public = Port::public(listen, routes, args.limits.limits());
    let ports = Ports { public: vec![public], admin: process.admin(args.admin_listen) };
    // The tasks that serve requests in flight run until the last request is answered.
    let background = process.served();
    // An unknown schema ends the process. It waits for everything else.
    let (component, pulse) =
        (health.component("read-model"), health.pulse("looking", ready::SILENCE_LIMIT));
    let ready = async {
        anyhow::Ok(ready::watch(pools.clone(), component, pulse, background.clone()).await?)
    };
    let polling = async {
        let pulse = health.pulse("polling", position::POLL_SILENCE);
        let (watcher, pool) = (watcher.clone(), pools.lookup.clone());
        position::poll(watcher, pool, ALL_PROJECTIONS, pulse, background.clone()).await;
        anyhow::Ok(())
    };
    let following = async {
        let pulse = |name| health.pulse(name, live::SILENCE);
        Box::pin(live.run(&reader, pulse, &background)).await;
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
    let knowing = keep_published(&args.identity, folder, gate, health, background.clone())?;
    let fetching = async {
        if let Some(outside) = outside {
            outside.keep(background.clone()).await;
        }
        anyhow::Ok(())
    };
    let work = async {
        tokio::try_join!(ready, polling, following, listening, knowing, fetching).map(drop)
    };
    let ended = Box::pin(process.run(ports, work)).await;
    let closed = process.finish(pools.close()).await;
    ended?;
    Ok(closed?)
}
