//! The limits of exports: one snapshot for all rows, places, time, and readers that are slow or
//! gone.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use http_body_util::BodyExt as _;
use local_servers::until;
use serde_json::Value;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::{CSV, NDJSON, request, send};
use crate::support::{App, exporting, sharing_exports, tokens};

/// Enough for many pieces: what is not read yet holds the export up.
const ROWS: i64 = 5_000;
/// The longest that an export may take in tests that are not about that.
const LONG: Duration = Duration::from_mins(2);
const PATH: &str = "/api/v1/products?sort=name";

async fn filled() -> App {
    let app = App::silent(1).await;
    let fill = "INSERT INTO products_g1.products (id, name, currency, unit_price_minor, \
            rate_class, stock, reserved, created_at, updated_at, version, position)
        SELECT md5(n::text)::uuid, repeat('product ', 40) || n % 7, 'USD', 1, 'standard', 1, 0,
            now(), now(), 1, n
        FROM generate_series(1, $1) n";
    sqlx::query(fill).bind(ROWS).execute(&app.writer).await.unwrap();
    app
}

/// Begins an export and reads none of it.
async fn begun(router: &Router, accept: &str) -> Response<Body> {
    let request = request("GET", PATH, accept, None);
    router.clone().oneshot(request).await.unwrap()
}

/// Begins an export as soon as there is a place.
async fn placed(router: &Router) -> Response<Body> {
    let mut placed = None;
    until("a place", async || {
        let response = begun(router, NDJSON).await;
        placed = (response.status() == 200).then_some(response);
        placed.is_some()
    })
    .await;
    placed.unwrap()
}

/// The number of connections that hold a snapshot between two statements.
async fn snapshots(app: &App) -> i64 {
    let held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'query-api' AND state = 'idle in transaction'";
    sqlx::query_scalar(held).fetch_one(&app.writer).await.unwrap()
}

async fn until_snapshots(app: &App, number: i64) {
    let what = format!("{number} snapshots");
    until(&what, async || snapshots(app).await == number).await;
}

/// The number of lines until the end of the body, and whether it ended well.
async fn lines(response: Response<Body>) -> (usize, bool) {
    let (mut body, mut lines) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (lines, false) };
        let data = frame.into_data().unwrap_or_default();
        lines += data.iter().map(|byte| usize::from(*byte == b'\n')).sum::<usize>();
    }
    (lines, true)
}

#[tokio::test]
async fn all_rows_are_of_one_snapshot_however_long_it_is_read() {
    let app = filled().await;
    let router = exporting(&app, 1, LONG);
    let response = begun(&router, NDJSON).await;
    until_snapshots(&app, 1).await;
    sqlx::raw_sql("DELETE FROM products_g1.products").execute(&app.writer).await.unwrap();
    app.move_to("products", 200).await;
    assert_eq!(response.headers()["data-position"], "100");
    let rows = usize::try_from(ROWS).unwrap();
    assert_eq!(lines(response).await, (rows, true));
    let after = begun(&router, NDJSON).await;
    assert_eq!(after.headers()["data-position"], "200");
    assert_eq!(lines(after).await, (0, true));
}

#[tokio::test]
async fn exports_have_so_many_places_and_take_none_of_the_lists() {
    let app = filled().await;
    let router = exporting(&app, 2, LONG);
    let (first, second) = (begun(&router, NDJSON).await, begun(&router, CSV).await);
    until_snapshots(&app, 2).await;
    for accept in [CSV, NDJSON] {
        let refused = send(&router, request("GET", PATH, accept, None)).await;
        let problem: Value = serde_json::from_str(&refused.text).unwrap();
        assert_eq!(refused.status, 503);
        assert_eq!(
            (&problem["code"], refused.header("retry-after")),
            (&"too-many-exports".into(), "10")
        );
    }
    let list = send(&router, request("GET", PATH, "*/*", None)).await;
    assert_eq!(list.status, 200, "lists have connections of their own");
    let rows = usize::try_from(ROWS).unwrap();
    assert_eq!(lines(first).await, (rows, true));
    // The first one's place is free when its transaction has ended.
    let again = placed(&router).await;
    assert_eq!(lines(again).await, (rows, true));
    assert_eq!(lines(second).await, (rows + 1, true), "with the header row");
}

