//! Rows are read without the columns that nobody asks for. That shows in no answer.
//!
//! Each field of a user and of an order is asked for alone in a list, and in a fragment, for which
//! rows are read whole. The fields come from the schema.

use serde_json::{Value, json};

use super::{ask, data};
use crate::support::App;
use crate::support::rows::fill;

/// The lists, with the types of their rows.
const LISTS: &[(&str, &str)] = &[("orders", "Order"), ("users", "User")];
/// The number of rows of each list. The tables have nulls in some of them.
const ROWS: i64 = 8;
/// Values for the columns that have none yet.
const VALUES: &str = r#"
    UPDATE orders_g1.orders SET cancel_products = jsonb_build_array(id),
        cancel_reason = 'customer';
    UPDATE orders_g1.orders SET lines = jsonb_build_array(jsonb_build_object(
        'line_id', id, 'product_id', id, 'product_name', 'cd', 'quantity', 2,
        'unit_price_minor', 799));
    UPDATE users_g1.users SET newsletter = true, addresses = jsonb_build_array(jsonb_build_object(
        'id', id, 'label', 'home', 'recipient', 'Ada', 'street', '1 Street', 'city', 'Vienna',
        'postal_code', '1010', 'country', 'AT', 'region', '9'));
    UPDATE users_g1.users SET total_spent = '{"USD": 700}', total_refunded = '{"USD": 300}',
        total_paid = '{"USD": 500}', total_paid_back = '{"USD": 200}';
"#;

/// The types of the schema, with their fields.
async fn types(app: &App) -> Vec<Value> {
    let query = "{ __schema { types { name kind fields { name type { kind name
        ofType { kind name ofType { kind name ofType { kind name } } } } } } } }";
    let answer = ask(app, query, &json!({})).await;
    data(&answer)["__schema"]["types"].as_array().unwrap().clone()
}

fn find<'t>(types: &'t [Value], name: &Value) -> &'t Value {
    types.iter().find(|one| one["name"] == *name).unwrap()
}

/// The type of a field below its lists and `!`.
fn inner(of: &Value) -> &Value {
    if of["ofType"].is_null() { of } else { inner(&of["ofType"]) }
}

/// What to ask for of a field: its name, with all fields of an object that is part of the row.
/// `None` for what belongs to another row.
fn selection(types: &[Value], field: &Value) -> Option<String> {
    let (name, of) = (field["name"].as_str().unwrap(), inner(&field["type"]));
    if of["kind"] != "OBJECT" {
        return Some(name.to_owned());
    }
    let fields = find(types, &of["name"])["fields"].as_array().unwrap();
    let is_row = LISTS.iter().any(|(_, row)| of["name"] == *row);
    let is_list = fields.iter().any(|field| field["name"] == "pageInfo");
    if is_row || is_list {
        return None;
    }
    let below: Vec<String> = fields
        .iter()
        .filter(|field| inner(&field["type"])["name"] != "Product")
        .filter_map(|field| selection(types, field))
        .collect();
    Some(format!("{name} {{ {} }}", below.join(" ")))
}

/// Whether a field shows something.
fn shows(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => items.iter().any(shows),
        Value::Object(fields) => fields.values().any(shows),
        _ => true,
    }
}

#[tokio::test]
async fn a_field_shows_the_same_whether_its_columns_are_read_or_the_whole_row() {
    let app = App::silent(1).await;
    fill(&app, ROWS).await;
    sqlx::raw_sql(VALUES).execute(&app.writer).await.unwrap();
    let types = types(&app).await;
    for (list, row) in LISTS {
        for field in find(&types, &json!(row))["fields"].as_array().unwrap() {
            let Some(field) = selection(&types, field) else { continue };
            let alone = format!("{{ {list} {{ nodes {{ {field} }} }} }}");
            let whole = format!("{{ {list} {{ nodes {{ ... on {row} {{ {field} }} }} }} }}");
            let alone = ask(&app, &alone, &json!({})).await;
            let whole = ask(&app, &whole, &json!({})).await;
            assert_eq!(data(&alone), data(&whole), "{row}: {field}");
            assert!(shows(&data(&whole)[list]["nodes"]), "{row}: {field} is nothing everywhere");
        }
    }
}
