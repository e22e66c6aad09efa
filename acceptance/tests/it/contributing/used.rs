//! Uses the resource that CONTRIBUTING adds: its three commands, its detail route, its list and its
//! live updates.

use std::collections::BTreeSet;

use acceptance::{Client, Endpoints};
use anyhow::{Context, Result, ensure};
use local_servers::http_get;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;

use super::live;

/// The discounts of the coupons, in percent.
const PERCENTS: [u8; 5] = [15, 5, 25, 15, 10];

/// Issues coupons, changes and withdraws one, and asks for them. Returns the id of one that was
/// only issued.
pub(super) async fn use_it(endpoints: &Endpoints) -> Result<String> {
    let client = endpoints.client()?;
    let refused = client
        .post("/api/v1/coupons", &json!({"percent": 101}))
        .await?
        .expect(StatusCode::UNPROCESSABLE_ENTITY)?;
    assert_eq!(refused.body["errors"][0]["pointer"], "/percent");
    let mut ids = Vec::new();
    for (percent, version) in PERCENTS.into_iter().zip(["v1", "v2"].into_iter().cycle()) {
        let path = format!("/api/{version}/coupons");
        let issued = client.post(&path, &json!({"percent": percent})).await?;
        ids.push(issued.expect(StatusCode::CREATED)?.id()?.to_owned());
    }
    let path = format!("/api/v1/coupons/{}", ids[0]);
    let change = Some(json!({"percent": 20}));
    let changed = client.command(Method::PATCH, &path, change.as_ref(), &[]).await?;
    changed.expect(StatusCode::OK)?;
    let withdraw = format!("{path}/withdraw");
    let withdrawn = client.command(Method::POST, &withdraw, None, &[]).await?;
    let withdrawn = withdrawn.expect(StatusCode::OK)?;
    let again = client.command(Method::POST, &withdraw, None, &[]).await?;
    assert_eq!(again.expect(StatusCode::CONFLICT)?.code(), Some("coupon/withdrawn"));

    let shown = client.get_after(&path, &withdrawn).await?.expect(StatusCode::OK)?;
    let expected = json!({"id": ids[0], "percent": 20, "is_withdrawn": true, "version": 3});
    assert_eq!(*shown.data(), expected);
    list(&client, &ids).await?;
    described(endpoints).await?;
    live::follow(endpoints, &ids[2]).await?;
    Ok(ids.swap_remove(1))
}

/// Changes a coupon that was issued by the first version of its event, and issues another one by
/// the second.
pub(super) async fn use_second_version(endpoints: &Endpoints, first: &str) -> Result<()> {
    let client = endpoints.client()?;
    let path = format!("/api/v1/coupons/{first}");
    let change = Some(json!({"percent": 50}));
    let changed = client.command(Method::PATCH, &path, change.as_ref(), &[]).await?;
    let changed = changed.expect(StatusCode::OK)?;
    let shown = client.get_after(&path, &changed).await?.expect(StatusCode::OK)?;
    assert_eq!((&shown.data()["percent"], &shown.data()["version"]), (&json!(50), &json!(2)));
    let issued = client.post("/api/v1/coupons", &json!({"percent": 50})).await?;
    let issued = issued.expect(StatusCode::CREATED)?;
    let both = client.get_after("/api/v1/coupons?percent=50", &issued).await?;
    let both = both.expect(StatusCode::OK)?;
    assert_eq!(both.data().as_array().map(Vec::len), Some(2), "{}", both.body);

    let database = PgPool::connect(&endpoints.postgres).await?;
    let versions = "SELECT schema_version::int8, count(*) FROM event_store.events
        WHERE event_type = 'coupon.issued' GROUP BY 1 ORDER BY 1";
    let versions: Vec<(i64, i64)> = sqlx::query_as(versions).fetch_all(&database).await?;
    assert_eq!(versions, [(1, i64::try_from(PERCENTS.len())?), (2, 1)]);
    database.close().await;
    Ok(())
}

/// Filters the list, walks it by cursor in both directions, and asks what no row can have.
async fn list(client: &Client, ids: &[String]) -> Result<()> {
    let filtered = client.get("/api/v1/coupons?percent=15").await?.expect(StatusCode::OK)?;
    let found: Vec<&Value> = filtered.data().as_array().into_iter().flatten().collect();
    assert_eq!(found, [&json!({"id": ids[3], "percent": 15, "is_withdrawn": false, "version": 1})]);
    let refused = client.get("/api/v1/coupons?percent=0").await?;
    assert_eq!(refused.expect(StatusCode::UNPROCESSABLE_ENTITY)?.code(), Some("invalid-content"));
    for (sort, expected) in [("percent", [5, 10, 15, 20, 25]), ("-percent", [25, 20, 15, 10, 5])] {
        let (mut percents, mut seen, mut cursor) = (Vec::new(), BTreeSet::new(), String::new());
        loop {
            let page = format!("/api/v1/coupons?sort={sort}&page_size=2{cursor}");
            let page = client.get(&page).await?.expect(StatusCode::OK)?;
            let rows = page.data().as_array().context("a page of rows")?;
            ensure!(!rows.is_empty(), "an empty page after {percents:?}");
            percents.extend(rows.iter().filter_map(|row| row["percent"].as_i64()));
            seen.extend(rows.iter().map(|row| row["id"].to_string()));
            let Some(next) = page.body["meta"]["page"]["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!((percents.as_slice(), seen.len()), (&expected[..], ids.len()), "{sort}");
    }
    Ok(())
}

/// Both APIs describe the resource under its own tag, and the command API in both versions.
async fn described(endpoints: &Endpoints) -> Result<()> {
    for (api, path) in [
        (&endpoints.command_api, "/openapi.json"),
        (&endpoints.command_api, "/openapi/v2.json"),
        (&endpoints.query_api, "/openapi.json"),
    ] {
        let document = http_get(format!("{api}{path}")).await?.text().await?;
        let document: Value = serde_json::from_str(&document)?;
        let tags = document["tags"].as_array().context("the tags")?;
        ensure!(tags.iter().any(|tag| tag["name"] == "coupons"), "no tag of coupons: {tags:?}");
    }
    Ok(())
}