#[tokio::test]
async fn a_client_has_its_share_of_the_places_and_leaves_the_others_theirs() {
    let app = filled().await;
    let router = sharing_exports(&app, (2, 1), LONG);
    let begin = async |token: Option<&str>| {
        router.clone().oneshot(request("GET", PATH, NDJSON, token)).await.unwrap()
    };
    let (admin, other) = (tokens::admin(), tokens::with_role(Uuid::from_u128(7), "user"));
    let first = begin(Some(&admin)).await;
    until_snapshots(&app, 1).await;
    let refused = send(&router, request("GET", PATH, CSV, Some(&admin))).await;
    let problem: Value = serde_json::from_str(&refused.text).unwrap();
    assert_eq!(refused.status, 429);
    assert_eq!(
        (&problem["code"], refused.header("retry-after")),
        (&"too-many-exports-of-client".into(), "10")
    );
    let second = begin(Some(&other)).await;
    assert_eq!(second.status(), 200, "the other one has a share of its own");
    let full = begin(None).await;
    assert_eq!(full.status(), 503, "all places are taken");
    let rows = usize::try_from(ROWS).unwrap();
    assert_eq!((lines(first).await, lines(second).await), ((rows, true), (rows, true)));
    until("the place of the first one", async || begin(Some(&admin)).await.status() == 200).await;
}

#[tokio::test]
async fn who_hangs_up_frees_the_connection_and_the_place() {
    let app = filled().await;
    let router = exporting(&app, 1, LONG);
    for reads in [0, 3] {
        let mut body = begun(&router, NDJSON).await.into_body();
        for _ in 0..reads {
            body.frame().await.unwrap().unwrap();
        }
        until_snapshots(&app, 1).await;
        drop(body);
        until_snapshots(&app, 0).await;
        let again = placed(&router).await;
        drop(again);
        until_snapshots(&app, 0).await;
    }
    until("a place", async || {
        let head = send(&router, request("HEAD", PATH, NDJSON, None)).await;
        head.status == 200
    })
    .await;
    until_snapshots(&app, 0).await;
}

#[tokio::test]
async fn an_export_that_takes_too_long_is_cut_off_and_its_reader_can_tell() {
    let app = filled().await;
    let limit = Duration::from_secs(1);
    let router = exporting(&app, 1, limit);
    let response = begun(&router, NDJSON).await;
    assert_eq!(response.status(), 200);
    until_snapshots(&app, 1).await;
    until_snapshots(&app, 0).await;
    let (lines, is_whole) = lines(response).await;
    assert!(!is_whole && lines > 0 && lines < usize::try_from(ROWS).unwrap(), "{lines}");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_for_ten_seconds_is_cut_off() {
    let app = filled().await;
    let router = exporting(&app, 1, LONG);
    let response = begun(&router, CSV).await;
    until_snapshots(&app, 1).await;
    until_snapshots(&app, 0).await;
    assert!(!lines(response).await.1);
}

#[tokio::test]
async fn an_export_whose_connection_breaks_is_cut_off_and_the_next_one_is_whole() {
    let app = filled().await;
    let router = exporting(&app, 1, LONG);
    let response = begun(&router, NDJSON).await;
    until_snapshots(&app, 1).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle in transaction'";
    sqlx::raw_sql(end).execute(&app.writer).await.unwrap();
    let (read, is_whole) = lines(response).await;
    assert!(!is_whole && read < usize::try_from(ROWS).unwrap(), "{read}");
    let again = placed(&router).await;
    assert_eq!(lines(again).await, (usize::try_from(ROWS).unwrap(), true));
}

#[tokio::test]
async fn a_table_that_is_locked_is_a_problem_and_no_empty_export() {
    let app = filled().await;
    let router = exporting(&app, 1, LONG);
    let mut locking = app.writer.begin().await.unwrap();
    let lock = "LOCK TABLE read_model.products IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut *locking).await.unwrap();
    let refused = send(&router, request("GET", PATH, CSV, None)).await;
    let problem: Value = serde_json::from_str(&refused.text).unwrap();
    assert_eq!((refused.status.as_u16(), &problem["code"]), (503, &"query-too-slow".into()));
    locking.rollback().await.unwrap();
    assert_eq!(send(&router, request("GET", PATH, CSV, None)).await.status, 200);
}
