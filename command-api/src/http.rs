//! The HTTP representations of the application: the router, and what their handlers share. Each
//! version is mounted under a prefix of its own.

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

mod answer;
mod dry_run;
mod error;
mod idempotency_key;
mod object;
mod openapi;
mod precondition;
mod received;
mod v1;

/// Where the document of all paths is.
const OPENAPI_PATH: &str = "/openapi.json";

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    /// What the handlers ask.
    pub application: Application,
    /// Seals consistency tokens.
    pub tokens: Arc<TokenKey>,
    /// Where the query API is for clients, without a slash at the end.
    pub public_query_url: Arc<str>,
    /// Tells the time of an answer.
    pub clock: SharedClock,
}

fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(openapi::Document::openapi()).nest(v1::PREFIX, v1::routes())
}

/// The public port's router.
pub fn router(api: Api, origins: &Origins) -> Router {
    let (routes, document) = routes().split_for_parts();
    let rendered = service_kit::openapi::rendered(&openapi::complete(document));
    let serve = async move || ([(CONTENT_TYPE, "application/json")], rendered);
    layered(routes.route(OPENAPI_PATH, get(serve)).with_state(api), origins)
}

/// The OpenAPI document, as `/openapi.json` shows it.
pub fn document() -> utoipa::openapi::OpenApi {
    openapi::complete(routes().into_openapi())
}

/// Reads a field that may be absent but not `null`: nothing of ours can be unset.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    <String as serde::Deserialize>::deserialize(deserializer).map(Some)
}
