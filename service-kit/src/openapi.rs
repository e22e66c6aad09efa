//! Completes the OpenAPI documents of both APIs.

use axum::body::Bytes;
use serde_json::Value;
use utoipa::openapi::{Components, OpenApi};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::problem::ProblemBody;

const SCHEMAS: &str = "#/components/schemas/";

/// Adds the schema of the problem that every operation can answer with, and drops unused schemas.
/// (A body inside an [`Envelope`](crate::Envelope) is described inline.)
pub fn completed(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    let mut below = Vec::new();
    ProblemBody::schemas(&mut below);
    components.schemas.extend(below);
    while drop_unused(&mut document) {}
    document
}

/// Renders the document as JSON. Do it once, because it takes milliseconds.
pub fn rendered(document: &OpenApi) -> Bytes {
    match document.to_json() {
        Ok(json) => json.into(),
        Err(error) => {
            tracing::error!(%error, "could not render the OpenAPI document");
            Bytes::new()
        }
    }
}

/// Drops unused schemas. Returns whether it dropped any: then schemas that only those used can go
/// too.
fn drop_unused(document: &mut OpenApi) -> bool {
    let mut used = std::collections::BTreeSet::new();
    references(&serde_json::to_value(&*document).unwrap_or_default(), &mut used);
    let Some(components) = &mut document.components else { return false };
    let before = components.schemas.len();
    components.schemas.retain(|name, _| used.contains(name));
    components.schemas.len() < before
}

fn references(value: &Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(name) =
                fields.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix(SCHEMAS))
            {
                found.insert(name.to_owned());
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}
