//! The HTTP representations of the questions: the router, and the parts that the handlers share.
//!
//! Each version of the API is mounted under its own prefix. What they share is in `resource/`, what
//! differs in `v1/` and `v2/`. All of them ask the same questions.

mod access;
mod answer;
mod as_of;
mod etag;
mod export;
mod list;
mod live;
mod openapi;
mod resource;
mod v1;
mod v2;
mod version;

pub use service_kit::http::{Version, versions};
use version::routes_of;

use std::ops::Deref;
use std::sync::Arc;

use ::access::Policy;
use axum::Router;
use axum::http::request::Parts;
use axum::routing::get;
use identity::{Gate, limits};
use service_kit::clock::SharedClock;
use service_kit::consistency::TokenKey;
use service_kit::docs;
use service_kit::http::{
    Allowed, ApiVersion, Layers, RateSettings, Rates, UnknownOperation, Versions, versioned,
};
use utoipa::openapi::OpenApi;

use crate::live::Live;
use crate::page::CursorKey;
use crate::read::{Exports, Reader};

/// Operations that read the same row as another one, and so share its rate.
const SAME: [(&str, &str); 2] = [("getProfile", "getUser"), ("getPreferences", "getUser")];

/// The state shared by all handlers. Clones share its parts, because the router makes several for
/// each request.
#[derive(Debug, Clone)]
pub struct Api(Arc<ApiParts>);

/// The parts of an [`Api`].
#[derive(Debug)]
pub struct ApiParts {
    /// Answers questions from the read tables.
    pub reader: Reader,
    /// Reads whole lists.
    pub exports: Exports,
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
    /// The versions of the API, and whether the first one is deprecated.
    pub versions: Versions,
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

/// The version of the API that a request is for.
fn version_of(parts: &Parts) -> ApiVersion {
    parts.extensions.get::<ApiVersion>().copied().unwrap_or(Version::V1.number())
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

/// The API's routes with all their layers, and the routes of `others` behind the same gate.
pub fn router(api: &Api, allowed: &Allowed, others: Router) -> Router {
    let (layers, rates) = (Layers::new(allowed), api.rates.clone());
    let gate = api.gate.clone().layer_at_rates(rates.clone());
    let (limits, versions) = (limits(rates.clone()), api.versions.clone());
    let mut routes = others;
    for version in Version::ALL {
        let (of_version, _) = routes_of(version).with_state(api.clone()).split_for_parts();
        routes = routes.merge(of_version);
    }
    routes = routes.route(Version::V2.document_path(), get(openapi::serve_v2));
    let routes = layers.around(routes, (gate, limits.clone()));
    let documents = Version::ALL.map(|version| (version.name(), version.document_path()));
    let docs = layers.around(docs::routes_of(documents), limits);
    versioned(layers.or_absent(routes.merge(docs), &rates), versions)
}
