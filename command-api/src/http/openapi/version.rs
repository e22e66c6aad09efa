//! What requests and answers say about the version, in the OpenAPI document.

use service_kit::openapi::{describe_header, describe_version, operations_mut};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{OpenApi, RefOr, Response};

use crate::http::version::Version;

/// Describes the headers of the version in every request and answer, and names the version.
pub(super) fn describe(version: Version, document: &mut OpenApi) {
    let title = &mut document.info.title;
    *title = format!("{title}, {}", version.name());
    describe_version(document, version.number().0);
    if version != Version::V1 {
        return;
    }
    for (_, operation) in operations_mut(document) {
        for response in operation.responses.responses.values_mut() {
            if let RefOr::T(response) = response {
                describe_deprecation(response);
            }
        }
    }
}

/// Only version 1 can be deprecated.
fn describe_deprecation(response: &mut Response) {
    let mut has = |name: &str, description: &str| {
        describe_header(response, name, description, Type::String);
    };
    has(
        "Deprecation",
        "Since when this version is deprecated: `@` and the seconds since 1970 (RFC 9745). \
            Absent while it is not",
    );
    has("Sunset", "When this version may be turned off (RFC 8594), if that is known");
    has("Link", "The successor of a deprecated version, and how to move to it");
}
