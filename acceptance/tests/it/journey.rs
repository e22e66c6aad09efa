//! One customer's journey through the whole system, as a frontend and a dashboard see it.

use acceptance::{Answer, Client, RunningStack};
use anyhow::Result;
use chrono::Utc;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn p9_p10_an_order_goes_from_a_command_to_the_dashboards_and_every_repeat_changes_nothing()
-> Result<()> {
    let stack = RunningStack::start().await?;
    // Without it, a confirmed order stays confirmed.
    stack.run(&["stop", "process-manager"]).await?;
    let client = stack.endpoints()?.client_of_front()?;

    let disc = product(&client, "Blue Train", "14.67").await?;
    let book = product(&client, "Ascension", "10.00").await?;
    let registration = json!({"email": "Ada@Example.com", "name": "Ada"});
    let user = registered_once(&client, &registration).await?;
    the_address_is_taken(&client).await?;

    let lines = json!({"user_id": user, "lines": [{"product_id": disc, "quantity": 2}]});
    let placed = client.post("/api/v1/orders", &lines).await?.expect(StatusCode::CREATED)?;
    let order = placed.id()?.to_owned();
    lines_come_and_go(&client, &order, &book).await?;
    let confirmed = confirmed_once(&client, &order).await?;

    // Read your own writes: the token replaces a waiting loop.
    let shown = client
        .get_after(&format!("/api/v1/users/{user}"), &confirmed)
        .await?
        .expect(StatusCode::OK)?;
    assert!(shown.position()? >= confirmed.position()?);
    assert_eq!(shown.data()["order_count"], 1);
    assert_eq!(shown.data()["total_spent"], json!({"USD": "59.34"}));
    assert!(shown.data()["last_order_at"].is_string());
    the_order_is_shown(&client, &order, &confirmed).await?;
    the_day_is_shown(&client, &confirmed).await?;
    the_other_dashboards_show_it(&client, (&user, &disc, &order), &confirmed).await?;
    a_cancelled_order_counts_nowhere(&client, &user, &lines).await?;

    stack.log()?.wait_until_caught_up(std::time::Duration::from_secs(30)).await?;
    stack.log()?.check_dense().await?;
    stack.log()?.check_stream().await?;
    stack.down().await
}

async fn product(client: &Client, name: &str, price: &str) -> Result<String> {
    let body = json!({"name": name, "unit_price": price, "currency": "USD", "stock": 12});
    Ok(client.post("/api/v1/products", &body).await?.expect(StatusCode::CREATED)?.id()?.to_owned())
}

async fn registered_once(client: &Client, registration: &Value) -> Result<String> {
    let keyed = [("idempotency-key", "tour-1")];
    let first = client
        .command(Method::POST, "/api/v1/users", Some(registration), &keyed)
        .await?
        .expect(StatusCode::CREATED)?;
    assert!(first.headers.get("idempotent-replayed").is_none());
    assert!(
        first.header("location")?.ends_with(&format!("/api/v1/users/{}", first.id()?)),
        "{:?}",
        first.headers
    );
    let again = client
        .command(Method::POST, "/api/v1/users", Some(registration), &keyed)
        .await?
        .expect(StatusCode::CREATED)?;
    assert_eq!(again.header("idempotent-replayed")?, "true");
    assert_eq!((again.data(), again.position()?), (first.data(), first.position()?));
    let other = json!({"email": "other@example.com", "name": "Ada"});
    let refused = client.command(Method::POST, "/api/v1/users", Some(&other), &keyed).await?;
    refused.expect(StatusCode::UNPROCESSABLE_ENTITY)?;
    Ok(first.id()?.to_owned())
}

async fn the_address_is_taken(client: &Client) -> Result<()> {
    let body = json!({"email": "ada@example.com", "name": "Another Ada"});
    let refused = client.post("/api/v1/users", &body).await?.expect(StatusCode::CONFLICT)?;
    assert_eq!(refused.header("content-type")?, "application/problem+json");
    assert!(
        !refused.body.to_string().contains("ada@"),
        "a problem repeats no address: {}",
        refused.body
    );
    Ok(())
}

/// Adds one line that stays (30.00), and one that is removed again.
async fn lines_come_and_go(client: &Client, order: &str, product: &str) -> Result<()> {
    let path = format!("/api/v1/orders/{order}/lines");
    client
        .post(&path, &json!({"product_id": product, "quantity": 3}))
        .await?
        .expect(StatusCode::CREATED)?;
    let added = client
        .post(&path, &json!({"product_id": product, "quantity": 1}))
        .await?
        .expect(StatusCode::CREATED)?;
    let line = added.data()["line_id"].as_str().expect("the line's id");
    let removed = client
        .command(Method::DELETE, &format!("{path}/{line}"), None, &[])
        .await?
        .expect(StatusCode::OK)?;
    let shown = client
        .get_after(&format!("/api/v1/orders/{order}"), &removed)
        .await?
        .expect(StatusCode::OK)?;
    assert_eq!(
        (&shown.data()["status"], &shown.data()["total"]),
        (&json!("pending"), &json!("59.34"))
    );
    assert_eq!(shown.data()["lines"].as_array().map(Vec::len), Some(2));
    Ok(())
}

