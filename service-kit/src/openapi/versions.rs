//! What requests and answers say about the version of the API, which
//! [`versioned`](crate::http::versioned) reads and writes.

use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{OpenApi, Ref, RefOr, Required, Response};

use super::{API_PREFIX, describe_header, operations_mut};

/// The header, as people write it.
const HEADER: &str = "API-Version";
/// The name of the schema of its values.
const SCHEMA: &str = "ApiVersion";
const REQUEST: &str = "The version of the API that the request is for. It may be left out, because \
    the path names it. One that contradicts the path is refused with 400. For a path without a \
    version (`/api/…`) it chooses the version, and without it version 1 answers";

/// Describes the header of the version, in the requests and the answers of every operation of the
/// version with this number.
pub fn describe_version(document: &mut OpenApi, version: u8) {
    let operations = operations_mut(document).filter(|(path, _)| path.starts_with(API_PREFIX));
    operations.for_each(|(_, operation)| describe(operation));
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("The version of the API that this document describes."))
        .enum_values(Some([version.to_string()]));
    let components = document.components.get_or_insert_default();
    components.schemas.insert(SCHEMA.to_owned(), schema.into());
}

/// Describes what the answers of a version say if it is
/// [deprecated](crate::http::Versions::deprecating).
pub fn describe_deprecation(document: &mut OpenApi) {
    let operations = operations_mut(document).filter(|(path, _)| path.starts_with(API_PREFIX));
    for (_, operation) in operations {
        for response in operation.responses.responses.values_mut() {
            if let RefOr::T(response) = response {
                describe_end(response);
            }
        }
    }
}

fn describe(operation: &mut Operation) {
    operation.parameters.get_or_insert_default().push(RefOr::T(parameter()));
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            describe_header(response, HEADER, "The version of the API that answers", Type::String);
        }
    }
}

fn describe_end(response: &mut Response) {
    let mut has = |name: &str, description: &str| {
        describe_header(response, name, description, Type::String);
    };
    has(
        "Deprecation",
        "Since when this version is deprecated: `@` and the seconds since 1970 (RFC 9745). \
            Absent while it is not",
    );
    has("Sunset", "When this version may be turned off (RFC 8594), if that is known");
    let link = "The successor of a deprecated version, and how to move to it";
    match response.headers.get_mut("Link") {
        Some(RefOr::T(other)) => {
            let about = other.description.get_or_insert_default();
            about.push_str(". ");
            about.push_str(link);
        }
        _ => describe_header(response, "Link", link, Type::String),
    }
}

fn parameter() -> Parameter {
    ParameterBuilder::new()
        .name(HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(REQUEST))
        .schema(Some(Ref::from_schema_name(SCHEMA)))
        .build()
}
