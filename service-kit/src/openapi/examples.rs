//! Examples of request bodies. They are put together from the examples of the fields, so that a new
//! body has one as soon as its fields have.

use serde_json::{Map, Value, json};
use utoipa::openapi::{OpenApi, RefOr};

use super::operations_mut;

/// An id in examples, for a field that has no example of its own.
const ID: &str = "0190b3a2-0000-7000-8000-000000000001";
/// A time in examples.
const TIME: &str = "1997-01-12T00:00:00Z";

/// Gives each body that has none an example.
pub(super) fn add_examples(document: &mut OpenApi) {
    let rendered = serde_json::to_value(&*document).unwrap_or_default();
    for (_, operation) in operations_mut(document) {
        let Some(RefOr::T(body)) = &mut operation.request_body else { continue };
        for content in body.content.values_mut() {
            let RefOr::T(content) = content else { continue };
            let schema = serde_json::to_value(&content.schema).unwrap_or_default();
            if content.example.is_none() && content.examples.is_empty() {
                content.example = example(&rendered, &schema);
            }
        }
    }
}

/// An example of a schema, if everything that it requires has one.
fn example(document: &Value, schema: &Value) -> Option<Value> {
    let schema = resolved(document, schema)?;
    if let Some(example) = own(schema) {
        return Some(example.clone());
    }
    let either = schema["oneOf"].as_array();
    if let Some(other) = either.into_iter().flatten().find(|one| one["type"] != "null") {
        return example(document, other);
    }
    match (schema["type"].as_str()?, schema["format"].as_str()) {
        ("object", _) => whole(document, schema),
        ("array", _) => Some(json!([example(document, &schema["items"])?])),
        (_, Some("uuid")) => Some(json!(ID)),
        (_, Some("date-time")) => Some(json!(TIME)),
        _ => None,
    }
}

/// An object with all that it requires. It has an optional field only if that has an example.
fn whole(document: &Value, schema: &Value) -> Option<Value> {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut object = Map::new();
    for (name, field) in schema["properties"].as_object()? {
        let value = if required.contains(&name.as_str()) {
            Some(example(document, field)?)
        } else {
            resolved(document, field).and_then(|field| optional(document, field)).cloned()
        };
        object.extend(value.map(|value| (name.clone(), value)));
    }
    Some(object.into())
}

/// The example of an optional field: its own, or that of the schema that it has unless it is null.
fn optional<'d>(document: &'d Value, field: &'d Value) -> Option<&'d Value> {
    let mut either = field["oneOf"].as_array().into_iter().flatten();
    own(field).or_else(|| either.find_map(|one| own(resolved(document, one)?)))
}

/// The example that a schema itself has.
fn own(schema: &Value) -> Option<&Value> {
    schema.get("example").or_else(|| schema["examples"].get(0))
}

/// The schema that a reference names, or the schema itself.
fn resolved<'d>(document: &'d Value, schema: &'d Value) -> Option<&'d Value> {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let named = document.pointer(reference.strip_prefix('#')?)?;
            resolved(document, named)
        }
        None => Some(schema),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_has_what_is_required_and_what_has_an_example() {
        let document = json!({"components": {"schemas": {
            "Line": {"type": "object", "required": ["id", "quantity"], "properties": {
                "id": {"type": "string", "format": "uuid"},
                "quantity": {"type": "integer", "example": 2},
                "note": {"type": "string"},
                "colour": {"type": "string", "examples": ["blue"]},
                "size": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Size"}]}}},
            "Size": {"type": "string", "examples": ["large"]},
            "Order": {"type": "object", "required": ["lines"], "properties": {
                "lines": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}}}}}}});
        let order = json!({"$ref": "#/components/schemas/Order"});
        let line = json!({"id": ID, "quantity": 2, "colour": "blue", "size": "large"});
        assert_eq!(example(&document, &order), Some(json!({"lines": [line]})));
    }

    #[test]
    fn there_is_no_example_without_something_required() {
        let text = json!({"type": "string"});
        let schema = json!({"type": "object", "required": ["name"], "properties": {"name": text}});
        assert_eq!(example(&Value::Null, &schema), None);
    }
}
