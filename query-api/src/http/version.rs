//! The routes of each version of this API.

use service_kit::http::Version;
use utoipa_axum::router::OpenApiRouter;

use super::{Api, openapi, v1, v2};

/// All routes of a version, with their prefix.
pub(super) fn routes_of(version: Version) -> OpenApiRouter<Api> {
    let routes = match version {
        Version::V1 => v1::routes(),
        Version::V2 => v2::routes(),
    };
    let routes = OpenApiRouter::with_openapi(openapi::head()).nest(version.prefix(), routes);
    match version {
        // Clients of the first version know where it is described.
        Version::V1 => routes.merge(openapi::routes()),
        Version::V2 => routes,
    }
}
