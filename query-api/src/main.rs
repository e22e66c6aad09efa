//! `query-api serve`: reads the settings, connects, serves and drains.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use identity::published::{Reports, Source};
use identity::{Gate, KeySource, Revocations};
use nats_kit::{NatsHandle, Registration, register};
use query_api::config::{Cli, Command, IdentityArgs, ServeArgs};
use query_api::database::Pools;
use query_api::http::{Api, ApiParts, Version, versions};
use query_api::live::{self, Live};
use query_api::page::CursorKey;
use query_api::position::{self, Watcher};
use query_api::read::{ALL_PROJECTIONS, Exports, Reader};
use query_api::replica::{self, Servers};
use query_api::{database, graphql, http, ready};
use service_kit::clock;
use service_kit::consistency::TokenKey;
use service_kit::health::Health;
use service_kit::http::{Port, Ports};
use service_kit::process::{self, Process};
use service_kit::telemetry;
use tokio_util::sync::CancellationToken;

/// Requests make many short-lived allocations on several threads. The system allocator is slow at
/// that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => process::as_task(serve(*args)).await,
        Command::Openapi { version } => describe(version),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => process::failed("query-api", error.as_ref(), cli_kit::FAILED),
    }
}

fn describe(version: Version) -> anyhow::Result<()> {
    Ok(cli_kit::print(serde_json::to_string_pretty(&http::document(version))? + "\n")?)
}

fn api(
    args: &ServeArgs,
    reader: Reader,
    (live, exports): (Live, Exports),
    gate: Gate,
) -> anyhow::Result<Api> {
    Ok(ApiParts {
        reader,
        live,
        exports,
        token_key: TokenKey::from_secret(&args.token_key.get()?).context("TOKEN_KEY")?,
        cursor_key: CursorKey::from_secret(&args.cursor_key.get()?).context("CURSOR_KEY")?,
        gate,
        rates: http::rates(&args.rates.rate_limits)
            .map_err(|error| cli_kit::Usage(format!("RATE_LIMITS: {error}")))?,
        versions: versions(args.versions.deprecation(Version::V2.document_path())?.as_ref()),
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

/// The servers with the read tables.
fn servers(args: &ServeArgs) -> anyhow::Result<Servers> {
    let limits = args.pools.limits()?;
    telemetry::most_connections("queries", limits.most);
    telemetry::most_connections("exports", args.exports);
    let pools = |url: &_| Pools::new(url, limits);
    Ok(match (args.replica.optional()?, args.read_model.optional()?) {
        (Some(replica), Some(primary)) => Servers::with_replica(pools(&primary)?, pools(&replica)?),
        // Without a primary there is nothing to fall back on.
        (Some(replica), None) => pools(&replica)?.into(),
        (None, _) => pools(&args.read_model.get()?)?.into(),
    })
}

/// The exports. They read from the primary if it is set: a replica would cut off long ones.
fn exports(args: &ServeArgs) -> anyhow::Result<Exports> {
    let url = match (args.read_model.optional()?, args.replica.optional()?) {
        (Some(url), _) | (None, Some(url)) => url,
        (None, None) => args.read_model.get()?,
    };
    let pool = database::exports(&url, args.exports, args.pools.limits()?)?;
    let places = (args.exports, args.exports_per_client);
    Ok(Exports::new(&pool, places, Duration::from_secs(args.export_seconds)))
}

/// Checks the replica until `stop`, if there is one to choose.
async fn follow(
    args: &ServeArgs,
    servers: Servers,
    health: &Health,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    if servers.has_replica() {
        let component = health.optional_component("replica");
        let pulse = health.pulse("following", replica::LOOK_SILENCE);
        let max_lag = Duration::from_secs(args.replica_max_lag.into());
        replica::watch(servers, max_lag, component, pulse, stop).await;
    }
    Ok(())
}

async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let process = Process::start("query-api", &args.log.log)?;
    let listen = args.public()?;
    let health = process.health();
    let servers = servers(&args)?;
    let watcher = Watcher::new(args.waiting_queries);
    let folder = args.identity.cache.folder()?;
    let (gate, outside) = gate(&args, folder.clone(), health)?;
    let reader = Reader::new(servers.clone(), watcher.clone());
    let exports = exports(&args)?;
    let live = Live::new(args.live.settings(), process.drain());
    let api = api(&args, reader.clone(), (live.clone(), exports.clone()), gate.clone())?;
    let graphql = graphql::routes(&api, args.graphql());
    let routes = http::router(&api, &args.allowed.allowed(), graphql);
    let public = Port::public(listen, routes, args.limits.limits());
    let ports = Ports { public: vec![public], admin: process.admin(args.admin_listen) };
    // The tasks that serve requests in flight run until the last request is answered.
    let background = process.served();
    // An unknown schema ends the process. It waits for everything else.
    let (component, pulse) =
        (health.component("read-model"), health.pulse("looking", ready::SILENCE_LIMIT));
    // On the heap: together they are too large for a thread's stack without optimisation.
    let ready = Box::pin(async {
        anyhow::Ok(ready::watch(servers.clone(), component, pulse, background.clone()).await?)
    });
    let polling = Box::pin(async {
        let pulse = health.pulse("polling", position::POLL_SILENCE);
        let (watcher, servers) = (watcher.clone(), servers.clone());
        position::poll(watcher, servers, ALL_PROJECTIONS, pulse, background.clone()).await;
        anyhow::Ok(())
    });
    let streaming = Box::pin(async {
        live.run(&reader, |name| health.pulse(name, live::SILENCE), &background).await;
        anyhow::Ok(())
    });
    let nats = NatsHandle::connect_if(args.nats.optional()?.as_ref(), "query-api").await?;
    let listening = async {
        if let Some(nats) = nats.clone() {
            let component = health.optional_component("nats");
            position::listen(watcher.clone(), nats, component, background.clone()).await;
        }
        anyhow::Ok(())
    };
    let registering = Box::pin(async {
        let registration = Registration::new("query-api", env!("CARGO_PKG_VERSION"))
            .admin(args.admin_listen)
            .address(args.listen);
        register(nats.clone(), registration, health.clone(), process.drain()).await;
        anyhow::Ok(())
    });
    let knowing = keep_published(&args.identity, folder, gate, health, background.clone())?;
    let fetching = async {
        if let Some(outside) = outside {
            outside.keep(background.clone()).await;
        }
        anyhow::Ok(())
    };
    let following = Box::pin(follow(&args, servers.clone(), health, background.clone()));
    let work = async {
        let serving =
            async { tokio::try_join!(ready, polling, streaming, knowing, fetching, following) };
        tokio::try_join!(serving, listening, registering).map(drop)
    };
    let ended = Box::pin(process.run(ports, work)).await;
    let closing = async { tokio::join!(servers.close(), exports.close()) };
    let closed = process.finish(closing).await.map(drop);
    ended?;
    Ok(closed?)
}
