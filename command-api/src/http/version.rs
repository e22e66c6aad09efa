//! The routes of each version of this API.

use service_kit::http::Version;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;

use super::openapi::Document;
use super::{Api, v1, v2};

/// The beginning of the paths of identity, below a version's prefix. They are not commands.
const IDENTITY: &str = "/auth/";

/// All routes of a version, with their prefix.
pub(super) fn routes_of(version: Version) -> OpenApiRouter<Api> {
    let routes = match version {
        Version::V1 => v1::routes(),
        Version::V2 => v2::routes(),
    };
    OpenApiRouter::with_openapi(Document::openapi()).nest(version.prefix(), routes)
}

/// Whether a path of a version is one of identity.
pub(super) fn is_identity(version: Version, path: &str) -> bool {
    path.strip_prefix(version.prefix()).is_some_and(|rest| rest.starts_with(IDENTITY))
}
