//! Tests that every link and cursor in an answer (next, prev, first, last, cursor) leads to a page
//! of the same list.

use std::collections::BTreeSet;

use local_servers::test_run;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use crate::support::described::lists;
use crate::support::rows::fill;
use crate::support::{Answer, App, UserSeed};

/// The rows, each as a text: no two rows of a list are alike.
fn keys(answer: &Answer) -> Vec<String> {
    answer.body["data"].as_array().unwrap().iter().map(Value::to_string).collect()
}

/// The relation and target of each link.
fn links(answer: &Answer) -> Vec<(String, String)> {
    let partitions = answer.header("link").split(", ").filter(|partition| !partition.is_empty());
    let link = |partition: &str| {
        let (target, relation) = partition.split_once("; ").unwrap();
        let relation = relation.trim_start_matches("rel=").trim_matches('"');
        (relation.to_owned(), target.trim_start_matches('<').trim_end_matches('>').to_owned())
    };
    partitions.map(link).collect()
}

/// Every list of the API, in each sort and with each filter.
async fn lists_of(app: &App) -> Vec<String> {
    let mut paths = Vec::new();
    for list in lists() {
        let path = list.real_path(app).await;
        let answer = app.get(&format!("{path}?page_size=100")).await;
        let rows = answer.body["data"].as_array().unwrap();
        let filters = list.filters.iter().map(|filter| filter.with(&list.value_for(filter, rows)));
        for filter in std::iter::once(String::new()).chain(filters) {
            paths.push(format!("{path}?{filter}"));
            paths.extend(list.sorts.iter().map(|sort| format!("{path}?{filter}&sort={sort}")));
            // A name may be encoded, too.
            paths.push(format!("{path}?{filter}&%73ort={}", list.sorts[0]));
        }
    }
    paths
}

/// Checks one page of the list against the whole list, and returns the targets of its links.
fn check(partition: &Answer, whole: &[String], size: usize, path: &str) -> Vec<String> {
    assert_eq!(partition.status, 200, "{path} {partition:?}");
    let (page, rows) = (&partition.body["meta"]["page"], keys(partition));
    let number = page["page"].as_u64().map(|number| usize::try_from(number).unwrap());
    let begin = match (number, rows.first()) {
        (Some(number), _) => ((number - 1) * size).min(whole.len()),
        (None, Some(first)) => whole
            .iter()
            .position(|row| row == first)
            .unwrap_or_else(|| panic!("{path}: another list")),
        (None, None) => whole.len(),
    };
    let end = (begin + size).min(whole.len());
    assert_eq!(rows, whole[begin..end], "{path}");
    let has_more = end < whole.len();
    assert_eq!(
        (&page["has_more"], page["next_cursor"].is_string()),
        (&Value::from(has_more), has_more),
        "{path}"
    );
    let links = links(partition);
    let relations: BTreeSet<&str> = links.iter().map(|(relation, _)| relation.as_str()).collect();
    let mut wanted = BTreeSet::new();
    if let Some(number) = number {
        wanted.insert("first");
        wanted.extend((number > 1).then_some("prev"));
        wanted.extend((!whole.is_empty()).then_some("last"));
    }
    wanted.extend(has_more.then_some("next"));
    assert_eq!(relations, wanted, "{path}");
    let mut targets: Vec<String> = links.into_iter().map(|(_, target)| target).collect();
    let bare = path
        .split('&')
        .filter(|pair| !pair.starts_with("page=") && !pair.starts_with("cursor="))
        .collect::<Vec<_>>();
    targets.extend(
        page["next_cursor"].as_str().map(|cursor| format!("{}&cursor={cursor}", bare.join("&"))),
    );
    targets
}

