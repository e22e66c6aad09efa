//! The columns of a list as a table. They come from the schema of a row, so an empty list has the
//! same columns as a long one.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// The maximum depth of objects that become columns. Deeper ones are shown as JSON.
const MAX_DEPTH: usize = 4;
const SCHEMAS: &str = "#/components/schemas/";

/// A column: the names of the fields that lead to its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column(Vec<String>);

/// The columns of a row. An object with known fields becomes a column for each of them; everything
/// else is one column.
pub(super) fn columns<B: ToSchema>() -> Vec<Column> {
    let mut below = Vec::new();
    B::schemas(&mut below);
    let value = |schema| serde_json::to_value(schema).unwrap_or_default();
    let named = below.into_iter().map(|(name, schema)| (name, value(schema))).collect();
    let mut columns = Vec::new();
    collect(&value(B::schema()), &named, &mut Vec::new(), &mut columns);
    columns
}

fn collect(
    schema: &Value,
    named: &BTreeMap<String, Value>,
    path: &mut Vec<String>,
    found: &mut Vec<Column>,
) {
    let fields = match path.len() {
        ..=MAX_DEPTH => fields(schema, named),
        _ => None,
    };
    let Some(fields) = fields else { return found.push(Column(path.clone())) };
    for (name, schema) in fields {
        path.push(name.clone());
        collect(schema, named, path, found);
        path.pop();
    }
}

/// The fields of an object in the order of their declaration. `None` for everything else.
fn fields<'s>(
    schema: &'s Value,
    named: &'s BTreeMap<String, Value>,
) -> Option<Vec<(&'s String, &'s Value)>> {
    let reference = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix(SCHEMAS));
    if let Some(name) = reference {
        return fields(named.get(name)?, named);
    }
    // An object that may be null.
    for either in ["oneOf", "anyOf", "allOf"] {
        if let Some(schemas) = schema[either].as_array() {
            let mut others = schemas.iter().filter(|schema| schema["type"] != "null");
            return match (others.next(), others.next()) {
                (Some(only), None) => fields(only, named),
                _ => None,
            };
        }
    }
    // `properties` are sorted by name, `required` as they are declared.
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut fields: Vec<_> = schema["properties"].as_object()?.iter().collect();
    fields.sort_by_key(|(name, _)| {
        required.iter().position(|required| required == name).unwrap_or(required.len())
    });
    Some(fields)
}

impl Column {
    /// The name of the column: those of the fields, with dots between them.
    pub(super) fn name(&self) -> String {
        self.0.join(".")
    }

    /// The value in a row. `None` if it, or an object that contains it, is null.
    pub(super) fn value<'r>(&self, row: &'r Value) -> Option<&'r Value> {
        let value = self.0.iter().try_fold(row, |value, name| value.get(name))?;
        (!value.is_null()).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(dead_code, reason = "only their schemas are used")]

    use super::*;

    #[derive(ToSchema)]
    struct Row {
        second: String,
        first: Option<Inner>,
        sums: BTreeMap<String, i64>,
        list: Vec<Inner>,
        own: Own,
    }

    #[derive(ToSchema)]
    struct Inner {
        z: i64,
        a: i64,
    }

    #[derive(ToSchema)]
    struct Own {
        #[schema(no_recursion)]
        own: Option<Box<Own>>,
    }

    #[test]
    fn objects_become_columns_in_the_order_of_their_fields_and_everything_else_is_one() {
        let names: Vec<String> = columns::<Row>().iter().map(Column::name).collect();
        let wanted = ["second", "sums", "list", "own.own.own.own.own", "first.z", "first.a"];
        assert_eq!(names, wanted);
    }

    #[test]
    fn a_field_of_null_has_no_value() {
        let row = serde_json::json!({"first": null, "sums": {}});
        let columns = columns::<Row>();
        let of = |name: &str| columns.iter().find(|column| column.name() == name);
        assert_eq!(of("first.z").and_then(|column| column.value(&row)), None);
        let sums = of("sums").and_then(|column| column.value(&row));
        assert_eq!(sums, Some(&serde_json::json!({})));
    }
}
