//! As of a moment, and event by event. That the past in the tables is what a replay makes is
//! tested next to the projections (`projector/tests/it/past.rs`).

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use chrono::{DateTime, SecondsFormat, Utc};
use local_servers::test_run;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::described::paths_as_of;
use crate::support::rows::fill;
use crate::support::tokens::{admin, with_role};
use crate::support::{Answer, App, UserSeed, moment, send_as};

/// The fields that change with every event, which histories leave out.
const ALWAYS: [&str; 2] = ["version", "updated_at"];

/// Gives an order a past: placed at position 9, confirmed at 20 and paid at 30, with ten seconds
/// between them.
async fn with_past(app: &App, order: Uuid) {
    for (number, (status, by)) in
        [("pending", Some("user:x")), ("confirmed", None), ("paid", Some("system:desk"))]
            .into_iter()
            .enumerate()
    {
        let number = i64::try_from(number).unwrap();
        sqlx::query(
            "INSERT INTO orders_g1.orders_history
             SELECT (jsonb_populate_record(o, jsonb_build_object('status', $2::text, 'position',
                 $3::bigint, 'version', $4::bigint))).*, md5($3::text)::uuid, 'order.' || $2, $4,
                 $5::timestamptz, $6::text
             FROM orders_g1.orders AS o WHERE id = $1",
        )
        .bind(order)
        .bind(status)
        .bind(10 + number * 10)
        .bind(number + 1)
        .bind(moment(-100 + number * 10))
        .bind(by)
        .execute(&app.writer)
        .await
        .unwrap();
    }
}

async fn status_as_of(app: &App, order: Uuid, as_of: &str) -> (u16, Value) {
    let answer = app.get(&format!("/api/v1/orders/{order}?as_of={as_of}")).await;
    (answer.status.as_u16(), answer.body["data"]["status"].clone())
}

#[tokio::test]
async fn a_row_is_shown_as_of_a_position_and_a_time_and_not_before_it_was_there() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "delivered", 0).await;
    with_past(&app, order).await;
    for (as_of, status) in [
        ("0", None),
        ("9", None),
        ("10", Some("pending")),
        ("19", Some("pending")),
        ("20", Some("confirmed")),
        ("30", Some("paid")),
        ("100", Some("paid")),
        ("2025-12-31T23:58:19Z", None),
        ("2025-12-31T23:58:20Z", Some("pending")),
        ("2025-12-31T23:58:29.999999Z", Some("pending")),
        ("2025-12-31T23:58:30Z", Some("confirmed")),
        ("2026-01-01T00:58:30%2B01:00", Some("confirmed")),
        ("2026-01-01T00:00:00Z", Some("paid")),
    ] {
        let expected = status.map_or((404, Value::Null), |status| (200, json!(status)));
        assert_eq!(status_as_of(&app, order, as_of).await, expected, "{as_of}");
    }
    let now = app.get(&format!("/api/v1/orders/{order}")).await;
    assert_eq!(now.body["data"]["status"], "delivered");
    let past = app.get(&format!("/api/v1/orders/{order}?as_of=20")).await;
    // An erasure changes a past row and neither its version nor its position.
    let tag = past.header("etag").to_owned();
    assert!(tag.starts_with("W/"), "{tag}");
    let copy = [("if-none-match", tag.as_str())];
    let path = format!("/api/v1/orders/{order}?as_of=20");
    assert_eq!(app.get_with(&path, &copy).await.status, 304);
    sqlx::raw_sql("UPDATE orders_g1.orders_history SET discount_minor = 7 WHERE position = 20")
        .execute(&app.writer)
        .await
        .unwrap();
    assert_eq!(app.get_with(&path, &copy).await.status, 200);
    assert_eq!(past.body["meta"]["position"], 100, "the data behind it reach further");
}

