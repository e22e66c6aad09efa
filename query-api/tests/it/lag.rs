//! How old an answer is: the time since its rows were last known to show every event.

use serde_json::{Value, json};

use crate::live::events::Events;
use crate::support::described::{lists, rows};
use crate::support::rows::fill;
use crate::support::{App, UserSeed, send};

/// A long time in which no test runs, in seconds.
const LONG: f64 = 100.0;

impl App {
    /// Says how long ago the rows of a projection were complete, as the projector would. `None`:
    /// nobody knows.
    pub(crate) async fn was_complete(&self, projection: &str, seconds_ago: Option<f64>) {
        sqlx::query(
            "UPDATE read_model.checkpoints SET complete_until = now() - make_interval(secs => $2)
             WHERE projection = $1",
        )
        .bind(projection)
        .bind(seconds_ago)
        .execute(&self.writer)
        .await
        .unwrap();
    }
}

/// Whether this is an age of at least so many seconds, and not of twice as many.
fn is_about(seconds: f64, lag: &Value) -> bool {
    lag.as_f64().is_some_and(|lag| (seconds..2.0 * seconds).contains(&lag))
}

#[tokio::test]
async fn every_answer_says_how_old_it_is() {
    let app = App::silent(1).await;
    fill(&app, 3).await;
    sqlx::query("UPDATE read_model.checkpoints SET complete_until = now() - interval '100 s'")
        .execute(&app.writer)
        .await
        .unwrap();
    let mut paths = ["/api/v1", "/api/v2"].map(|api| format!("{api}/search?q=name")).to_vec();
    for list in lists() {
        paths.push(list.real_path(&app).await);
    }
    for path in rows() {
        let ids = app.get(path.trim_end_matches("/{id}")).await.ids();
        paths.push(path.replace("{id}", &ids[0]));
    }
    for path in paths {
        let answer = app.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        let lag = &answer.body["meta"]["lag_seconds"];
        assert!(is_about(LONG, lag), "{path}: {lag}");
    }
}

#[tokio::test]
async fn an_age_that_is_not_known_is_absent_and_one_of_the_future_is_none() {
    let app = App::silent(1).await;
    app.was_complete("users", None).await;
    let answer = app.get("/api/v1/users").await;
    assert!(answer.body["meta"].get("lag_seconds").is_none(), "{:#}", answer.body);
    // The clock of the log's database is ahead.
    app.was_complete("users", Some(-LONG)).await;
    assert_eq!(app.get("/api/v1/users").await.body["meta"]["lag_seconds"], json!(0.0));
}

#[tokio::test]
async fn a_row_is_as_old_as_its_partition_and_a_list_as_the_oldest() {
    let app = App::silent(1).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    app.was_complete("users", Some(LONG)).await;
    app.split("users", 2).await;
    let of_user = service_kit::partition::partition_of(&user.to_string(), 2);
    sqlx::query(
        "UPDATE read_model.checkpoints SET complete_until = now() - interval '1000 s'
         WHERE projection = 'users' AND partition <> $1",
    )
    .bind(of_user)
    .execute(&app.writer)
    .await
    .unwrap();
    app.was_complete_in("users", of_user, LONG).await;
    let lag = async |path: &str| app.get(path).await.body["meta"]["lag_seconds"].clone();
    let row = lag(&format!("/api/v1/users/{user}")).await;
    assert!(is_about(LONG, &row), "{row}");
    let list = lag("/api/v1/users").await;
    assert!(is_about(1_000.0, &list), "{list}");
}

impl App {
    /// The same for one partition.
    async fn was_complete_in(&self, projection: &str, partition: i32, seconds_ago: f64) {
        sqlx::query(
            "UPDATE read_model.checkpoints SET complete_until = now() - make_interval(secs => $3)
             WHERE projection = $1 AND partition = $2",
        )
        .bind(projection)
        .bind(partition)
        .bind(seconds_ago)
        .execute(&self.writer)
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn an_export_says_it_in_a_header_and_a_graphql_answer_in_its_extensions() {
    let app = App::silent(2).await;
    for (projection, seconds) in [("users", LONG), ("products", 1_000.0)] {
        app.was_complete(projection, Some(seconds)).await;
    }
    let export = app.get("/api/v1/users?format=ndjson").await;
    let lag: f64 = export.header("data-lag-seconds").parse().unwrap();
    assert!(is_about(LONG, &json!(lag)), "{lag}");

    let ask = async |query: &str| {
        let request = axum::http::Request::post("/graphql")
            .header("content-type", "application/json")
            .body(json!({"query": query}).to_string().into())
            .unwrap();
        send(&app.router, request).await.body["extensions"]["meta"].clone()
    };
    let users = ask("{ users(first: 1) { nodes { id } } }").await;
    assert!(is_about(LONG, &users["lagSeconds"]), "{users}");
    let both =
        ask("{ users(first: 1) { nodes { id } } products(first: 1) { nodes { id } } }").await;
    assert!(is_about(1_000.0, &both["lagSeconds"]), "{both}");
    app.was_complete("users", None).await;
    let unknown =
        ask("{ users(first: 1) { nodes { id } } products(first: 1) { nodes { id } } }").await;
    assert!(unknown.get("lagSeconds").is_none() && unknown["position"].is_i64(), "{unknown}");
}

#[tokio::test]
async fn live_updates_say_it_with_each_event() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    for projection in ["users", "daily_sales"] {
        app.was_complete(projection, Some(LONG)).await;
    }
    let row = format!("/api/v1/users/{user}");
    for path in [row.as_str(), "/api/v1/users", "/api/v1/sales/daily"] {
        let mut events = Events::of(&app, path).await;
        for event in events.until("complete").await {
            let lag = &event.data["meta"]["lag_seconds"];
            assert!(is_about(LONG, lag), "{path}: {event:?}");
        }
    }
    let mut events = Events::of(&app, "/api/v1/users").await;
    events.until("complete").await;
    app.change("users", user, ("order_count = 9", 101), 101).await;
    let changed = events.until("changed").await.pop().unwrap();
    assert!(is_about(LONG, &changed.data["meta"]["lag_seconds"]), "{changed:?}");
}
