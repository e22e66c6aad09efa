//! Tests of every list and every row of the API, over rows that are made from the tables' columns:
//! sorts, cursors, filters, single rows, and what is refused. A new resource needs no line here.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::App;
use crate::support::described::{Parameter, lists, rows as single_rows};
use crate::support::rows::fill;

/// The number of rows in each table.
const ROWS: i64 = 23;
/// An id that no row has.
const UNKNOWN: &str = "019a0000-0000-7000-8000-000000000000";

async fn filled() -> App {
    // With one connection per pool, what it has prepared tells which list reads which table.
    let app = App::silent(1).await;
    fill(&app, ROWS).await;
    app
}

/// The rows of the list's only page.
async fn whole(app: &App, path: &str) -> Vec<Value> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let answer = app.get(&format!("{path}{separator}page_size=100")).await;
    assert_eq!(answer.status, 200, "{path} {answer:?}");
    answer.body["data"].as_array().unwrap().clone()
}

/// Follows `next_cursor` to the end.
async fn walk(app: &App, path: &str) -> Vec<Value> {
    let (mut rows, mut next) = (Vec::new(), path.to_owned());
    for page in 0.. {
        assert!(page < 100, "{path}: the walk does not end");
        let answer = app.get(&next).await;
        assert_eq!(answer.status, 200, "{next} {answer:?}");
        rows.extend(answer.body["data"].as_array().unwrap().iter().cloned());
        let Some(cursor) = answer.body["meta"]["page"]["next_cursor"].as_str() else {
            assert_eq!(answer.header("link"), "", "{next}");
            break;
        };
        next = format!("{path}&cursor={cursor}");
        assert_eq!(answer.header("link"), format!("<{next}>; rel=\"next\""));
    }
    rows
}

/// A text that sorts as the value does.
fn sortable(value: &Value) -> String {
    match value {
        Value::Number(number) => format!("{:020}", number.as_i64().unwrap()),
        Value::String(text) => text.clone(),
        other => panic!("a list cannot be sorted by {other}"),
    }
}

fn texts(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().map(Value::to_string).collect()
}

#[tokio::test]
async fn a_walk_by_cursor_sees_every_row_once_in_every_sort_although_many_tie() {
    let app = filled().await;
    for list in lists() {
        let path = list.real_path(&app).await;
        let all = whole(&app, &path).await;
        assert!(all.len() > 5, "{path} has {} rows: none to walk through", all.len());
        for sort in &list.sorts {
            let column = sort.trim_start_matches('-');
            let walked = walk(&app, &format!("{path}?page_size=2&sort={sort}")).await;
            let differ = "another list, or a row came twice: `key` and `sorted!` of the question \
                name the same columns";
            assert_eq!(
                (walked.len(), texts(&walked)),
                (all.len(), texts(&all)),
                "{path}: {differ}"
            );
            let mut values: Vec<String> = walked.iter().map(|row| sortable(&row[column])).collect();
            let found = values.clone();
            values.sort();
            if sort.starts_with('-') {
                values.reverse();
            }
            assert_eq!(found, values, "{path} is not sorted by {sort}");
            let one_page = whole(&app, &format!("{path}?sort={sort}")).await;
            assert_eq!(walked, one_page, "{path}: {sort} by page and by cursor");
        }
    }
}

#[tokio::test]
async fn the_two_directions_of_a_sort_are_each_others_reverse() {
    let app = filled().await;
    for list in lists() {
        let path = list.real_path(&app).await;
        for sort in list.sorts.iter().filter(|sort| !sort.starts_with('-')) {
            let mut up = whole(&app, &format!("{path}?sort={sort}")).await;
            assert!(list.sorts.contains(&format!("-{sort}")), "{path} has no sort -{sort}");
            let down = whole(&app, &format!("{path}?sort=-{sort}")).await;
            up.reverse();
            assert_eq!(up, down, "{path}: a key breaks ties in both directions of {sort}");
        }
    }
}

#[tokio::test]
async fn every_filter_lets_exactly_its_rows_through() {
    let app = filled().await;
    for list in lists() {
        let path = list.real_path(&app).await;
        let all = whole(&app, &path).await;
        for filter in &list.filters {
            let value = list.value_for(filter, &all);
            let filtered = format!("{path}?{}", filter.with(&value));
            let found = whole(&app, &filtered).await;
            if list.fields.get(&filter.name).is_some() {
                let shown = |row: &Value| {
                    row[&filter.name]
                        .as_str()
                        .map_or_else(|| row[&filter.name].to_string(), str::to_owned)
                };
                let fitting: Vec<Value> =
                    all.iter().filter(|row| shown(row) == value).cloned().collect();
                assert_eq!(found, fitting, "{filtered}");
            }
            let is_part = texts(&found).is_subset(&texts(&all));
            assert!(is_part && !found.is_empty(), "{filtered}: {found:?}");
            assert!(found.len() < all.len(), "{filtered} lets everything through");
            assert_eq!(walk(&app, &format!("{filtered}&page_size=1")).await, found, "{filtered}");
            let first = app.get(&format!("{filtered}&page=1")).await;
            assert_eq!(first.body["meta"]["page"]["total_items"], found.len(), "{filtered}");
        }
    }
}

#[tokio::test]
async fn every_row_of_a_list_is_shown_by_itself_too() {
    let app = filled().await;
    for path in single_rows() {
        let collection = path.trim_end_matches("/{id}");
        for row in whole(&app, collection).await {
            let path = path.replace("{id}", row["id"].as_str().unwrap());
            let answer = app.get(&path).await;
            assert_eq!(answer.status, 200, "{path} {answer:?}");
            for (field, value) in row.as_object().unwrap() {
                assert_eq!(&answer.body["data"][field], value, "{path}: {field}");
            }
        }
        assert_eq!(app.get(&path.replace("{id}", UNKNOWN)).await.status, 404, "{path}");
        assert_eq!(app.get(&path.replace("{id}", "17")).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn what_the_document_does_not_allow_is_refused_and_pointed_at() {
    let app = filled().await;
    for list in lists() {
        let path = list.real_path(&app).await;
        let mut wrong = vec![
            ("no_such_parameter=1".to_owned(), "/no_such_parameter".to_owned()),
            ("sort=no_such_sort".to_owned(), "/sort".to_owned()),
        ];
        for Parameter { name, schema } in &list.filters {
            wrong.push((format!("{name}=a%00b"), format!("/{name}")));
            wrong.push((format!("{name}=a&{name}=a"), format!("/{name}")));
            if let Some(minimum) = schema["minimum"].as_i64() {
                wrong.push((format!("{name}={}", minimum - 1), format!("/{name}")));
            }
            if let Some(maximum) = schema["maximum"].as_i64() {
                wrong.push((format!("{name}={}", maximum + 1), format!("/{name}")));
            }
        }
        for (query, pointer) in wrong {
            let answer = app.get(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, 422, "{path}?{query} {answer:?}");
            assert_eq!(answer.body["errors"][0]["pointer"], pointer.as_str(), "{path}?{query}");
        }
    }
}
