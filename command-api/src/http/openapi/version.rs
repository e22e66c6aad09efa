//! What requests and answers say about the version, in the OpenAPI document.

use service_kit::openapi::{describe_deprecation, describe_version};
use utoipa::openapi::OpenApi;

use crate::http::Version;

/// Describes the headers of the version in every request and answer, and names the version.
pub(super) fn describe(version: Version, document: &mut OpenApi) {
    let title = &mut document.info.title;
    *title = format!("{title}, {}", version.name());
    describe_version(document, version.number().0);
    // Only version 1 can be deprecated.
    if version == Version::V1 {
        describe_deprecation(document);
    }
}
