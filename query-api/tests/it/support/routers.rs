//! The router of the API, with the settings that a test needs.

use std::time::Duration;

use access::{Grants, Policy};
use axum::Router;
use postgres_kit::PoolLimits;
use query_api::database::{self, Pools};
use query_api::graphql::Settings;
use query_api::http;
use query_api::position::Watcher;
use query_api::read::Exports;
use query_api::replica::Servers;
use secrecy::SecretString;
use service_kit::http::Deprecation;

use super::{App, Setup};

pub(crate) fn router(servers: impl Into<Servers>, watcher: Watcher) -> Router {
    let servers = servers.into();
    Setup::new(&servers.primary().pools).router(servers, watcher)
}

/// The API with this setting RATE_LIMITS.
pub(crate) fn limited(pools: Pools, watcher: Watcher, limits: &'static str) -> Router {
    Setup { limits, ..Setup::new(&pools) }.router(pools, watcher)
}

/// The API with these settings of its GraphQL endpoint.
pub(crate) fn with_graphql(pools: Pools, watcher: Watcher, settings: Settings) -> Router {
    Setup { graphql: settings, ..Setup::new(&pools) }.router(pools, watcher)
}

/// The API of an operator who shows nothing to callers without a token.
pub(crate) fn private(pools: Pools, watcher: Watcher) -> Router {
    let policy = Policy::with_public(Grants::default());
    Setup { policy, ..Setup::new(&pools) }.router(pools, watcher)
}

/// The API of `app` with at most so many exports at once, each for at most `limit`.
pub(crate) fn exporting(app: &App, at_once: u32, limit: Duration) -> Router {
    // No client reaches its share first.
    sharing_exports(app, (at_once, at_once + 1), limit)
}

/// The same with at most so many of one client.
pub(crate) fn sharing_exports(
    app: &App,
    (at_once, per_client): (u32, u32),
    limit: Duration,
) -> Router {
    let url = SecretString::from(app.database.url());
    let pool = database::exports(&url, at_once, PoolLimits::READER).unwrap();
    let exports = Exports::new(&pool, (at_once, per_client), limit);
    let setup = Setup { exports, ..Setup::new(&app.pools) };
    setup.router(app.pools.clone(), app.watcher.clone())
}

/// The API of `app` with a first version that is deprecated.
pub(crate) fn deprecating(app: &App, deprecation: &Deprecation) -> Router {
    let setup = Setup { versions: http::versions(Some(deprecation)), ..Setup::new(&app.pools) };
    setup.router(app.pools.clone(), app.watcher.clone())
}
