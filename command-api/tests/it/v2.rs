//! Tests of `/api/v2`: what it does in another way than version 1, and that both are one
//! application.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{QUERY_URL, Reply, Shop, ShopOptions, With as _, json_request};

async fn put(shop: &Shop, path: &str, body: Value) -> Reply {
    shop.send(json_request("PUT", path, &body)).await
}

fn money(amount: &str, currency: &str) -> Value {
    json!({"amount": amount, "currency": currency})
}

/// The payload of the newest event of this type.
async fn last(shop: &Shop, event_type: &str) -> Value {
    let log = shop.log().await;
    log.into_iter().rfind(|(name, _)| name == event_type).unwrap().1
}

#[tokio::test]
async fn a_price_is_an_object_and_both_versions_write_the_same_events() {
    let shop = Shop::new();
    let body = json!({"name": "cd", "unit_price": money("14.67", "EUR"), "stock": 3});
    let added = shop.post("/api/v2/products", body).await;
    let id = added.made();
    // The query API has one version yet.
    assert_eq!(added.header("location"), format!("{QUERY_URL}/api/v2/products/{id}"));
    let old = json!({"name": "cd", "unit_price": "14.67", "currency": "EUR", "stock": 3});
    shop.post("/api/v1/products", old).await.made();
    let log = shop.log().await;
    let without_id = |mut data: Value| {
        data["product_id"].take();
        data
    };
    assert_eq!(log[0].0, log[1].0);
    assert_eq!(without_id(log[0].1.clone()), without_id(log[1].1.clone()));

    let path = format!("/api/v2/products/{id}");
    let price = json!({"unit_price": money("900", "JPY")});
    assert_eq!(shop.patch(&path, price).await.ok()["version"], 2);
    let whole = json!({"name": "disc", "unit_price": money("9.99", "EUR")});
    assert_eq!(put(&shop, &path, whole).await.ok()["version"], 4);
    let expected = json!({"minor": 999, "currency": "EUR"});
    assert_eq!(last(&shop, "product.repriced").await["unit_price"], expected);
    shop.post(&format!("{path}/stock/adjust"), json!({"delta": -3})).await.ok();
    shop.post(&format!("{path}/stock"), json!({"delta": 1})).await.problem(404, "not-found");
}

#[tokio::test]
async fn what_is_wrong_with_money_is_pointed_at_inside_the_object() {
    let shop = Shop::new();
    let product = shop.product("1.00").await;
    let path = format!("/api/v2/products/{product}");
    let added = |price: Value| json!({"name": "cd", "unit_price": price});
    for (price, pointer, code) in [
        (money("1.001", "EUR"), "/unit_price/amount", "money/too-precise"),
        (money("-1", "EUR"), "/unit_price/amount", "money/negative"),
        (money("1.00", "DEM"), "/unit_price/currency", "currency/withdrawn"),
        (money("1.00", "eur"), "/unit_price/currency", "currency/unknown"),
        (json!({"amount": "1.00"}), "/unit_price/currency", "missing"),
        (json!({"amount": 1, "currency": "EUR"}), "/unit_price/amount", "invalid"),
        (json!("1.00"), "/unit_price", "invalid"),
        (json!(["1.00", "EUR"]), "/unit_price", "invalid"),
        (json!(null), "/unit_price", "invalid"),
    ] {
        shop.post("/api/v2/products", added(price.clone())).await.wrong(&[(pointer, code)]);
        put(&shop, &path, added(price.clone())).await.wrong(&[(pointer, code)]);
        shop.patch(&path, json!({"unit_price": price})).await.wrong(&[(pointer, code)]);
    }
    let old = json!({"name": "cd", "unit_price": money("1.00", "EUR"), "currency": "EUR"});
    shop.post("/api/v2/products", old).await.wrong(&[("/currency", "unknown")]);
}

#[tokio::test]
async fn an_imported_order_has_a_currency_in_each_price_and_only_one() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.00").await);
    let import = |prices: &[Value]| {
        let lines = prices.iter();
        let lines: Vec<_> = lines
            .map(|price| json!({"product_id": product, "quantity": 1, "unit_price": price}))
            .collect();
        json!({"user_id": user, "ordered_at": "1997-01-12T00:00:00Z", "lines": lines})
    };
    let send = async |prices: &[Value]| shop.post("/api/v2/orders/import", import(prices)).await;
    send(&[money("14.67", "DEM"), money("0.33", "DEM")]).await.made();
    let total = json!({"minor": 1500, "currency": "DEM"});
    assert_eq!(last(&shop, "order.placed").await["total"], total);
    let mixed = send(&[money("1.00", "EUR"), money("1.00", "USD"), money("1.00", "XXZ")]).await;
    mixed.wrong(&[
        ("/lines/1/unit_price/currency", "currency/mixed"),
        ("/lines/2/unit_price/currency", "currency/unknown"),
    ]);
    let wrong = send(&[money("1.001", "EUR")]).await;
    wrong.wrong(&[("/lines/0/unit_price/amount", "money/too-precise")]);
    send(&[]).await.wrong(&[("/lines", "too-few")]);
}

