//! The lists and rows of the API, as its OpenAPI document describes them. Tests that go over all of
//! them find a new resource here.

use std::collections::HashMap;

use query_api::http::Version;
use serde_json::Value;
use sqlx::{Executor as _, Row as _};

use super::App;

/// The parameters that every list has.
const OF_EVERY_LIST: [&str; 5] = ["page", "page_size", "cursor", "format", "consistency_token"];

/// A parameter that selects no rows: it asks for other states of all of them.
const AS_OF: &str = "as_of";

/// A parameter of a list that selects rows.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) schema: Value,
}

/// A list of the API.
#[derive(Debug, Clone)]
pub(crate) struct List {
    /// The path, which may contain `{id}`.
    pub(crate) path: String,
    pub(crate) filters: Vec<Parameter>,
    /// The values of the parameter `sort`, such as `name` and `-name`.
    pub(crate) sorts: Vec<String>,
    /// The schemas of the fields that clients see of a row.
    pub(crate) fields: Value,
}

/// The OpenAPI document of a version.
pub(crate) fn document(version: Version) -> Value {
    serde_json::to_value(query_api::http::document(version)).unwrap()
}

/// The documents of all versions, the oldest first.
pub(crate) fn documents() -> [Value; 2] {
    Version::ALL.map(document)
}

/// Follows references to the schema itself.
fn resolved(document: &Value, schema: &Value) -> Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.trim_start_matches('#');
            resolved(document, document.pointer(pointer).unwrap())
        }
        None => schema.clone(),
    }
}

/// The parameters of an operation in its query.
fn parameters(document: &Value, operation: &Value) -> Vec<Parameter> {
    let all = operation["parameters"].as_array().into_iter().flatten();
    let in_query = all.filter(|parameter| parameter["in"] == "query");
    let parameter = |parameter: &Value| Parameter {
        name: parameter["name"].as_str().unwrap().to_owned(),
        schema: resolved(document, &parameter["schema"]),
    };
    in_query.map(parameter).collect()
}

/// All lists of all versions: operations with the parameter `page_size`.
pub(crate) fn lists() -> Vec<List> {
    documents().iter().flat_map(lists_of).collect()
}

/// Those of one version.
pub(crate) fn lists_of(document: &Value) -> Vec<List> {
    let mut lists = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let parameters = parameters(document, &item["get"]);
        if parameters.iter().all(|parameter| parameter.name != "page_size") {
            continue;
        }
        let answer = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let answer = resolved(document, answer);
        let data = resolved(document, &answer["properties"]["data"]);
        let mut fields = resolved(document, &data["items"])["properties"].take();
        for field in fields.as_object_mut().unwrap().values_mut() {
            *field = resolved(document, field);
        }
        let is_sort = |parameter: &&Parameter| parameter.name == "sort";
        let sort = parameters.iter().find(is_sort).unwrap_or_else(|| panic!("{path} has no sort"));
        let sorts = sort.schema["enum"].as_array().into_iter().flatten();
        let sorts: Vec<String> = sorts.map(|sort| sort.as_str().unwrap().to_owned()).collect();
        assert!(!sorts.is_empty(), "{path}: the parameter `sort` lists its values inline");
        let filters = parameters.into_iter().filter(|parameter| {
            !["sort", AS_OF].contains(&parameter.name.as_str())
                && !OF_EVERY_LIST.contains(&parameter.name.as_str())
        });
        lists.push(List { path: path.clone(), filters: filters.collect(), sorts, fields });
    }
    lists
}

/// The paths of queries in all versions, each with whether it can be asked as of a moment.
pub(crate) fn paths_as_of() -> Vec<(String, bool)> {
    let of = |document: &Value| {
        let is_as_of = |item: &Value| {
            parameters(document, &item["get"]).iter().any(|parameter| parameter.name == AS_OF)
        };
        let paths = document["paths"].as_object().unwrap().iter();
        let queries = paths.filter(|(path, _)| path.starts_with("/api/"));
        queries.map(|(path, item)| (path.clone(), is_as_of(item))).collect::<Vec<_>>()
    };
    documents().iter().flat_map(of).collect()
}

/// The paths of all versions that answer with one row by its id.
pub(crate) fn rows() -> Vec<String> {
    documents().iter().flat_map(rows_of).collect()
}

