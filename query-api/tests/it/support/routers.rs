//! The router of the API, with the settings that a test needs.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use access::{Grants, Policy};
use axum::Router;
use graphql_kit::Introspection;
use identity::config::{AUDIENCE, ISSUER};
use identity::{Gate, Revocations, Verifier};
use query_api::database::{self, Pools};
use query_api::graphql::{self, Settings};
use query_api::http::{self, Api, ApiParts};
use query_api::page::CursorKey;
use query_api::position::Watcher;
use query_api::read::{Exports, Reader};
use query_api::replica::Servers;
use secrecy::SecretString;
use service_kit::clock::FixedClock;
use service_kit::http::{Deprecation, Origins, Versions};

use super::{App, moment, token_key, tokens};

pub(crate) fn router(servers: impl Into<Servers>, watcher: Watcher) -> Router {
    let servers = servers.into();
    let exports = exports(&servers.primary().pools);
    built(Reader::new(servers, watcher), exports, "off", OPEN)
}

/// What tests see of the GraphQL endpoint, unless they say otherwise.
const OPEN: Settings = Settings { introspection: Introspection::Enabled, graphiql: true };

/// The API with this setting RATE_LIMITS.
pub(crate) fn limited(pools: Pools, watcher: Watcher, limits: &str) -> Router {
    let exports = exports(&pools);
    built(Reader::new(pools, watcher), exports, limits, OPEN)
}

/// The API with these settings of its GraphQL endpoint.
pub(crate) fn with_graphql(pools: Pools, watcher: Watcher, settings: Settings) -> Router {
    let exports = exports(&pools);
    built(Reader::new(pools, watcher), exports, "off", settings)
}

/// The API of an operator who shows nothing to callers without a token.
pub(crate) fn private(pools: Pools, watcher: Watcher) -> Router {
    let (exports, policy) = (exports(&pools), Policy::with_public(Grants::default()));
    versioned(Reader::new(pools, watcher), exports, "off", OPEN, (http::versions(None), policy))
}

/// The API of `app` with at most so many exports at once, each for at most `limit`.
pub(crate) fn exporting(app: &App, at_once: u32, limit: Duration) -> Router {
    let pool = database::exports(&SecretString::from(app.database.url()), at_once).unwrap();
    let exports = Exports::new(&pool, at_once, limit);
    built(Reader::new(app.pools.clone(), app.watcher.clone()), exports, "off", OPEN)
}

/// Exports through the connections of lists, for tests that are not about that.
fn exports(pools: &Pools) -> Exports {
    Exports::new(&pools.scan, 4, Duration::from_mins(1))
}

/// The API of `app` with a first version that is deprecated.
pub(crate) fn deprecating(app: &App, deprecation: &Deprecation) -> Router {
    let reader = Reader::new(app.pools.clone(), app.watcher.clone());
    let versions = http::versions(Some(deprecation));
    versioned(reader, exports(&app.pools), "off", OPEN, (versions, Policy::default()))
}

fn built(reader: Reader, exports: Exports, limits: &str, settings: Settings) -> Router {
    versioned(reader, exports, limits, settings, (http::versions(None), Policy::default()))
}

fn versioned(
    reader: Reader,
    exports: Exports,
    limits: &str,
    settings: Settings,
    (versions, policy): (Versions, Policy),
) -> Router {
    let issuer = tokens::issuer();
    let verifier = Verifier::new(ISSUER, AUDIENCE, issuer.keys().published());
    let api: Api = ApiParts {
        reader,
        exports,
        token_key: token_key(),
        cursor_key: CursorKey::from_secret(&SecretString::from("C".repeat(44))).unwrap(),
        gate: Gate::new(Arc::new(verifier), Revocations::default()),
        rates: http::rates(&limits.parse().unwrap()).unwrap(),
        versions,
        policy: Arc::new(policy),
        clock: FixedClock::at(moment(0)),
    }
    .into();
    let graphql = graphql::routes(&api, settings);
    http::router(&api, &Origins::from_str("loopback").unwrap().into(), graphql)
}