#[tokio::test]
async fn refunds_and_discounts_have_an_amount_of_money() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("10.00").await);
    let discounts =
        |amount: Value| json!({"discounts": [{"id": Uuid::from_u128(1), "amount": amount}]});
    let path = "/api/v2/pricing/discounts";
    put(&shop, path, discounts(money("1.50", "USD"))).await.ok();
    put(&shop, path, discounts(money("1.501", "USD")))
        .await
        .wrong(&[("/discounts/0/amount/amount", "money/too-precise")]);
    put(&shop, path, discounts(money("1.50", "XXZ")))
        .await
        .wrong(&[("/discounts/0/amount/currency", "currency/unknown")]);
    put(&shop, path, discounts(json!(null))).await.wrong(&[("/discounts/0/amount", "invalid")]);
    let neither = json!({"discounts": [{"id": Uuid::from_u128(1)}]});
    put(&shop, path, neither).await.wrong(&[("/discounts/0", "discount/rate-or-amount")]);

    let order = format!("/api/v2/orders/{}", shop.order(&user, &product).await);
    shop.act(&format!("{order}/confirm")).await.ok();
    assert_eq!(last(&shop, "order.confirmed").await["total"]["minor"], 1_850);
    shop.post(&format!("{order}/record-payment"), json!({"reason": "seen"})).await.ok();
    let refund = async |amount: Value| {
        let body = json!({"amount": amount, "reason": "scratched"});
        shop.post(&format!("{order}/refund"), body).await
    };
    refund(money("0", "USD")).await.wrong(&[("/amount/amount", "money/zero")]);
    refund(money("1.00", "XXZ")).await.wrong(&[("/amount/currency", "currency/unknown")]);
    refund(money("1.00", "EUR")).await.problem(409, "order/refund");
    refund(money("1.00", "USD")).await.ok();
    assert_eq!(
        last(&shop, "order.refunded").await["amount"],
        json!({"minor": 100, "currency": "USD"})
    );
}

#[tokio::test]
async fn profile_and_preferences_are_below_the_user() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let path = format!("/api/v2/users/{user}");
    let (profile, preferences) = (format!("{path}/profile"), format!("{path}/preferences"));
    put(&shop, &profile, json!({"display_name": "Countess", "locale": "en-GB"})).await.ok();
    shop.patch(&profile, json!({"phone": "+442079460000", "locale": null})).await.ok();
    let personal = |value: &str| json!({"$subject": user, "$personal": value});
    let expected = json!({"display_name": personal("Countess"), "locale": null,
        "phone": personal("+442079460000")});
    assert_eq!(last(&shop, "user.profile_changed").await["profile"], expected);
    put(&shop, &preferences, json!({"language": "de", "newsletter": true})).await.ok();
    shop.patch(&preferences, json!({"currency": "EUR", "newsletter": null})).await.ok();
    let expected = json!({"language": "de", "currency": "EUR", "newsletter": false});
    assert_eq!(last(&shop, "user.preferences_changed").await["preferences"], expected);

    // What a user is called is another matter, which leaves both as they are.
    let before = shop.types().await.len();
    put(&shop, &path, json!({"email": "ada@example.com", "name": "Ada King"})).await.ok();
    assert_eq!(shop.types().await[before..], ["user.renamed"]);
    put(&shop, &profile, json!({})).await.ok();
    let emptied = json!({"display_name": null, "locale": null, "phone": null});
    assert_eq!(last(&shop, "user.profile_changed").await["profile"], emptied);
    shop.patch(&path, json!({"profile": {}})).await.wrong(&[("/profile", "unknown")]);

    shop.patch(&profile, json!({"phone": "12"})).await.wrong(&[("/phone", "phone/malformed")]);
    put(&shop, &preferences, json!({"currency": "DEM"}))
        .await
        .wrong(&[("/currency", "currency/withdrawn")]);
    let absent = format!("/api/v2/users/{}/profile", Uuid::now_v7());
    put(&shop, &absent, json!({})).await.problem(404, "not-found");
    put(&shop, &format!("/api/v1/users/{user}/profile"), json!({})).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_patch_without_a_field_changes_nothing() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("1.00").await);
    let before = shop.types().await;
    for path in [
        format!("users/{user}"),
        format!("users/{user}/profile"),
        format!("users/{user}/preferences"),
        format!("products/{product}"),
    ] {
        let reply = shop.patch(&format!("/api/v2/{path}"), json!({})).await;
        assert_eq!(reply.ok()["version"], 1, "{path}");
    }
    assert_eq!(shop.types().await, before);
    let absent = format!("/api/v2/users/{}", Uuid::now_v7());
    shop.patch(&absent, json!({})).await.problem(404, "not-found");
}

