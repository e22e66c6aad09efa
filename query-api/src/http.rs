//! The list of all resources of the API, and the parts that the handlers share.

mod access;
mod answer;
mod etag;
mod list;
mod live;
mod openapi;
mod wait;

/// Version 1: one file per resource, with its tag, routes, filters and thin handlers.
mod v1 {
    pub(super) mod audit;
    pub(super) mod customer;
    pub(super) mod funnel;
    pub(super) mod order;
    pub(super) mod product;
    pub(super) mod product_sales;
    pub(super) mod sales;
    pub(super) mod search;
    pub(super) mod user;
}

pub use openapi::document;
pub(crate) use wait::{PREFERENCE_APPLIED, Wait};

use std::ops::Deref;
use std::sync::Arc;

use ::access::Policy;
use axum::Router;
use identity::{Gate, gated_at_rates, limited};
use service_kit::clock::SharedClock;
use service_kit::consistency::TokenKey;
use service_kit::docs;
use service_kit::http::{
    Allowed, ApiVersion, RateSettings, Rates, UnknownOperation, Versions, layered_at_rates,
    versioned,
};
use utoipa_axum::router::OpenApiRouter;

use crate::live::Live;
use crate::page::CursorKey;
use crate::read::Reader;

/// The newest version of this API. It is the only one yet.
const NEWEST: ApiVersion = ApiVersion(1);

/// The state shared by all handlers. Clones share its parts, because the router makes several for
/// each request.
#[derive(Debug, Clone)]
pub struct Api(Arc<ApiParts>);

/// The parts of an [`Api`].
#[derive(Debug)]
pub struct ApiParts {
    /// Answers questions from the read tables.
    pub reader: Reader,
    /// Live updates of the read tables.
    pub live: Live,
    /// Verifies consistency tokens.
    pub token_key: TokenKey,
    /// Signs and verifies cursors.
    pub cursor_key: CursorKey,
    /// Finds out who calls.
    pub gate: Gate,
    /// How often a client may ask.
    pub rates: Rates,
    /// Decides what callers may see.
    pub policy: Arc<Policy>,
    /// The source of the current time.
    pub clock: SharedClock,
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

fn table() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(openapi::head())
        // One line each.
        .merge(v1::user::routes())
        .merge(v1::order::routes())
        .merge(v1::product::routes())
        .merge(v1::sales::routes())
        .merge(v1::product_sales::routes())
        .merge(v1::funnel::routes())
        .merge(v1::customer::routes())
        .merge(v1::search::routes())
        .merge(v1::audit::routes())
        .merge(openapi::routes())
}

/// The limits of the operations.
///
/// # Errors
/// The setting names an operation that this API does not have.
pub fn rates(settings: &RateSettings) -> Result<Rates, UnknownOperation> {
    settings.rates(&table().into_openapi(), &[])
}

/// The API's routes with all their layers, and the routes of `others` behind the same gate.
pub fn router(api: Api, allowed: &Allowed, others: Router) -> Router {
    let (gate, rates) = (api.gate.clone(), api.rates.clone());
    let (routes, _) = table().with_state(api).split_for_parts();
    let routes = limited(routes.merge(others), rates.clone());
    let routes = gated_at_rates(routes, gate, rates.clone());
    let docs = limited(docs::routes(), rates.clone());
    versioned(layered_at_rates(routes.merge(docs), allowed, &rates), Versions::up_to(NEWEST.0))
}
