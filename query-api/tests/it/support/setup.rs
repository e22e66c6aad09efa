//! The parts of an API that a test decides.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use access::Policy;
use axum::Router;
use graphql_kit::Introspection;
use identity::config::{AUDIENCE, ISSUER};
use identity::{Gate, Revocations, Verifier};
use query_api::database::Pools;
use query_api::graphql::{self, Settings};
use query_api::http::{self, Api, ApiParts};
use query_api::live::{self, Live, LiveSettings};
use query_api::page::CursorKey;
use query_api::position::Watcher;
use query_api::read::{Exports, Reader};
use query_api::replica::Servers;
use secrecy::SecretString;
use service_kit::clock::FixedClock;
use service_kit::health::Health;
use service_kit::http::{Origins, Versions};
use tokio_util::sync::CancellationToken;

use super::{moment, token_key, tokens};

/// What tests see of the GraphQL endpoint, unless they say otherwise.
const OPEN: Settings = Settings { introspection: Introspection::Enabled, graphiql: true };

/// Limits of live updates that no test reaches by accident.
pub(crate) const LIVE: LiveSettings =
    LiveSettings { streams: 1_000, per_client: 1_000, buffer_bytes: 1024 * 1024 };

/// Hands out live updates until `stop`.
pub(crate) fn follow(live: Live, reader: Reader, stop: CancellationToken) {
    tokio::spawn(async move {
        let health = Health::new();
        live.run(&reader, |name| health.pulse(name, live::SILENCE), &stop).await;
    });
}

/// What a test decides of an API.
pub(crate) struct Setup {
    pub(crate) limits: &'static str,
    pub(crate) graphql: Settings,
    pub(crate) versions: Versions,
    pub(crate) policy: Policy,
    pub(crate) exports: Exports,
    pub(crate) revocations: Revocations,
    /// Somebody must run it.
    pub(crate) live: Live,
}

impl Setup {
    /// What tests get that do not say otherwise. Exports use the connections of lists.
    pub(crate) fn new(pools: &Pools) -> Self {
        Self {
            limits: "off",
            graphql: OPEN,
            versions: http::versions(None),
            policy: Policy::default(),
            exports: Exports::new(&pools.scan, (4, 4), Duration::from_mins(1)),
            revocations: Revocations::default(),
            live: Live::new(LIVE, CancellationToken::new()),
        }
    }

    pub(crate) fn router(self, servers: impl Into<Servers>, watcher: Watcher) -> Router {
        let Self { limits, graphql: settings, versions, policy, exports, revocations, live } = self;
        let issuer = tokens::issuer();
        let verifier = Verifier::new(ISSUER, AUDIENCE, issuer.keys().published());
        let api: Api = ApiParts {
            reader: Reader::new(servers, watcher),
            exports,
            live,
            token_key: token_key(),
            cursor_key: CursorKey::from_secret(&SecretString::from("C".repeat(44))).unwrap(),
            gate: Gate::new(Arc::new(verifier), revocations),
            rates: http::rates(&limits.parse().unwrap()).unwrap(),
            versions,
            policy: Arc::new(policy),
            clock: FixedClock::at(moment(0)),
        }
        .into();
        let graphql = graphql::routes(&api, settings);
        http::router(&api, &Origins::from_str("loopback").unwrap().into(), graphql)
    }
}