#[tokio::test]
async fn commands_take_the_bodies_of_their_version() {
    let shop = Shop::new();
    let new = json!({"name": "cd", "unit_price": money("1.00", "EUR")});
    let old = json!({"name": "cd", "unit_price": "1.00", "currency": "EUR"});
    let statuses = async |path: &str, atomic: bool, commands: Value| {
        let body = json!({"commands": commands, "atomic": atomic});
        let reply = shop.post(path, body).await;
        let results = reply.ok()["results"].as_array().unwrap().clone();
        results.iter().map(|result| result["status"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let add = |data: &Value| json!({"type": "addProduct", "data": data});
    for (path, right, wrong) in [("/api/v2/commands", &new, &old), ("/api/v1/commands", &old, &new)]
    {
        assert_eq!(statuses(path, false, json!([add(right), add(wrong)])).await, [201, 422]);
        assert_eq!(statuses(path, true, json!([add(right), add(wrong)])).await, [424, 422]);
        assert_eq!(statuses(path, true, json!([add(right)])).await, [201]);
    }
    let user = shop.user("ada@example.com").await;
    let profile = json!([{"type": "changeProfile", "id": user, "data": {"locale": "de-AT"}}]);
    assert_eq!(statuses("/api/v2/commands", false, profile.clone()).await, [200]);
    assert_eq!(statuses("/api/v1/commands", false, profile).await, [422], "there is no such type");
}

fn register(path: &str, key: &str) -> Request<Body> {
    let body = json!({"email": "ada@example.com", "name": "Ada"});
    json_request("POST", path, &body).with("idempotency-key", key)
}

#[tokio::test]
async fn a_key_of_one_version_is_another_request_in_the_next_however_it_is_named() {
    let shop = Shop::new();
    let first = shop.send(register("/api/v1/users", "k")).await.made();
    shop.send(register("/api/v2/users", "k")).await.problem(422, "idempotency/key-reused");
    let again = shop.send(register("/api/users", "k")).await;
    assert_eq!((again.made(), again.header("idempotent-replayed")), (first.clone(), "true"));
    let again = shop.send(register("/api/users", "k").with("api-version", "1")).await;
    assert_eq!(again.made(), first);
    let other = shop.send(register("/api/users", "k").with("api-version", "2")).await;
    other.problem(422, "idempotency/key-reused");
    assert_eq!(shop.types().await.len(), 1);
}

#[tokio::test]
async fn the_header_chooses_the_version_and_a_page_may_send_and_read_it() {
    let shop = Shop::new();
    let body = json!({"name": "cd", "unit_price": money("1.00", "EUR")});
    let add = || json_request("POST", "/api/products", &body);
    let added = shop.send(add().with("api-version", "2")).await;
    added.made();
    assert_eq!(added.header("api-version"), "2");
    let varies = added.headers.get_all("vary").iter().any(|value| value == "api-version");
    assert!(varies, "{:?}", added.headers);
    let refused = shop.send(add()).await;
    assert_eq!((refused.status.as_u16(), refused.header("api-version")), (422, "1"));
    let problem = shop.send(add().with("api-version", "3")).await;
    problem.problem(400, "api-version/unknown");
    assert!(problem.body["detail"].as_str().unwrap().contains("1, 2"), "{:#}", problem.body);
    // The version is checked before the token.
    let both = add().with("api-version", "3").with("authorization", "Bearer x");
    shop.send(both).await.problem(400, "api-version/unknown");
    let preflight = Request::options("/api/products")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "api-version");
    let allowed = shop.send(preflight.body(Body::empty()).unwrap()).await;
    let named = allowed.header("access-control-allow-headers").to_lowercase();
    assert!(named.contains("api-version"), "{named}");
}

#[tokio::test]
async fn version_1_says_that_it_is_deprecated_only_if_the_operator_does() {
    let options = ShopOptions { is_deprecated: true, ..ShopOptions::default() };
    let store = std::sync::Arc::new(event_store::MemoryStore::new());
    for (shop, is_deprecated) in [(Shop::over(store, options), true), (Shop::new(), false)] {
        for (path, version) in [("/api/v1/users", 1), ("/api/users", 1), ("/api/v2/users", 2)] {
            for body in [json!({}), json!({"email": "a@example.com", "name": "Ada"})] {
                let reply = shop.post(path, body).await;
                let is_old = is_deprecated && version == 1;
                let expected = if is_old { "@1767225600" } else { "" };
                assert_eq!(reply.header("deprecation"), expected, "{path}");
                let expected = if is_old { "Fri, 01 Jan 2027 00:00:00 GMT" } else { "" };
                assert_eq!(reply.header("sunset"), expected, "{path}");
                let links = reply.headers.get_all("link").iter().count();
                assert_eq!(links, if is_old { 2 } else { 0 }, "{path}");
            }
        }
    }
}
