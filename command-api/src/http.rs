//! The HTTP representations of the application: the router, and the parts that the handlers share.
//!
//! Each version of the API is mounted under its own prefix.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use service_kit::clock::SharedClock;
use service_kit::consistency::TokenKey;
use service_kit::http::{Origins, layered};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

use crate::application::Application;
use crate::auth::Identity;

mod answer;
mod caller;
mod dry_run;
mod error;
mod idempotency_key;
mod identity;
mod object;
mod openapi;
mod precondition;
mod received;
mod secret;
mod v1;

/// The path of the OpenAPI document.
const OPENAPI_PATH: &str = "/openapi.json";

/// The state shared by all handlers.
#[derive(Clone)]
pub struct Api {
    /// The application that carries out commands.
    pub application: Application,
    /// Signs consistency tokens.
    pub tokens: Arc<TokenKey>,
    /// The public URL of the query API, without a slash at the end.
    pub public_query_url: Arc<str>,
    /// The source of the current time for answers.
    pub clock: SharedClock,
    /// Log-ins and sessions; `None` if no database of credentials is set.
    pub identity: Option<Identity>,
}

fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(openapi::Document::openapi()).nest(v1::PREFIX, v1::routes())
}

/// The router of the public port.
pub fn router(api: Api, origins: &Origins) -> Router {
    let (routes, document) = routes().split_for_parts();
    let rendered = service_kit::openapi::rendered(&openapi::complete(document));
    let serve = async move || ([(CONTENT_TYPE, "application/json")], rendered);
    layered(routes.route(OPENAPI_PATH, get(serve)).with_state(api), origins)
}

/// The OpenAPI document, the same as at `/openapi.json`.
pub fn document() -> utoipa::openapi::OpenApi {
    openapi::complete(routes().into_openapi())
}

/// Reads an optional field that must not be `null`: no field of this API can be unset.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    <String as serde::Deserialize>::deserialize(deserializer).map(Some)
}
