//! One OpenAPI document of the documents of both APIs.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::conflict::Conflict;

/// The documents that an API may have: one for each version. The names are those on the page that
/// shows them. An API has them from the first one on, without a gap.
pub(crate) const DOCUMENTS: [(&str, &str); 4] = [
    ("version 1", "/openapi.json"),
    ("version 2", "/openapi/v2.json"),
    ("version 3", "/openapi/v3.json"),
    ("version 4", "/openapi/v4.json"),
];
/// Where references to schemas begin.
const SCHEMAS: &str = "#/components/schemas/";
/// The prefix of a schema of the query API if the command API has another schema of its name.
const RENAMED: &str = "Query";

/// Joins the documents of the command API and of the query API into one.
pub(crate) fn merged(commands: &Value, queries: &Value) -> Result<Value, Conflict> {
    let (mut merged, queries) = (commands.clone(), renamed(queries, commands));
    let Some(whole) = merged.as_object_mut() else { return Ok(queries) };
    for (name, part) in queries.as_object().into_iter().flatten() {
        match name.as_str() {
            "info" => describe(whole, part),
            "tags" => add_tags(whole, part),
            "paths" | "components" => join(whole, name, part, 2)?,
            _ => join(whole, name, part, 0)?,
        }
    }
    Ok(merged)
}

/// Adds a part to an object. Down to `depth` levels below it, objects are joined. Below that, what
/// both have must be the same.
fn join(
    whole: &mut Map<String, Value>,
    name: &str,
    part: &Value,
    depth: usize,
) -> Result<(), Conflict> {
    let Some(known) = whole.get_mut(name) else {
        whole.insert(name.to_owned(), part.clone());
        return Ok(());
    };
    if known == part {
        return Ok(());
    }
    match (known.as_object_mut(), part.as_object()) {
        (Some(known), Some(more)) if depth > 0 => {
            more.iter().try_for_each(|(name, part)| join(known, name, part, depth - 1))
        }
        _ => Err(Conflict::Part(name.to_owned())),
    }
}

/// Joins the titles and the descriptions.
fn describe(whole: &mut Map<String, Value>, info: &Value) {
    for (field, between) in [("title", " and "), ("description", "\n\n")] {
        let known = whole.get("info").and_then(|info| info[field].as_str());
        let texts = [known, info[field].as_str()].into_iter().flatten();
        let text = texts.collect::<Vec<_>>().join(between);
        if let (false, Some(Value::Object(known))) = (text.is_empty(), whole.get_mut("info")) {
            known.insert(field.to_owned(), text.into());
        }
    }
}

/// Adds the tags that are new.
fn add_tags(whole: &mut Map<String, Value>, tags: &Value) {
    let known = whole.entry("tags").or_insert_with(|| Value::Array(Vec::new()));
    let Some(known) = known.as_array_mut() else { return };
    for tag in tags.as_array().into_iter().flatten() {
        if !known.iter().any(|known| known["name"] == tag["name"]) {
            known.push(tag.clone());
        }
    }
}

/// The document with other names for those of its schemas that mean something else in the other
/// one.
fn renamed(document: &Value, other: &Value) -> Value {
    let schemas = |document: &Value| document["components"]["schemas"].as_object().cloned();
    let (own, others) = (schemas(document).unwrap_or_default(), schemas(other).unwrap_or_default());
    let means_else = |(name, schema): &(&String, &Value)| {
        others.get(*name).is_some_and(|other| other != *schema)
    };
    let mut names: BTreeSet<String> =
        own.iter().filter(means_else).map(|(name, _)| name.clone()).collect();
    // A schema that refers to one with another meaning has another meaning, too.
    loop {
        let leads_there = |(name, schema): &(&String, &Value)| {
            others.contains_key(*name) && !names.contains(*name) && leads_to(schema, &names)
        };
        let more: Vec<String> =
            own.iter().filter(leads_there).map(|(name, _)| name.clone()).collect();
        if more.is_empty() {
            break;
        }
        names.extend(more);
    }
    let mut document = document.clone();
    point(&mut document, &names);
    if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas") {
        for name in &names {
            if let Some(schema) = schemas.remove(name) {
                schemas.insert(format!("{RENAMED}{name}"), schema);
            }
        }
    }
    document
}

