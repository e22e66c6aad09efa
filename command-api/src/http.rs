//! The HTTP representations of the application: the router, and the parts that the handlers share.
//!
//! Each version of the API is mounted under its own prefix.

use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::{Extension, Router};
use domain::user::Change;
use graphql_kit::Introspection;
use identity::{Gate, Issuer, gated_at_rates, limited};
use serde::{Deserialize, Deserializer};
use service_kit::clock::SharedClock;
use service_kit::consistency::TokenKey;
use service_kit::docs;
use service_kit::http::{Allowed, RateSettings, Rates, UnknownOperation, layered_at_rates};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

use crate::application::Application;
use crate::auth::Identity;

mod answer;
mod auth;
mod commands;
mod dry_run;
mod error;
mod idempotency_key;
mod object;
mod openapi;
mod precondition;
mod received;
mod secret;
mod v1;
mod well_known;

use commands::Registry;

/// The path of the OpenAPI document.
const OPENAPI_PATH: &str = "/openapi.json";

/// Operations that carry out the same command as another one, and so share its rate.
const SAME: [(&str, &str); 1] = [("placeOrderOfUser", "placeOrder")];

/// The state shared by all handlers.
#[derive(Clone)]
pub struct Api {
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
    /// The public URL of the query API, without a slash at the end.
    pub public_query_url: Arc<str>,
    /// Whether clients may ask for the GraphQL schema.
    pub introspection: Introspection,
    /// The source of the current time for answers.
    pub clock: SharedClock,
    /// Log-ins and sessions; `None` if no database of credentials is set.
    pub identity: Option<Identity>,
}

fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(openapi::Document::openapi()).nest(v1::PREFIX, v1::routes())
}

/// The router of the public port, with the routes of `others` behind the same gate and layers.
pub fn router(api: Api, allowed: &Allowed, others: Router) -> Router {
    let (routes, document) = routes().split_for_parts();
    // Each command of a batch counts as a request of its own.
    let routes = limited(routes.with_state(api.clone()), api.rates.clone());
    let registry = Registry::new(&document, routes.clone());
    let rendered = service_kit::openapi::rendered(&openapi::complete(document));
    let serve = async move || ([(CONTENT_TYPE, "application/json")], rendered);
    let others = others.merge(docs::routes()).route(OPENAPI_PATH, get(serve));
    let others = limited(others, api.rates.clone());
    // The other API asks for these all the time, and they cost little.
    let free = well_known::routes().with_state(api.clone());
    let routes = routes.merge(free).merge(others);
    let routes = gated_at_rates(routes, api.gate, api.rates.clone());
    layered_at_rates(routes.layer(Extension(Arc::new(registry))), allowed, &api.rates)
}

/// The limits of the operations.
///
/// # Errors
/// The setting names an operation that this API does not have.
pub fn rates(settings: &RateSettings) -> Result<Rates, UnknownOperation> {
    settings.rates(&routes().into_openapi(), &SAME)
}

/// The OpenAPI document, the same as at `/openapi.json`.
pub fn document() -> utoipa::openapi::OpenApi {
    openapi::complete(routes().into_openapi())
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