/// Those of one version.
pub(crate) fn rows_of(document: &Value) -> Vec<String> {
    let paths = document["paths"].as_object().unwrap().keys();
    paths.filter(|path| path.ends_with("/{id}")).cloned().collect()
}

/// The statements that the connections of a pool have prepared so far, with their parameter types.
/// The pool must have one connection.
pub(crate) async fn prepared(pool: &postgres_kit::Pool) -> Vec<(String, Vec<String>)> {
    let statement = "SELECT statement, parameter_types::text[] FROM pg_prepared_statements";
    let rows = pool.fetch_all(sqlx::raw_sql(statement)).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// How often the connections of a pool have executed each of their statements.
async fn executions(pool: &postgres_kit::Pool) -> HashMap<String, i64> {
    let counts = "SELECT statement, generic_plans + custom_plans FROM pg_prepared_statements";
    let rows = pool.fetch_all(sqlx::raw_sql(counts)).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

impl Parameter {
    /// The parameter with a value, as in a URL.
    pub(crate) fn with(&self, value: &str) -> String {
        let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        format!("{}={value}", self.name)
    }
}

impl List {
    /// A value for a filter: that of a row's field of the same name, or of the same format.
    pub(crate) fn value_for(&self, filter: &Parameter, rows: &[Value]) -> String {
        let fields = self.fields.as_object().unwrap();
        let is_alike = |field: &Value| {
            field["format"].is_string() && field["format"] == filter.schema["format"]
        };
        let alike = fields.iter().find(|(_, field)| is_alike(field)).map(|(name, _)| name);
        let same = fields.contains_key(&filter.name).then_some(&filter.name);
        // From the middle of the list on, because the first rows may fit by chance.
        let values = same.or(alike).into_iter().flat_map(|name| {
            rows.iter().cycle().skip(rows.len() / 2).take(rows.len()).map(move |row| &row[name])
        });
        match values.into_iter().find(|value| !value.is_null()).unwrap_or(&Value::Null) {
            Value::String(text) => text.clone(),
            Value::Null => panic!(
                "{}: no row shows what `{}` filters by: give the filter the name of a field, or \
                    show a field of its format",
                self.path, filter.name
            ),
            other => other.to_string(),
        }
    }

    /// Whether it shows the events of one row. It is read by several statements.
    pub(crate) fn is_history(&self) -> bool {
        self.path.ends_with("/{id}/history")
    }

    /// The path without `{id}`: that of the row whose list is the longest.
    pub(crate) async fn real_path(&self, app: &App) -> String {
        let Some((parent, rest)) = self.path.split_once("/{id}") else { return self.path.clone() };
        let mut longest = (0, String::new());
        for id in app.get(&format!("{parent}?page_size=100")).await.ids() {
            let path = format!("{parent}/{id}{rest}");
            let answer = app.get(&format!("{path}?page_size=100")).await;
            let length = answer.body["data"].as_array().map_or(0, Vec::len);
            if length >= longest.0 {
                longest = (length, path);
            }
        }
        assert!(longest.0 > 0, "no row of {parent} has rows in {}", self.path);
        longest.1
    }

    /// The name of the table in `read_model` that the list reads. It is asked once for a page.
    pub(crate) async fn table(&self, app: &App) -> Option<String> {
        let counted = async || {
            let mut all = executions(&app.pools.lookup).await;
            all.extend(executions(&app.pools.scan).await);
            all
        };
        let before = counted().await;
        app.get(&self.path).await;
        // Another version of the API may have run the same statement before.
        let ran = |statement: &String, count| before.get(statement).is_none_or(|was| count > *was);
        let now = counted().await;
        let mut ran = now.iter().filter(|(statement, count)| ran(statement, **count));
        ran.find_map(|(statement, _)| page_of(statement).map(str::to_owned))
    }
}

/// The table whose page this statement reads, if it reads a page.
pub(crate) fn page_of(statement: &str) -> Option<&str> {
    let (_, page) = statement.split_once(" UNION ALL SELECT NULL")?;
    page.split_once(" FROM read_model.")?.1.split_whitespace().next()
}

/// How often the only connection of a pool has executed each of its statements, in total.
pub(crate) async fn executed(pool: &postgres_kit::Pool) -> i64 {
    let counts = "SELECT coalesce(sum(generic_plans + custom_plans), 0)::bigint
        FROM pg_prepared_statements";
    pool.fetch_all(sqlx::raw_sql(counts)).await.unwrap()[0].get(0)
}
