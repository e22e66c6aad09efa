//! Tests of walking through lists while rows arrive, and of page numbers. `lists.rs` walks through
//! every list.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::{Answer, App, UserSeed};

const ROWS: i64 = 23;

/// Follows `next_cursor` to the end, and runs `between` after each page.
async fn walk(app: &App, path: &str, between: impl AsyncFn(usize)) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut next = path.to_owned();
    for partition in 0.. {
        assert!(partition < 100, "the walk does not end");
        let answer = app.get(&next).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        rows.extend(answer.body["data"].as_array().unwrap().iter().cloned());
        between(partition).await;
        let page = &answer.body["meta"]["page"];
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert_eq!((&page["has_more"], answer.header("link")), (&false.into(), ""));
            return rows;
        };
        assert_eq!(page["has_more"], true);
        next = format!("{path}&cursor={cursor}");
        assert_eq!(answer.header("link"), format!("<{next}>; rel=\"next\""));
    }
    unreachable!()
}

#[tokio::test]
async fn rows_that_arrive_during_a_walk_neither_hide_nor_repeat_others() {
    let app = App::start().await;
    let mut first = HashSet::new();
    for number in 0..ROWS {
        first.insert(app.add_user(&UserSeed::number(number)).await.to_string());
    }
    let rows = walk(&app, "/api/v1/users?page_size=4&sort=-created_at", async |partition| {
        // Newer rows arrive ahead of the walk, older ones (and ties) behind it.
        app.add_user(&UserSeed::number(1000 + i64::try_from(partition).unwrap())).await;
        app.add_user(&UserSeed::number(0)).await;
    })
    .await;
    let seen: Vec<String> = rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len(), "a row came twice");
    assert!(first.iter().all(|id| seen.contains(id)), "a row was hidden");
}

#[tokio::test]
async fn days_are_walked_with_the_currency_as_tie_breaker() {
    let app = App::start().await;
    for day in ["2026-01-01", "2026-01-02", "2026-01-03"] {
        for currency in ["EUR", "JPY", "USD"] {
            app.add_day(day, currency, 100).await;
        }
    }
    let rows = walk(&app, "/api/v1/sales/daily?page_size=2&sort=day", async |_| {}).await;
    let keys: Vec<_> =
        rows.iter().map(|row| format!("{} {}", row["day"], row["currency"])).collect();
    let mut sorted = keys.clone();
    sorted.sort();
    assert_eq!(keys, sorted);
    assert_eq!(keys.len(), 9);
    assert_eq!(
        walk(&app, "/api/v1/sales/daily?page_size=2", async |_| {}).await[0]["day"],
        "2026-01-03"
    );
}

#[tokio::test]
async fn numbered_pages_count_everything_and_link_their_neighbours() {
    let app = App::start().await;
    for number in 0..ROWS {
        app.add_user(&UserSeed::number(number)).await;
    }
    let page =
        async |number: u32| app.get(&format!("/api/v1/users?page_size=10&page={number}")).await;
    let answers: Vec<Answer> = vec![page(1).await, page(2).await, page(3).await, page(4).await];
    let counts: Vec<usize> = answers.iter().map(|answer| answer.ids().len()).collect();
    assert_eq!(counts, [10, 10, 3, 0]);
    let second = &answers[1];
    let meta = &second.body["meta"]["page"];
    assert_eq!(
        (&meta["page"], &meta["total_items"], &meta["total_pages"]),
        (&2.into(), &ROWS.into(), &3.into())
    );
    let path = "/api/v1/users?page_size=10&page=";
    assert_eq!(
        second.header("link"),
        format!(
            "<{path}1>; rel=\"first\", <{path}1>; rel=\"prev\", <{path}3>; rel=\"next\", \
                <{path}3>; rel=\"last\""
        )
    );
    let ids: HashSet<_> = answers.iter().flat_map(Answer::ids).collect();
    assert_eq!(ids.len(), usize::try_from(ROWS).unwrap());
    // A numbered page also has the cursor for the next page.
    let cursor = meta["next_cursor"].as_str().unwrap();
    assert_eq!(
        app.get(&format!("/api/v1/users?page_size=10&cursor={cursor}")).await.ids(),
        answers[2].ids()
    );
}

#[tokio::test]
async fn a_page_holds_twenty_unless_another_size_is_asked_for() {
    let app = App::start().await;
    for number in 0..ROWS {
        app.add_product(number).await;
    }
    assert_eq!(app.get("/api/v1/products").await.ids().len(), 20);
    assert_eq!(app.get("/api/v1/products?page_size=100").await.ids().len(), 23);
    for (query, pointer) in [
        ("page_size=0", "/page_size"),
        ("page_size=101", "/page_size"),
        ("page_size=1000000000", "/page_size"),
        ("page=0", "/page"),
        ("page=99999999", "/page"),
        ("page=4294967295&page_size=100", "/page"),
        ("page=1&page=2", "/page"),
    ] {
        let answer = app.get(&format!("/api/v1/products?{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{query}");
    }
}

#[tokio::test]
async fn a_cursor_that_was_changed_or_belongs_to_another_list_is_refused() {
    let app = App::start().await;
    for number in 0..5 {
        app.add_user(&UserSeed::number(number)).await;
    }
    let first = app.get("/api/v1/users?page_size=2").await;
    let cursor = first.body["meta"]["page"]["next_cursor"].as_str().unwrap().to_owned();
    let mut changed = cursor.clone().into_bytes();
    changed[7] = if changed[7] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    for path in [
        format!("/api/v1/users?page_size=2&cursor={changed}"),
        "/api/v1/users?cursor=nonsense".to_owned(),
        "/api/v1/users?cursor=".to_owned(),
        format!("/api/v1/users?sort=created_at&cursor={cursor}"),
        format!("/api/v1/users?status=active&cursor={cursor}"),
        format!("/api/v1/products?cursor={cursor}"),
    ] {
        let answer = app.get(&path).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["code"]),
            (400, &"cursor-invalid".into()),
            "{path}"
        );
    }
    // The page size may change during a walk.
    assert_eq!(app.get(&format!("/api/v1/users?page_size=3&cursor={cursor}")).await.status, 200);
}
