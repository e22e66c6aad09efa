//! Exports of every list, over rows that are made from the tables' columns: the rows, columns,
//! filters, sorts and access are those of the list. A new list needs no line here.

mod limits;
mod process;

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::access::matrix::{CALLERS, token_of};
use crate::support::described::{List, Parameter, lists};
use crate::support::rows::fill;
use crate::support::{App, UserSeed, tokens};

const ROWS: i64 = 23;
const CSV: &str = "text/csv";
const NDJSON: &str = "application/x-ndjson";

/// An answer with its body as text.
#[derive(Debug)]
struct Exported {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Exported {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The rows of an export as NDJSON.
    fn rows(&self) -> Vec<Value> {
        assert_eq!((self.status.as_u16(), self.header("content-type")), (200, NDJSON), "{self:?}");
        self.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The header row and the rows of an export as CSV.
    fn table(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let content_type = "text/csv; charset=utf-8; header=present";
        assert_eq!((self.status.as_u16(), self.header("content-type")), (200, content_type));
        let mut table = csv::ReaderBuilder::new().from_reader(self.text.as_bytes());
        let texts = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect();
        let head = texts(table.headers().unwrap());
        (head, table.records().map(|record| texts(&record.unwrap())).collect())
    }
}

fn request(method: &str, path: &str, accept: &str, token: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("accept", accept);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Body::empty()).unwrap()
}

async fn send(router: &Router, request: Request<Body>) -> Exported {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Exported { status: parts.status, headers: parts.headers, text }
}

async fn export(app: &App, path: &str, accept: &str) -> Exported {
    send(&app.router, request("GET", path, accept, Some(&tokens::admin()))).await
}

async fn filled() -> App {
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

/// The list in each sort and with each filter.
async fn variants(app: &App, list: &List, path: &str) -> Vec<String> {
    let rows = whole(app, path).await;
    let sorts = list.sorts.iter().map(|sort| format!("{path}?sort={sort}"));
    let filtered =
        |filter: &Parameter| format!("{path}?{}", filter.with(&list.value_for(filter, &rows)));
    sorts.chain(list.filters.iter().map(filtered)).collect()
}

/// What a cell shows of a row. None of these rows has a text that may be a formula.
fn cell(row: &Value, column: &str) -> String {
    let value = column.split('.').fold(row, |value, name| &value[name]);
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[tokio::test]
async fn every_export_has_the_rows_of_its_list_with_every_filter_and_in_every_sort() {
    let app = filled().await;
    for list in lists() {
        let path = list.real_path(&app).await;
        for path in variants(&app, &list, &path).await {
            let rows = whole(&app, &path).await;
            assert!(!rows.is_empty(), "{path} has no rows");
            assert_eq!(export(&app, &path, NDJSON).await.rows(), rows, "{path}");
            let (head, cells) = export(&app, &path, CSV).await.table();
            let shown = |row| head.iter().map(|column| cell(row, column)).collect::<Vec<_>>();
            assert_eq!(cells, rows.iter().map(shown).collect::<Vec<_>>(), "{path}");
            for format in ["csv", "ndjson"] {
                let by_parameter = export(&app, &format!("{path}&format={format}"), "*/*").await;
                let accept = if format == "csv" { CSV } else { NDJSON };
                assert_eq!(by_parameter.text, export(&app, &path, accept).await.text, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn every_table_has_a_column_for_each_field_also_without_rows() {
    let app = App::silent(1).await;
    for list in lists().iter().filter(|list| !list.path.contains("{id}")) {
        let empty = export(&app, &list.path, CSV).await;
        let (head, rows) = empty.table();
        assert!(rows.is_empty() && empty.text.ends_with("\r\n"), "{}", list.path);
        let shown: BTreeSet<&str> =
            head.iter().map(|name| name.split('.').next().unwrap_or_default()).collect();
        let fields = list.fields.as_object().unwrap();
        assert_eq!(shown, fields.keys().map(String::as_str).collect(), "{}", list.path);
        assert_eq!(head.iter().collect::<BTreeSet<_>>().len(), head.len(), "{head:?}");
        assert_eq!(export(&app, &list.path, NDJSON).await.text, "");
    }
}

#[tokio::test]
async fn a_table_is_what_rfc_4180_says_and_starts_no_formula() {
    let app = App::silent(1).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let name = "=HYPERLINK(\"http://evil.example\", \"Ada\")\r\nnext, é";
    let update = "UPDATE users_g1.users SET name = $1, phone = '+4312345678', display_name = NULL";
    sqlx::query(update).bind(name).execute(&app.writer).await.unwrap();
    let exported = export(&app, "/api/v1/users", CSV).await;
    assert_eq!(exported.header("content-disposition"), "attachment; filename=\"users.csv\"");
    let (head, rest) = exported.text.split_once("\r\n").unwrap();
    assert_eq!(
        head,
        "id,email,name,status,customer_type,profile.display_name,profile.locale,profile.phone,\
            preferences.language,preferences.currency,preferences.newsletter,addresses,\
            order_count,total_spent,total_refunded,total_net,total_paid,total_paid_back,\
            last_order_at,created_at,updated_at,version"
    );
    let name = "\"'=HYPERLINK(\"\"http://evil.example\"\", \"\"Ada\"\")\r\nnext, é\"";
    let begin = format!("{user},user-1@example.com,{name},active,consumer,,,'+4312345678,,,false,");
    assert!(rest.starts_with(&format!("{begin}[],0,\"{{\"\"USD\"\":\"\"87.15\"\"}}\",")), "{rest}");
    assert!(rest.ends_with(",3\r\n"), "{rest}");
}

#[tokio::test]
async fn exports_show_everybody_what_the_list_shows_them() {
    let app = filled().await;
    for list in lists() {
        let path = list.real_path(&app).await;
        let rows = whole(&app, &path).await;
        let id = |field: &str| rows[0][field].as_str().and_then(|id| id.parse::<Uuid>().ok());
        let owner = id("user_id").or_else(|| id("id")).unwrap_or_default();
        for caller in CALLERS {
            let token = token_of(caller, owner);
            let of = async |accept: &str| {
                send(&app.router, request("GET", &path, accept, token.as_deref())).await
            };
            let (page, lines, table) = (of("*/*").await, of(NDJSON).await, of(CSV).await);
            assert_eq!(page.status, lines.status, "{caller}: {path}");
            assert_eq!(page.status, table.status, "{caller}: {path}");
            if page.status != 200 {
                assert_eq!(lines.header("content-type"), "application/problem+json");
                continue;
            }
            let path = format!("{path}?page_size=100");
            let page = send(&app.router, request("GET", &path, "*/*", token.as_deref())).await;
            let page: Value = serde_json::from_str(&page.text).unwrap();
            assert_eq!(json!(lines.rows()), page["data"], "{caller}: {path}");
            assert_eq!(table.table().1.len(), lines.rows().len(), "{caller}: {path}");
            if caller == "stranger" && list.filters.iter().any(|filter| filter.name == "user_id") {
                assert!(lines.rows().is_empty() && !rows.is_empty(), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_that_is_asked_for_becomes_sql_and_what_is_wrong_is_a_problem() {
    let app = filled().await;
    for list in lists() {
        let path = list.real_path(&app).await;
        let rows = whole(&app, &path).await.len();
        let attack = "x' OR '1'='1'; DROP TABLE users_g1.users CASCADE --";
        let attacked = list.filters.iter().map(|filter| (filter.with(attack), false));
        let encoded: String = form_urlencoded::byte_serialize(attack.as_bytes()).collect();
        let sort = (format!("sort={encoded}"), true);
        let twice = (format!("sort={0}&sort={0}", list.sorts[0]), true);
        let unknown = ("no_such_parameter=1".to_owned(), true);
        for (query, is_refused) in attacked.chain([sort, twice, unknown]) {
            let exported = export(&app, &format!("{path}?{query}"), NDJSON).await;
            match exported.status.as_u16() {
                200 => assert!(!is_refused && exported.rows().is_empty(), "{path}?{query}"),
                422 => assert_eq!(exported.header("content-type"), "application/problem+json"),
                status => panic!("{status}: {path}?{query}"),
            }
        }
        assert_eq!(export(&app, &path, NDJSON).await.rows().len(), rows, "{path}");
        for parameter in ["page=1", "page_size=5", "cursor=x"] {
            let refused = export(&app, &format!("{path}?{parameter}"), CSV).await;
            let problem: Value = serde_json::from_str(&refused.text).unwrap();
            let (name, _) = parameter.split_once('=').unwrap();
            assert_eq!(
                (refused.status.as_u16(), &problem["errors"][0]["pointer"]),
                (422, &json!(format!("/{name}"))),
                "{path}?{parameter}"
            );
            assert_eq!(problem["errors"][0]["code"], "contradicts-format");
        }
    }
}

#[tokio::test]
async fn an_export_names_its_position_has_a_tag_and_waits_for_a_token() {
    let app = App::start().await;
    app.add_product(1).await;
    let path = "/api/v1/products";
    let exported = export(&app, path, CSV).await;
    assert_eq!(exported.header("data-position"), "100");
    assert_eq!(exported.header("data-epoch"), app.epoch.to_string());
    assert_eq!(exported.header("data-stale"), "");
    let tag = exported.header("etag").to_owned();
    assert_ne!(export(&app, path, NDJSON).await.header("etag"), tag);
    let headers = [("accept", CSV), ("if-none-match", tag.as_str())];
    assert_eq!(app.get_with(path, &headers).await.status, 304);
    let headers = [("accept", CSV), ("if-match", "\"other\"")];
    assert_eq!(app.get_with(path, &headers).await.status, 412);
    app.move_to("products", 101).await;
    let moved = export(&app, &format!("{path}?consistency_token={}", app.token(101)), CSV).await;
    assert_eq!((moved.status.as_u16(), moved.header("data-position")), (200, "101"));
    assert_ne!(moved.header("etag"), tag);
    let headers = [("accept", CSV), ("prefer", "wait=0")];
    let behind = format!("{path}?consistency_token={}", app.token(102));
    let behind = app.get_with(&behind, &headers).await;
    assert_eq!((behind.status.as_u16(), &behind.body["code"]), (503, &json!("not-yet-consistent")));
    let stale = "INSERT INTO read_model.stale (projection, generation, key, incomplete, absent, \
        since) VALUES ('products', 1, 'x', false, false, 7)";
    sqlx::query(stale).execute(&app.writer).await.unwrap();
    assert_eq!(export(&app, path, CSV).await.header("data-stale"), "true");
}

#[tokio::test]
async fn the_head_of_an_export_is_that_of_the_export_without_a_body() {
    let app = App::silent(1).await;
    app.add_product(1).await;
    for accept in [CSV, NDJSON] {
        let get = export(&app, "/api/v1/products", accept).await;
        let head = request("HEAD", "/api/v1/products", accept, None);
        let head = send(&app.router, head).await;
        assert_eq!((head.status, head.text.as_str()), (get.status, ""));
        for name in ["content-type", "etag", "data-position", "content-disposition", "vary"] {
            assert_eq!(head.header(name), get.header(name), "{name}");
        }
    }
}