#[tokio::test]
async fn a_moment_that_is_still_to_come_is_refused_by_its_name() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    for (path, is_as_of) in paths_as_of() {
        if !is_as_of {
            continue;
        }
        let path = path.replace("{id}", &user.to_string());
        for as_of in ["101", "9223372036854775807", "2026-01-01T00:00:00.000001Z"] {
            let answer = app.get(&format!("{path}?as_of={as_of}")).await;
            let error = &answer.body["errors"][0];
            assert_eq!(
                (answer.status.as_u16(), &error["pointer"], &error["code"]),
                (422, &json!("/as_of"), &json!("in-the-future")),
                "{path} {as_of} {answer:?}"
            );
        }
        for as_of in ["-1", "1.5", "yesterday", "2026-01-01", ""] {
            let answer = app.get(&format!("{path}?as_of={as_of}")).await;
            let error = &answer.body["errors"][0];
            assert_eq!((answer.status.as_u16(), &error["pointer"]), (422, &json!("/as_of")));
            assert!(error["detail"].as_str().unwrap().contains("a position of the log"));
        }
    }
}

#[tokio::test]
async fn where_no_past_is_kept_the_answer_says_so() {
    let app = App::silent(1).await;
    fill(&app, 20).await;
    let (mut with, mut without) = (0, 0);
    for (path, is_as_of) in paths_as_of() {
        if is_as_of {
            with += 1;
            continue;
        }
        without += 1;
        let id = app.get(path.split("/{id}").next().unwrap()).await.body["data"][0]["id"].clone();
        let path = path.replace("{id}", id.as_str().unwrap_or_default());
        let answer = app.get(&format!("{path}?as_of=1")).await;
        let error = &answer.body["errors"][0];
        assert_eq!(
            (answer.status.as_u16(), &error["pointer"], &error["code"]),
            (422, &json!("/as_of"), &json!("not-kept")),
            "{path} {answer:?}"
        );
        assert!(error["detail"].as_str().unwrap().contains("its past is not kept"), "{answer:?}");
    }
    assert!(with > 0 && without > 0);
}

/// All entries of a history, page by page.
async fn walked(app: &App, path: &str, sort: &str) -> Vec<Value> {
    let (mut entries, mut next) = (Vec::new(), format!("{path}?page_size=2&sort={sort}"));
    loop {
        let answer = app.get(&next).await;
        assert_eq!(answer.status, 200, "{next} {answer:?}");
        entries.extend(answer.body["data"].as_array().unwrap().iter().cloned());
        match answer.body["meta"]["page"]["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}?page_size=2&sort={sort}&cursor={cursor}"),
            None => return entries,
        }
    }
}

fn is_row(path: &str) -> bool {
    path.ends_with("/{id}")
}