/// Whether a schema refers to one with one of these names.
fn leads_to(value: &Value, names: &BTreeSet<String>) -> bool {
    match value {
        Value::String(text) => text.strip_prefix(SCHEMAS).is_some_and(|name| names.contains(name)),
        Value::Array(items) => items.iter().any(|item| leads_to(item, names)),
        Value::Object(fields) => fields.values().any(|field| leads_to(field, names)),
        _ => false,
    }
}

/// Changes every reference to a schema with one of these names.
fn point(value: &mut Value, names: &BTreeSet<String>) {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix(SCHEMAS).filter(|name| names.contains(*name)) {
                *text = format!("{SCHEMAS}{RENAMED}{name}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point(item, names)),
        Value::Object(fields) => fields.values_mut().for_each(|field| point(field, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn commands() -> Value {
        json!({
            "openapi": "3.1.0",
            "info": {"title": "Commands", "description": "Takes commands.", "version": "1"},
            "paths": {"/a": {"post": {"operationId": "makeA"}}},
            "tags": [{"name": "a", "description": "As"}],
            "components": {"schemas": {
                "Problem": {"type": "object"},
                "Money": {"type": "object", "required": ["amount"]},
            }},
        })
    }

    fn queries() -> Value {
        let money = json!({"$ref": "#/components/schemas/Money"});
        json!({
            "openapi": "3.1.0",
            "info": {"title": "Queries", "description": "Answers.", "version": "1"},
            "paths": {"/a": {"get": {"operationId": "listA", "schema": money}}, "/b": {"get": {}}},
            "tags": [{"name": "a", "description": "As"}, {"name": "b"}],
            "components": {"schemas": {
                "Problem": {"type": "object"},
                "Money": {"type": "string"},
                "B": {"$ref": "#/components/schemas/Problem"},
            }},
        })
    }

    #[test]
    fn both_documents_become_one_in_which_each_name_has_one_meaning() {
        let expected = json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Commands and Queries",
                "description": "Takes commands.\n\nAnswers.",
                "version": "1",
            },
            "paths": {
                "/a": {
                    "post": {"operationId": "makeA"},
                    "get": {
                        "operationId": "listA",
                        "schema": {"$ref": "#/components/schemas/QueryMoney"},
                    },
                },
                "/b": {"get": {}},
            },
            "tags": [{"name": "a", "description": "As"}, {"name": "b"}],
            "components": {"schemas": {
                "Problem": {"type": "object"},
                "Money": {"type": "object", "required": ["amount"]},
                "QueryMoney": {"type": "string"},
                "B": {"$ref": "#/components/schemas/Problem"},
            }},
        });
        assert_eq!(merged(&commands(), &queries()).unwrap(), expected);
    }

    #[test]
    fn what_leads_to_another_meaning_has_another_name_too() {
        let (mut commands, mut queries) = (commands(), queries());
        let price = json!({"properties": {"of": {"$ref": "#/components/schemas/Money"}}});
        let offer = json!({"items": {"$ref": "#/components/schemas/Price"}});
        for document in [&mut commands, &mut queries] {
            document["components"]["schemas"]["Price"] = price.clone();
            document["components"]["schemas"]["Offer"] = offer.clone();
        }
        let merged = merged(&commands, &queries).unwrap();
        let schemas = &merged["components"]["schemas"];
        assert_eq!((&schemas["Price"], &schemas["Offer"]), (&price, &offer));
        let of_queries = json!({"$ref": "#/components/schemas/QueryMoney"});
        assert_eq!(schemas["QueryPrice"]["properties"]["of"], of_queries);
        assert_eq!(schemas["QueryOffer"]["items"]["$ref"], "#/components/schemas/QueryPrice");
    }

    #[test]
    fn what_cannot_be_joined_is_named() {
        let mut queries = queries();
        queries["paths"]["/a"]["post"] = json!({"operationId": "makeOther"});
        let refused = merged(&commands(), &queries).unwrap_err().to_string();
        assert_eq!(refused, "both APIs describe post, each in another way");
        let other = json!({"openapi": "3.2.0"});
        let refused = merged(&commands(), &other).unwrap_err().to_string();
        assert_eq!(refused, "both APIs describe openapi, each in another way");
    }
}
