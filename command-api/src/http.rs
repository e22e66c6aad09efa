//! Every path of the command API in one table; thin handlers stand in a file per resource.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use service_kit::clock::SharedClock;
use service_kit::consistency::TokenKey;
use service_kit::http::{Origins, layered};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

use crate::application::command::Commands;
use crate::application::use_case::EmailReservations;

mod answer;
mod dry_run;
pub mod error;
mod object;
mod openapi;
mod received;
mod v1;

/// Where the document of all paths is.
const OPENAPI_PATH: &str = "/openapi.json";

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    /// The commands; absent until the event store was found to be one that this program knows.
    pub commands: Arc<OnceLock<Arc<Commands>>>,
    /// How e-mail addresses are reserved.
    pub reservations: EmailReservations,
    /// Seals consistency tokens.
    pub tokens: Arc<TokenKey>,
    /// Where the query API is for clients, without a slash at the end.
    pub public_query_url: Arc<str>,
    /// Tells the time.
    pub clock: SharedClock,
    /// Whether orders with prices and dates of their own are taken.
    pub order_import: bool,
}

fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(openapi::Document::openapi()).merge(v1::routes())
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