#[tokio::test]
async fn every_link_and_cursor_leads_to_a_part_of_the_same_list() {
    let run = test_run();
    for round in 0..run.count(2, 40) {
        let mut random = StdRng::seed_from_u64(run.seed.wrapping_add(round));
        let app = App::silent(1).await;
        fill(&app, random.random_range(4..15)).await;
        for list in lists_of(&app).await {
            let whole = keys(&app.get(&format!("{list}&page_size=100")).await);
            let size = random.random_range(1..7_usize);
            let past = whole.len().div_ceil(size) + random.random_range(1..4);
            let mut open: Vec<String> = vec![format!("{list}&page_size={size}")];
            open.extend([1, past].map(|page| format!("{list}&page_size={size}&page={page}")));
            let mut seen = BTreeSet::new();
            while let Some(path) = open.pop() {
                if seen.insert(path.clone()) {
                    open.extend(check(&app.get(&path).await, &whole, size, &path));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_last_page_that_is_exactly_full_has_no_more() {
    let app = App::start().await;
    for number in 0..6 {
        app.add_user(&UserSeed::number(number)).await;
    }
    for path in [
        "/api/v1/users?page_size=6",
        "/api/v1/users?page_size=6&page=1",
        "/api/v1/users?page_size=3&page=2",
    ] {
        let answer = app.get(path).await;
        let page = &answer.body["meta"]["page"];
        assert_eq!(
            (&page["has_more"], &page["next_cursor"]),
            (&false.into(), &Value::Null),
            "{path}"
        );
        assert!(!answer.header("link").contains("next"), "{path}");
    }
}

#[tokio::test]
async fn a_cursor_belongs_to_its_path_although_filter_and_sort_are_the_same() {
    let app = App::start().await;
    let (one, other) =
        (app.add_user(&UserSeed::number(1)).await, app.add_user(&UserSeed::number(2)).await);
    for number in 0..4 {
        app.add_order(one, "pending", number).await;
        app.add_order(other, "pending", number).await;
    }
    let first = app.get(&format!("/api/v1/users/{one}/orders?page_size=1")).await;
    let cursor = first.body["meta"]["page"]["next_cursor"].as_str().unwrap();
    assert_eq!(
        app.get(&format!("/api/v1/users/{one}/orders?page_size=1&cursor={cursor}")).await.status,
        200
    );
    let answer =
        app.get(&format!("/api/v1/users/{other}/orders?page_size=1&cursor={cursor}")).await;
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &"cursor-invalid".into()));
}

#[tokio::test]
async fn where_numbered_pages_end_the_next_link_goes_on_by_cursor() {
    const ROWS: usize = 100_150;
    let app = App::start().await;
    let fill = "INSERT INTO products_g1.products (id, name, currency, unit_price_minor, \
            rate_class, stock, reserved, created_at, updated_at, version, position)
        SELECT md5(n::text)::uuid, 'product', 'USD', 1, 'standard', 1, 0, now(), now(), 1, n
        FROM generate_series(1, 100150) n";
    sqlx::raw_sql(fill).execute(&app.writer).await.unwrap();
    let deep = app.get("/api/v1/products?page_size=100&page=1000").await;
    assert_eq!((keys(&deep).len(), &deep.body["meta"]["page"]["total_items"]), (100, &ROWS.into()));
    let targets = links(&deep);
    let relations: Vec<&str> = targets.iter().map(|(relation, _)| relation.as_str()).collect();
    assert_eq!(
        relations,
        ["first", "prev", "next"],
        "no number leads to a page after the last one"
    );
    let mut seen: BTreeSet<String> = keys(&deep).into_iter().collect();
    let mut next = targets.into_iter().find(|(relation, _)| relation == "next");
    while let Some((_, target)) = next {
        let answer = app.get(&target).await;
        assert_eq!(answer.status, 200, "{target}");
        for row in keys(&answer) {
            assert!(seen.insert(row), "a row came twice");
        }
        next = links(&answer).into_iter().find(|(relation, _)| relation == "next");
    }
    assert_eq!(seen.len(), 100 + ROWS - 100_000, "the rest of the list");
}
