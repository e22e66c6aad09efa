//! Rows for any read table: their values are made from the types of the columns, and from what the
//! OpenAPI document says about a field or filter of the same name.

use query_api::read::ALL_ROWS;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::App;
use super::described::{List, lists};

/// The maximum number of different values of a field with an `enum`.
const MAX_VALUES: usize = 3;

/// A column of a table.
#[derive(Debug, sqlx::FromRow)]
#[allow(clippy::struct_excessive_bools, reason = "one per question to the catalogue")]
struct Column {
    name: String,
    type_name: String,
    is_null: bool,
    in_key: bool,
    /// Whether it is the only column of a key.
    is_key: bool,
    /// Whether it leads a key with a number, so that several rows share it.
    is_shared: bool,
}

/// Fills every read table with `count` rows, and analyses them. Three rows in a row share most of
/// their values, so that the key must break ties. Ids in other tables name existing rows.
pub(crate) async fn fill(app: &App, count: i64) {
    let mut described: Vec<(String, List)> = Vec::new();
    for list in lists() {
        if let Some(table) = list.table(app).await {
            let is_listed = ALL_ROWS.iter().any(|(_, name, _)| **name == table);
            let path = &list.path;
            assert!(is_listed, "{path} reads {table}: list it in `read_tables!` of src/read.rs");
            described.push((table, list));
        }
    }
    for (_, name, _) in ALL_ROWS {
        // The past of rows has their columns.
        let of = name.strip_suffix("_history").unwrap_or(name);
        let lists: Vec<&List> =
            described.iter().filter(|(table, _)| table == of).map(|(_, list)| list).collect();
        let columns: Vec<Column> = sqlx::query_as(
            "SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type_name,
                 NOT attnotnull AS is_null,
                 EXISTS (SELECT FROM pg_index WHERE indrelid = attrelid AND indisunique
                     AND attnum = ANY (indkey)) AS in_key,
                 EXISTS (SELECT FROM pg_index WHERE indrelid = attrelid AND indisunique
                     AND attnum = indkey[0] AND indnkeyatts = 1) AS is_key,
                 EXISTS (SELECT FROM pg_index JOIN pg_attribute AS k ON k.attrelid = indrelid
                         AND k.attnum = ANY (indkey) AND k.atttypid = 'bigint'::regtype
                     WHERE indrelid = c.attrelid AND indisunique AND c.attnum = indkey[0])
                     AS is_shared
             FROM pg_attribute AS c
             WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
                 AND attgenerated = '' ORDER BY attnum",
        )
        .bind(table(name))
        .fetch_all(&app.writer)
        .await
        .unwrap();
        assert!(!columns.is_empty(), "there is no table {name}");
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let values: Vec<String> =
            columns.iter().map(|column| value(name, column, &lists, count)).collect();
        let statement = format!(
            "INSERT INTO {} ({}) SELECT {} FROM generate_series(0, {count} - 1) AS n",
            table(name),
            names.join(", "),
            values.join(", ")
        );
        let made = sqlx::query(AssertSqlSafe(statement.clone())).execute(&app.writer).await;
        made.unwrap_or_else(|error| panic!("{error} in {statement}"));
    }
    sqlx::raw_sql("ANALYZE").execute(&app.writer).await.unwrap();
}

/// The table of this name in its projection's first generation.
pub(crate) fn table(name: &str) -> String {
    let (projection, ..) = ALL_ROWS.iter().find(|(_, table, _)| *table == name).unwrap();
    format!("{projection}_g1.{name}")
}

/// An expression over the row's number `n`.
fn value(table: &str, column: &Column, lists: &[&List], count: i64) -> String {
    let Column { name, type_name, is_null, in_key, is_key, is_shared } = column;
    let schemas: Vec<&Value> = schemas(name, lists).collect();
    let value = match type_name.as_str() {
        "uuid" if *in_key && !is_shared => "md5(n::text)::uuid".to_owned(),
        "uuid" => reference(count),
        "text" => text(name, &schemas),
        "smallint" | "integer" | "bigint" => number(&schemas, *in_key),
        "numeric" | "double precision" => "n / 3".to_owned(),
        "boolean" => "n % 2 = 0".to_owned(),
        "date" if *is_key => "date '2026-01-01' + n".to_owned(),
        "date" => "date '2026-01-01' + (n / 3)".to_owned(),
        "timestamp with time zone" => {
            "timestamptz '2026-01-01 00:00:00Z' + (n / 3) * interval '1 second'".to_owned()
        }
        // A version of the API may show an object as an array.
        "jsonb"
            if !schemas.is_empty() && schemas.iter().all(|schema| has_type(schema, "array")) =>
        {
            "'[]'".to_owned()
        }
        "jsonb" => "'{}'".to_owned(),
        _ => panic!(
            "{table}.{name}: add to tests/it/support/rows.rs how to make a value of type \
                {type_name}"
        ),
    };
    if *is_null { format!("CASE WHEN n % 7 < 6 THEN {value} END") } else { value }
}

/// What the document says about fields and filters of a name.
fn schemas<'l>(name: &str, lists: &[&'l List]) -> impl Iterator<Item = &'l Value> {
    let of = move |list: &'l List| {
        let filters = list.filters.iter().filter(move |filter| filter.name == *name);
        list.fields.get(name).into_iter().chain(filters.map(|filter| &filter.schema))
    };
    lists.iter().flat_map(|list| of(list)).collect::<Vec<_>>().into_iter()
}

/// The id of one of the first or last rows, so that both ends of a list have rows that name them.
fn reference(count: i64) -> String {
    let (named, last) = ((count / 10).max(2), count - 1);
    format!("md5((CASE n % 2 WHEN 0 THEN n % {named} ELSE {last} - n % {named} END)::text)::uuid")
}

fn has_type(schema: &Value, name: &str) -> bool {
    let types = &schema["type"];
    types == name || types.as_array().is_some_and(|types| types.iter().any(|one| one == name))
}

fn text(name: &str, schemas: &[&Value]) -> String {
    let values = schemas.iter().find_map(|schema| schema["enum"].as_array());
    if let Some(values) = values {
        let values = values.iter().filter_map(Value::as_str).take(MAX_VALUES);
        let quoted: Vec<String> = values.map(|value| format!("'{value}'")).collect();
        return format!("(ARRAY[{}])[1 + n % {}]", quoted.join(", "), quoted.len());
    }
    if schemas.iter().any(|schema| schema["format"] == "uuid") {
        return "md5((n / 3)::text)::uuid::text".to_owned();
    }
    if schemas.iter().any(|schema| schema["format"] == "email") {
        return "'row-' || n || '@example.com'".to_owned();
    }
    format!("'{name} ' || lpad((n / 3)::text, 6, '0')")
}

fn number(schemas: &[&Value], in_key: bool) -> String {
    let maximum = schemas.iter().find_map(|schema| schema["maximum"].as_i64());
    match maximum {
        _ if in_key => "n".to_owned(),
        Some(maximum) => format!("1 + (n / 3) % {maximum}"),
        None => "n / 3".to_owned(),
    }
}