#[tokio::test]
async fn the_changes_of_every_history_lead_to_the_row_as_of_each_of_its_events() {
    let app = App::silent(1).await;
    fill(&app, 60).await;
    let (without_always, mut checked) = (
        |fields: &Map<String, Value>| {
            let mut fields = fields.clone();
            fields.retain(|name, _| !ALWAYS.contains(&name.as_str()));
            fields
        },
        0,
    );
    // What can be asked as of a moment has a history.
    let rows = paths_as_of().into_iter().filter(|(path, is_as_of)| *is_as_of && is_row(path));
    for (path, _) in rows {
        let parent = path.trim_end_matches("/{id}");
        for id in app.get(&format!("{parent}?page_size=100")).await.ids().into_iter().take(8) {
            let row = format!("{parent}/{id}");
            let entries = walked(&app, &format!("{row}/history"), "position").await;
            let mut reversed = walked(&app, &format!("{row}/history"), "-position").await;
            reversed.reverse();
            assert_eq!(entries, reversed, "{row}");
            let mut fields = Map::new();
            for entry in entries {
                fields.extend(entry["changes"].as_object().unwrap().clone());
                let then = app.get(&format!("{row}?as_of={}", entry["position"])).await;
                assert_eq!(then.status, 200, "{then:?}");
                let then = then.body["data"].as_object().unwrap();
                assert_eq!(without_always(&fields), without_always(then), "{row} {entry}");
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked} events");
}

async fn history(app: &App, token: &str, order: Uuid) -> Answer {
    let request = Request::get(format!("/api/v1/orders/{order}/history"));
    send_as(&app.router, Some(token), request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_history_names_each_event_and_who_acted_only_to_those_who_may_read_the_audit() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "paid", 0).await;
    with_past(&app, order).await;
    let shown = history(&app, &admin(), order).await;
    let entries = shown.body["data"].as_array().unwrap();
    let found: Vec<_> = entries
        .iter()
        .map(|entry| json!([entry["position"], entry["event_type"], entry["version"], entry["by"]]))
        .collect();
    let expected = [
        json!([10, "order.pending", 1, "user:x"]),
        json!([20, "order.confirmed", 2, null]),
        json!([30, "order.paid", 3, "system:desk"]),
    ];
    assert_eq!(found, expected);
    assert_eq!(entries[1]["recorded_at"], json!(moment(-90)));
    assert_eq!(entries[1]["changes"], json!({"status": "confirmed"}));
    assert_eq!(entries[0]["changes"]["total"], "29.34", "the first event has all fields");
    for token in [with_role(user, "user"), with_role(Uuid::from_u128(9), "support")] {
        let shown = history(&app, &token, order).await;
        let entries = shown.body["data"].as_array().unwrap();
        assert_eq!(entries.len(), 3);
        assert!(entries.iter().all(|entry| entry["by"].is_null()), "{entries:?}");
    }
}

#[tokio::test]
async fn nobody_sees_the_past_of_what_is_not_theirs() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "paid", 0).await;
    with_past(&app, order).await;
    let stranger = with_role(Uuid::from_u128(1), "user");
    for path in
        [format!("/api/v1/orders/{order}?as_of=20"), format!("/api/v1/users/{user}?as_of=20")]
    {
        let request = Request::get(&path).body(Body::empty()).unwrap();
        assert_eq!(send_as(&app.router, Some(&stranger), request).await.status, 404, "{path}");
    }
    assert_eq!(history(&app, &stranger, order).await.status, 404);
    let own = Request::get(format!("/api/v1/orders/{order}?as_of=20")).body(Body::empty()).unwrap();
    assert_eq!(send_as(&app.router, Some(&with_role(user, "user")), own).await.status, 200);
}

