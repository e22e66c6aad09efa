//! The APIs' descriptions are whole: everything in them is described, every body has an example,
//! and every schema has a name that a generated client can use.

use std::collections::BTreeSet;
use std::time::Duration;

use acceptance::program;
use anyhow::{Context, Result, ensure};
use local_servers::finish_async;
use serde_json::Value;

/// How long a program may take to print its description.
const LIMIT: Duration = Duration::from_secs(30);
/// The programs, with what prints a description.
const DESCRIPTIONS: [(&str, &[&str]); 4] = [
    ("command-api", &["openapi"]),
    ("command-api", &["openapi", "--version", "2"]),
    ("query-api", &["openapi"]),
    ("query-api", &["openapi", "--version", "2"]),
];

/// Calls the visitor with every description.
async fn for_each(mut visit: impl FnMut(&str, &Value) -> Result<()>) -> Result<()> {
    for (name, arguments) in DESCRIPTIONS {
        let mut command = tokio::process::Command::new(program(name)?);
        let output = finish_async(command.args(arguments), LIMIT).await?;
        ensure!(output.status.success(), "{name} {arguments:?}: {output:?}");
        visit(name, &serde_json::from_slice(&output.stdout)?)?;
    }
    Ok(())
}

#[tokio::test]
async fn everything_in_a_description_is_described() -> Result<()> {
    for_each(|name, document| {
        let mut missing = Vec::new();
        look(document, document, "", &mut missing);
        ensure!(missing.is_empty(), "{name}: no description of\n{}", missing.join("\n"));
        Ok(())
    })
    .await
}

/// Finds everything without a description: answers, their headers, parameters, schemas and their
/// fields.
fn look(document: &Value, value: &Value, at: &str, missing: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                let at = format!("{at}/{name}");
                // An example may have fields of any name.
                if name == "example" || name == "examples" {
                    continue;
                }
                if ["responses", "headers", "properties", "schemas"].contains(&name.as_str()) {
                    each(document, inner, &at, missing);
                }
                look(document, inner, &at, missing);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                let at = format!("{at}/{number}");
                if at.contains("/parameters/") && item.get("in").is_some() {
                    require(document, item, &at, missing);
                }
                look(document, item, &at, missing);
            }
        }
        _ => {}
    }
}

/// Looks at each value of a map for its description.
fn each(document: &Value, map: &Value, at: &str, missing: &mut Vec<String>) {
    for (name, value) in map.as_object().into_iter().flatten() {
        require(document, value, &format!("{at}/{name}"), missing);
    }
}

/// A value has a description, or so has what it refers to, or one of the kinds that it can be.
fn require(document: &Value, value: &Value, at: &str, missing: &mut Vec<String>) {
    let is_described =
        |value: &Value| value["description"].as_str().is_some_and(|text| !text.is_empty());
    let named = value["$ref"].as_str().and_then(|named| document.pointer(named.strip_prefix('#')?));
    let mut kinds = value["oneOf"].as_array().into_iter().flatten();
    if !is_described(value) && !named.is_some_and(is_described) && !kinds.any(is_described) {
        missing.push(at.to_owned());
    }
}

#[tokio::test]
async fn every_body_has_an_example() -> Result<()> {
    for_each(|name, document| {
        let mut bodies = 0;
        for (path, item) in document["paths"].as_object().context("paths")? {
            for (method, operation) in item.as_object().context("operations")? {
                let contents = operation["requestBody"]["content"].as_object();
                for (kind, content) in contents.into_iter().flatten() {
                    bodies += 1;
                    ensure!(
                        content["example"].is_object(),
                        "{name}: {method} {path} ({kind}) has no example: give each required field \
                            of the body one"
                    );
                }
            }
        }
        // Queries have no bodies.
        ensure!(bodies > 0 || name == "query-api", "{name} has no bodies");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_schema_has_a_name_of_its_own_and_answers_name_what_they_hold() -> Result<()> {
    let mut all = BTreeSet::new();
    for_each(|name, document| {
        let schemas = document["components"]["schemas"].as_object().context("schemas")?;
        for (schema, described) in schemas {
            let is_good = schema.chars().all(char::is_alphanumeric);
            ensure!(is_good, "{name}: {schema} is no name that clients can use as it is");
            let data = &described["properties"]["data"];
            let held = if data["items"].is_object() { &data["items"] } else { data };
            ensure!(
                !schema.ends_with("Answer") || held["$ref"].is_string(),
                "{name}: {schema} describes inline what it holds"
            );
            all.insert(schema.clone());
        }
        Ok(())
    })
    .await?;
    for noun in ["User", "Order", "Product", "DailySales", "Problem", "Meta", "Changed", "DryRun"] {
        ensure!(all.contains(noun), "{noun} is not among {all:?}");
    }
    Ok(())
}
