//! The HTTP representations of the application: the router, and the parts that the handlers share.
//!
//! Each version of the API is mounted under its own prefix. What they share is in `resource/`, what
//! differs in `v1/` and `v2/`. All of them hand over the same inputs of the application.

use std::ops::Deref;
use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::{Extension, Router};
use domain::user::Change;
use graphql_kit::Introspection;
use identity::{Gate, Issuer, limits};
use serde::{Deserialize, Deserializer};
use service_kit::clock::SharedClock;
use service_kit::consistency::TokenKey;
use service_kit::docs;
use service_kit::http::{
    Allowed, Layers, RateSettings, Rates, StepLayer, UnknownOperation, Versions, versioned,
};
use utoipa::openapi::OpenApi;

use crate::application::Application;
use crate::auth::Identity;

mod answer;
mod auth;
mod commands;
mod dry_run;
mod error;
mod events;
mod idempotency_key;
mod object;
mod openapi;
mod precondition;
mod received;
mod resource;
mod secret;
mod text;
mod usage;
mod v1;
mod v2;
mod version;
mod well_known;

use commands::Registry;
pub use service_kit::http::{Version, versions};
use usage::Usage;
use version::routes_of;

/// Operations that carry out the same command as another one, and so share its rate.
const SAME: [(&str, &str); 5] = [
    ("placeOrderOfUser", "placeOrder"),
    ("changeProfile", "changeUser"),
    ("replaceProfile", "changeUser"),
    ("changePreferences", "changeUser"),
    ("replacePreferences", "changeUser"),
];

/// The state shared by all handlers. Clones share its parts, because the router makes several for
/// each request.
#[derive(Clone)]
pub struct Api(Arc<ApiParts>);

/// The parts of an [`Api`].
pub struct ApiParts {
    /// The application that carries out commands.
    pub application: Application,
    /// Signs consistency tokens.
    pub tokens: Arc<TokenKey>,
    /// Issues access tokens.
    pub issuer: Arc<Issuer>,
    /// Finds out who calls.
    pub gate: Gate,
    /// How often a client may ask.
    pub rates: Rates,
    /// The versions of the API, and whether the first one is deprecated.
    pub versions: Versions,
    /// The public URL of the query API, without a slash at the end.
    pub public_query_url: Arc<str>,
    /// Whether clients may ask for the GraphQL schema.
    pub introspection: Introspection,
    /// The source of the current time for answers.
    pub clock: SharedClock,
    /// Log-ins and sessions; `None` if no database of credentials is set.
    pub identity: Option<Identity>,
}

impl From<ApiParts> for Api {
    fn from(parts: ApiParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Api {
    type Target = ApiParts;

    fn deref(&self) -> &ApiParts {
        &self.0
    }
}

/// The router of the public port, with the routes of `others` behind the same gate and layers.
pub fn router(api: &Api, allowed: &Allowed, others: Router) -> Router {
    let layers = Layers::new(allowed);
    let gate = api.gate.clone().layer_at_rates(api.rates.clone());
    let limits = limits(api.rates.clone());
    let usage = StepLayer(Usage::new());
    let (mut routes, mut others) = (Router::new(), others.merge(page()).merge(events::routes()));
    for version in Version::ALL {
        let (of_version, document) = routes_of(version).split_for_parts();
        let of_version = of_version.with_state(api.clone());
        // Each command of a batch counts as a request of its own.
        let registry = Registry::new(version, &document, of_version.clone().layer(limits.clone()));
        let own = (gate.clone(), usage.clone(), Extension(Arc::new(registry)), limits.clone());
        routes = routes.merge(layers.around(of_version, own));
        let rendered = service_kit::openapi::rendered(&openapi::complete(version, document));
        let serve = async move || ([(CONTENT_TYPE, "application/json")], rendered);
        others = others.route(version.document_path(), get(serve));
    }
    let others = layers.around(others, (gate.clone(), limits));
    // The other API asks for these all the time, and they cost little.
    let free = layers.around(well_known::routes().with_state(api.clone()), gate);
    let routes = layers.or_absent(routes.merge(free).merge(others), &api.rates);
    versioned(routes, api.versions.clone())
}

/// The page that shows all documents.
fn page() -> Router {
    docs::routes_of(Version::ALL.map(|version| (version.name(), version.document_path())))
}

/// The limits of the operations. An operation has the same one in all versions.
///
/// # Errors
/// The setting names an operation that this API does not have.
pub fn rates(settings: &RateSettings) -> Result<Rates, UnknownOperation> {
    let [oldest, newest] = Version::ALL.map(|version| routes_of(version).into_openapi());
    settings.rates(&oldest.merge_from(newest), &SAME)
}

/// The OpenAPI document of a version, the same as at [`Version::document_path`].
pub fn document(version: Version) -> OpenApi {
    openapi::complete(version, routes_of(version).into_openapi())
}

/// Reads an optional field that must not be `null`, because it cannot be unset.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads a field of a merge patch that `null` unsets. An absent field is the default: no change.
fn unsettable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Change<T>, D::Error> {
    Option::deserialize(deserializer).map(Change::to)
}