#[tokio::test]
async fn days_of_sales_are_listed_as_of_a_moment_with_their_filters_and_pages() {
    let app = App::start().await;
    for (day, currency) in
        [("2025-11-01", "EUR"), ("2025-11-01", "USD"), ("2025-11-02", "USD"), ("2025-11-03", "USD")]
    {
        app.add_day(day, currency, 9_900).await;
    }
    sqlx::raw_sql(
        "INSERT INTO daily_sales_g1.daily_sales_history
         SELECT day, currency, 1, 2, at.revenue, 0, 0, 0, '{}', at.position,
             md5(at.position::text)::uuid, 'order.confirmed', 1,
             timestamptz '2025-12-01 00:00:00Z' + at.position * interval '1 hour', NULL
         FROM daily_sales_g1.daily_sales CROSS JOIN (VALUES (10, 100), (20, 250)) AS at (position,
             revenue)
         WHERE day < '2025-11-03';
         UPDATE daily_sales_g1.daily_sales_history SET position = 15
         WHERE position = 20 AND day = '2025-11-02'",
    )
    .execute(&app.writer)
    .await
    .unwrap();
    let days = async |query: &str| {
        let answer = app.get(&format!("/api/v1/sales/daily?{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let rows = answer.body["data"].as_array().unwrap().iter();
        let days: Vec<String> = rows
            .map(|row| {
                format!(
                    "{} {} {}",
                    &row["day"].as_str().unwrap()[8..],
                    row["currency"].as_str().unwrap(),
                    row["revenue"].as_str().unwrap()
                )
            })
            .collect();
        (days.join(", "), answer.body["meta"]["page"].clone())
    };
    assert_eq!(days("as_of=9").await.0, "");
    assert_eq!(days("as_of=14&sort=day").await.0, "01 EUR 1.00, 01 USD 1.00, 02 USD 1.00");
    assert_eq!(days("as_of=15").await.0, "02 USD 2.50, 01 USD 1.00, 01 EUR 1.00");
    assert_eq!(days("as_of=20&currency=EUR").await.0, "01 EUR 2.50");
    assert_eq!(days("as_of=20&from=2025-11-02").await.0, "02 USD 2.50");
    assert_eq!(
        days("as_of=2025-12-01T19:59:59Z&to=2025-11-01").await.0,
        "01 USD 1.00, 01 EUR 1.00"
    );
    assert_eq!(
        days("as_of=2025-12-01T20:00:00Z&to=2025-11-01").await.0,
        "01 USD 2.50, 01 EUR 2.50"
    );
    let (first, page) = days("as_of=15&page=1&page_size=2").await;
    assert_eq!((first.as_str(), &page["total_items"]), ("02 USD 2.50, 01 USD 1.00", &json!(3)));
    let (_, page) = days("as_of=15&page_size=2").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    assert_eq!(days(&format!("as_of=15&page_size=2&cursor={cursor}")).await.0, "01 EUR 1.00");
    let other = app.get(&format!("/api/v1/sales/daily?as_of=20&page_size=2&cursor={cursor}")).await;
    assert_eq!(other.status, 400, "a cursor belongs to its moment");
}

/// The maximum time of 99 in 100 answers.
const P99: Duration = Duration::from_millis(200);

/// Gives a row, of which there is one, a past of this many events: one in ten changes it, the
/// others a row of their own for each five.
async fn long_past(app: &App, projection: &'static str, events: i64) {
    app.move_to(projection, events).await;
    let statement = format!(
        "INSERT INTO {projection}_g1.{projection}_history
         SELECT (jsonb_populate_record(o, jsonb_build_object('position', n, 'id',
             CASE n % 10 WHEN 0 THEN o.id ELSE md5((n / 5)::text)::uuid END))).*,
             md5(n::text)::uuid, 'something.happened', 1,
             timestamptz '2025-01-01 00:00:00Z' + n * interval '1 second', NULL
         FROM {projection}_g1.{projection} AS o CROSS JOIN generate_series(1, $1) AS n"
    );
    sqlx::query(AssertSqlSafe(statement)).bind(events).execute(&app.writer).await.unwrap();
}

/// With `--long`, the log has a million events.
#[tokio::test]
async fn however_long_the_log_99_in_100_answers_as_of_a_moment_come_soon() {
    let run = test_run();
    let events = i64::try_from(run.count(20_000, 1_000_000)).unwrap();
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "paid", 0).await;
    let product = app.add_product(0).await;
    for projection in ["users", "orders", "products"] {
        long_past(&app, projection, events).await;
    }
    app.add_day("2025-01-01", "USD", 100).await;
    app.move_to("daily_sales", events).await;
    sqlx::query(
        "INSERT INTO daily_sales_g1.daily_sales_history
         SELECT day, currency, n, n, n, n, 0, 0, '{}', n, md5(n::text)::uuid, 'order.paid', 1,
             timestamptz '2025-01-01 00:00:00Z' + n * interval '1 second', NULL
         FROM daily_sales_g1.daily_sales CROSS JOIN generate_series(1, $1) AS n",
    )
    .bind(events)
    .execute(&app.writer)
    .await
    .unwrap();
    sqlx::raw_sql("ANALYZE").execute(&app.writer).await.unwrap();
    let mut random = StdRng::seed_from_u64(run.seed);
    for path in [
        format!("/api/v1/users/{user}"),
        format!("/api/v1/orders/{order}"),
        format!("/api/v1/products/{product}"),
        "/api/v1/sales/daily".to_owned(),
    ] {
        let mut times = Vec::new();
        for number in 0..300 {
            let position = random.random_range(10..=events);
            let at = "2025-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap()
                + chrono::Duration::seconds(position);
            let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
            let as_of = if number % 2 == 0 { position.to_string() } else { at };
            let started = Instant::now();
            let answer = app.get(&format!("{path}?as_of={as_of}")).await;
            times.push(started.elapsed());
            assert_eq!(answer.status, 200, "{path} {as_of} {answer:?}");
        }
        times.sort();
        let p99 = times[times.len() * 99 / 100];
        assert!(p99 <= P99, "{path}: {p99:?} at {events} events");
    }
}