async fn confirmed_once(client: &Client, order: &str) -> Result<Answer> {
    let (path, keyed) =
        (format!("/api/v1/orders/{order}/confirm"), [("idempotency-key", "tour-2")]);
    let first = client.command(Method::POST, &path, None, &keyed).await?.expect(StatusCode::OK)?;
    let again = client.command(Method::POST, &path, None, &keyed).await?.expect(StatusCode::OK)?;
    assert_eq!((again.data(), again.position()?), (first.data(), first.position()?));
    let refused =
        client.command(Method::POST, &path, None, &[]).await?.expect(StatusCode::CONFLICT)?;
    assert!(refused.code().is_some(), "{}", refused.body);
    Ok(first)
}

async fn the_order_is_shown(client: &Client, order: &str, confirmed: &Answer) -> Result<()> {
    let path = format!("/api/v1/orders/{order}");
    let shown = client.get_after(&path, confirmed).await?.expect(StatusCode::OK)?;
    assert_eq!(shown.data()["status"], "confirmed");
    assert_eq!(shown.data()["units"], 5);
    let unchanged = client.get_with(&path, &[("if-none-match", shown.header("etag")?)]).await?;
    unchanged.expect(StatusCode::NOT_MODIFIED)?;
    let stale = client
        .command(Method::POST, &format!("{path}/cancel"), None, &[("if-match", "\"1\"")])
        .await?;
    stale.expect(StatusCode::PRECONDITION_FAILED)?;
    Ok(())
}

async fn the_day_is_shown(client: &Client, confirmed: &Answer) -> Result<()> {
    let days = client.get_after("/api/v1/sales/daily", confirmed).await?.expect(StatusCode::OK)?;
    let day = &days.data()[0];
    assert_eq!(
        (&day["orders"], &day["units"], &day["revenue"]),
        (&json!(1), &json!(5), &json!("59.34")),
        "{day}"
    );
    let shown: chrono::NaiveDate = serde_json::from_value(day["day"].clone())?;
    assert!((Utc::now().date_naive() - shown).num_days() <= 1, "{shown}");
    Ok(())
}

async fn the_other_dashboards_show_it(
    client: &Client,
    (user, disc, order): (&str, &str, &str),
    confirmed: &Answer,
) -> Result<()> {
    let first = async |path: &str| {
        let shown = client.get_after(path, confirmed).await?.expect(StatusCode::OK)?;
        anyhow::Ok(shown.data()[0].clone())
    };
    let sales = first(&format!("/api/v1/sales/products?product_id={disc}")).await?;
    assert_eq!(
        (&sales["orders"], &sales["units"], &sales["revenue"], &sales["net"]),
        (&json!(1), &json!(2), &json!("29.34"), &json!("29.34"))
    );
    let day = first("/api/v1/sales/funnel").await?;
    assert_eq!(
        (&day["placed"], &day["confirmed"], &day["paid"]),
        (&json!(1), &json!(1), &json!(0))
    );
    let customer = first("/api/v1/customers/at-risk").await?;
    assert_eq!((&customer["user_id"], &customer["order_count"]), (&json!(user), &json!(1)));
    let path = format!("/api/v1/audit?stream=order-{order}&event_type=order.confirmed");
    let done = first(&path).await?;
    assert!(done["principal"].as_str().is_some_and(|who| who.starts_with("user:")), "{done}");
    // With an accent that the name does not have.
    let found = first("/api/v1/search?q=blue%20tra%C3%ADn&kind=product").await?;
    assert_eq!((&found["id"], &found["title"]), (&json!(disc), &json!("Blue Train")));
    Ok(())
}

async fn a_cancelled_order_counts_nowhere(
    client: &Client,
    user: &str,
    lines: &Value,
) -> Result<()> {
    let placed = client.post("/api/v1/orders", lines).await?.expect(StatusCode::CREATED)?;
    let path = format!("/api/v1/orders/{}/cancel", placed.id()?);
    let cancelled = client.command(Method::POST, &path, None, &[]).await?.expect(StatusCode::OK)?;
    let shown = client
        .get_after(&format!("/api/v1/users/{user}"), &cancelled)
        .await?
        .expect(StatusCode::OK)?;
    assert_eq!(
        (&shown.data()["order_count"], &shown.data()["total_spent"]),
        (&json!(1), &json!({"USD": "59.34"}))
    );
    Ok(())
}
