//! What both APIs' descriptions need in addition to what the routes say.

use axum::body::Bytes;
use serde_json::Value;
use utoipa::openapi::{Components, OpenApi};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::problem::ProblemBody;

const SCHEMAS: &str = "#/components/schemas/";

/// Completes a description: adds the problem that every operation can answer with, and drops
/// schemas that nothing refers to (a body inside an [`Envelope`](crate::Envelope) is described in
/// place).
pub fn completed(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    let mut below = Vec::new();
    ProblemBody::schemas(&mut below);
    components.schemas.extend(below);
    while drop_unused(&mut document) {}
    document
}

/// The description as it is served: written once, since it costs milliseconds.
pub fn rendered(document: &OpenApi) -> Bytes {
    match document.to_json() {
        Ok(json) => json.into(),
        Err(error) => {
            tracing::error!(%error, "the description of the API cannot be rendered");
            Bytes::new()
        }
    }
}

/// Whether any was dropped: then those that only it referred to can go as well.
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
