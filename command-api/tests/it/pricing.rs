//! Tests of `/api/v1/pricing`, of the shipping address of an order, and of what orders cost.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Reply, Shop, With as _, json_request};

const DISCOUNTS: &str = "/api/v1/pricing/discounts";
const TAXES: &str = "/api/v1/pricing/taxes";

async fn put(shop: &Shop, path: &str, body: Value) -> Reply {
    shop.send(json_request("PUT", path, &body)).await
}

/// 10 % off for all, and 19 % of tax in German prices, 20 % on top of French ones.
async fn with_rules(shop: &Shop) {
    let discount = json!({"id": Uuid::from_u128(1), "rate": 100_000});
    put(shop, DISCOUNTS, json!({"discounts": [discount]})).await.ok();
    let country = |country: &str, mode: &str, rate: i64| {
        json!({"country": country, "mode": mode,
            "rates": [{"rate_class": "standard", "rate": rate}]})
    };
    let countries = [country("DE", "inclusive", 190_000), country("FR", "exclusive", 200_000)];
    put(shop, TAXES, json!({"countries": countries})).await.ok();
}

fn address(country: &str) -> Value {
    json!({"recipient": "Ada Lovelace", "street": "Ring 1", "city": "Wien", "country": country})
}

/// Places an order of two units at 10.00 each.
async fn place(shop: &Shop, address: Option<Value>) -> String {
    let (user, product) = (shop.user("ada@example.com").await, shop.product("10.00").await);
    let lines = json!([{"product_id": product, "quantity": 2}]);
    let mut body = json!({"user_id": user, "lines": lines});
    if let Some(address) = address {
        body["shipping_address"] = address;
    }
    shop.post("/api/v1/orders", body).await.made()
}

/// The data of the last event of this type.
async fn last(shop: &Shop, event_type: &str) -> Value {
    let log = shop.log().await;
    log.into_iter().rev().find(|(name, _)| name == event_type).unwrap().1
}

fn usd(minor: i64) -> Value {
    json!({"minor": minor, "currency": "USD"})
}

#[tokio::test]
async fn an_order_is_priced_when_it_is_confirmed_by_the_rules_and_the_destination() {
    let shop = Shop::new();
    with_rules(&shop).await;
    let order = place(&shop, Some(address("FR"))).await;
    let path = format!("/api/v1/orders/{order}");
    put(&shop, DISCOUNTS, json!({"discounts": []})).await.ok();
    shop.act(&format!("{path}/confirm")).await.ok();
    let priced = last(&shop, "order.priced").await;
    assert_eq!((&priced["price"]["tax"], &priced["pricing_version"]), (&usd(400), &json!(3)));
    assert_eq!(priced["price"]["destination"], json!({"country": "FR", "region": null}));
    assert_eq!(last(&shop, "order.confirmed").await["total"], usd(2_400));
    shop.act(&format!("{path}/request-payment")).await.ok();
    assert_eq!(last(&shop, "order.payment_requested").await["amount"], usd(2_400));
    // Later rules change nothing.
    with_rules(&shop).await;
    let reason = json!({"reason": "seen"});
    shop.post(&format!("{path}/record-payment"), reason).await.ok();
    assert_eq!(last(&shop, "order.paid").await["amount"], usd(2_400));
}

#[tokio::test]
async fn the_type_of_the_customer_decides_on_discounts() {
    let shop = Shop::new();
    let amount = json!({"id": Uuid::from_u128(1), "amount": "1.50", "currency": "USD",
        "customer_type": "reseller"});
    put(&shop, DISCOUNTS, json!({"discounts": [amount]})).await.ok();
    let order = place(&shop, None).await;
    let user = last(&shop, "user.registered").await["user_id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/users/{user}/customer-type");
    put(&shop, &path, json!({"customer_type": "reseller"})).await.ok();
    shop.act(&format!("/api/v1/orders/{order}/confirm")).await.ok();
    assert_eq!(last(&shop, "order.priced").await["price"]["customer_type"], "reseller");
    assert_eq!(last(&shop, "order.confirmed").await["total"], usd(1_850));
}

#[tokio::test]
async fn the_rate_class_of_a_product_decides_on_the_tax() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("10.00").await);
    let rates = json!([{"rate_class": "standard", "rate": 200_000},
        {"rate_class": "reduced", "rate": 100_000}]);
    let countries = json!([{"country": "AT", "mode": "exclusive", "rates": rates}]);
    put(&shop, TAXES, json!({"countries": countries})).await.ok();
    let confirmed = async || {
        let lines = json!([{"product_id": product, "quantity": 1}]);
        let body = json!({"user_id": user, "lines": lines, "shipping_address": address("AT")});
        let order = shop.post("/api/v1/orders", body).await.made();
        shop.act(&format!("/api/v1/orders/{order}/confirm")).await
    };
    let class = format!("/api/v1/products/{product}/rate-class");
    let classify =
        async |class_name: &str| put(&shop, &class, json!({"rate_class": class_name})).await;
    confirmed().await.ok();
    assert_eq!(last(&shop, "order.confirmed").await["total"], usd(1_200));
    classify("odd").await.wrong(&[("/rate_class", "rate-class/unknown")]);
    classify("reduced").await.ok();
    confirmed().await.ok();
    assert_eq!(last(&shop, "order.priced").await["price"]["lines"][0]["rate_class"], "reduced");
    assert_eq!(last(&shop, "order.confirmed").await["total"], usd(1_100));
    // The country has no rate for this class.
    classify("zero").await.ok();
    confirmed().await.problem(409, "order/no-tax-rate");
}

#[tokio::test]
async fn without_rules_no_price_is_added_to_the_log() {
    let shop = Shop::new();
    let order = place(&shop, Some(address("DE"))).await;
    shop.act(&format!("/api/v1/orders/{order}/confirm")).await.ok();
    let types = shop.types().await;
    assert!(!types.contains(&"order.priced".to_owned()), "{types:?}");
    assert_eq!(last(&shop, "order.confirmed").await["total"], usd(2_000));
}

#[tokio::test]
async fn an_order_whose_tax_is_unknown_is_confirmed_after_it_has_another_address() {
    let shop = Shop::new();
    with_rules(&shop).await;
    let order = place(&shop, None).await;
    let path = format!("/api/v1/orders/{order}");
    let confirm = format!("{path}/confirm");
    shop.act(&confirm).await.problem(409, "order/no-shipping-address");
    let set = format!("{path}/shipping-address");
    put(&shop, &set, address("US")).await.ok();
    shop.act(&confirm).await.problem(409, "order/no-tax-rate");
    put(&shop, &set, address("XX")).await.wrong(&[("/country", "country/unknown")]);
    put(&shop, &set, address("DE")).await.ok();
    shop.act(&confirm).await.ok();
    assert_eq!(last(&shop, "order.confirmed").await["total"], usd(1_800));
    put(&shop, &set, address("FR")).await.problem(409, "order/not-pending");
}

#[tokio::test]
async fn the_address_is_personal_and_the_destination_is_not() {
    let shop = Shop::new();
    let order = place(&shop, Some(address("AT"))).await;
    let set = last(&shop, "order.shipping_address_set").await;
    assert_eq!(set["order_id"], order);
    assert_eq!(set["postal"]["$subject"], set["user_id"]);
    assert_eq!(set["destination"], json!({"country": "AT", "region": null}));
}

#[tokio::test]
async fn what_is_wrong_with_an_address_of_a_new_order_is_told_with_its_place() {
    let shop = Shop::new();
    let (user, product) = (shop.user("ada@example.com").await, shop.product("10.00").await);
    let mut wrong = address("ZZ");
    wrong["city"] = "".into();
    let body = json!({"user_id": user, "shipping_address": wrong,
        "lines": [{"product_id": product, "quantity": 1}]});
    shop.post("/api/v1/orders", body).await.wrong(&[
        ("/shipping_address/city", "name/empty"),
        ("/shipping_address/country", "country/unknown"),
    ]);
}

#[tokio::test]
async fn what_is_wrong_with_rules_is_told_with_its_place() {
    let shop = Shop::new();
    let id = Uuid::from_u128(1);
    let period = json!({"id": id, "rate": 1, "from": "2026-01-02T00:00:00Z",
        "until": "2026-01-01T00:00:00Z"});
    let discounts = json!([
        {"id": id, "rate": 1_000_001},
        {"id": id},
        {"id": id, "rate": 1, "amount": "1.00", "currency": "USD"},
        period,
    ]);
    put(&shop, DISCOUNTS, json!({"discounts": discounts})).await.wrong(&[
        ("/discounts/0/rate", "rate/out-of-range"),
        ("/discounts/1", "discount/rate-or-amount"),
        ("/discounts/2", "discount/rate-or-amount"),
        ("/discounts/3/until", "period/empty"),
    ]);
    let twice = json!([{"id": id, "rate": 1}, {"id": id, "rate": 2}]);
    put(&shop, DISCOUNTS, json!({"discounts": twice}))
        .await
        .wrong(&[("/discounts", "discount/repeated")]);
    let rates = json!([{"region": "by", "rate_class": "odd", "rate": -1}]);
    let countries = json!([{"country": "XX", "mode": "none", "rates": rates}]);
    put(&shop, TAXES, json!({"countries": countries})).await.wrong(&[
        ("/countries/0/country", "country/unknown"),
        ("/countries/0/mode", "tax-mode/unknown"),
        ("/countries/0/rates/0/region", "region/malformed"),
        ("/countries/0/rates/0/rate_class", "rate-class/unknown"),
        ("/countries/0/rates/0/rate", "rate/out-of-range"),
    ]);
    let german = json!({"country": "DE", "mode": "inclusive", "rates": []});
    put(&shop, TAXES, json!({"countries": [german, german]}))
        .await
        .wrong(&[("/countries", "tax/repeated")]);
    assert_eq!(shop.types().await, [""; 0]);
}

#[tokio::test]
async fn the_same_rules_again_change_nothing() {
    let shop = Shop::new();
    for _ in 0..2 {
        with_rules(&shop).await;
    }
    assert_eq!(shop.types().await, ["pricing.discounts_set", "pricing.taxes_set"]);
}

#[tokio::test]
async fn rules_that_are_too_many_are_refused_and_no_rules_can_be_set_first() {
    let shop = Shop::new();
    // A shop without rules has version 0.
    let none = put(&shop, DISCOUNTS, json!({"discounts": []})).await;
    assert_eq!((&none.ok()["version"], none.header("etag")), (&json!(0), "\"0\""));
    assert_eq!(shop.types().await, [""; 0]);
    let many = |count: u128| (0..count).map(|id| json!({"id": Uuid::from_u128(id), "rate": 1}));
    let too_many: Vec<_> = many(101).collect();
    put(&shop, DISCOUNTS, json!({"discounts": too_many}))
        .await
        .wrong(&[("/discounts", "too-many")]);
    let country = |country: &str, count: usize| {
        let rates = (0..count).map(
            |region| json!({"region": region.to_string(), "rate_class": "standard", "rate": 1}),
        );
        json!({"country": country, "mode": "exclusive", "rates": rates.collect::<Vec<_>>()})
    };
    let countries = json!([country("DE", 501), country("FR", 500)]);
    put(&shop, TAXES, json!({"countries": countries})).await.wrong(&[("/countries", "too-many")]);
    let most: Vec<_> = many(100).collect();
    put(&shop, DISCOUNTS, json!({"discounts": most})).await.ok();
    let countries = json!([country("DE", 500), country("FR", 500)]);
    assert_eq!(put(&shop, TAXES, json!({"countries": countries})).await.ok()["version"], 2);
}

#[tokio::test]
async fn who_names_a_version_sets_rules_only_on_that_version() {
    let shop = Shop::new();
    let set = async |rate: i64, version: &str| {
        let body = json!({"discounts": [{"id": Uuid::from_u128(1), "rate": rate}]});
        shop.send(json_request("PUT", DISCOUNTS, &body).with("if-match", version)).await
    };
    let first = set(1, "\"0\"").await;
    assert_eq!(first.ok()["version"], 1);
    set(2, "\"0\"").await.problem(412, "stale-version");
    assert_eq!(set(2, first.header("etag")).await.ok()["version"], 2);
}

#[tokio::test]
async fn of_many_who_set_rules_at_once_each_is_answered_and_the_last_one_counts() {
    let shop = Shop::new();
    let set = |rate: i64| {
        let shop = shop.clone();
        let body = json!({"discounts": [{"id": Uuid::from_u128(1), "rate": rate}]});
        tokio::spawn(async move { put(&shop, DISCOUNTS, body).await })
    };
    let mut versions = Vec::new();
    for reply in (1..=16).map(set).collect::<Vec<_>>() {
        versions.push(reply.await.unwrap().ok()["version"].as_i64().unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=16).collect::<Vec<_>>());
    assert_eq!(shop.types().await.len(), 16);
}

#[tokio::test]
async fn a_dry_run_tells_the_price_and_leaves_nothing() {
    let shop = Shop::new();
    with_rules(&shop).await;
    let order = place(&shop, Some(address("FR"))).await;
    let before = shop.log().await;
    let told = shop.act(&format!("/api/v1/orders/{order}/confirm?dry_run=true")).await;
    let events = told.ok()["events"].as_array().unwrap();
    let types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["order.priced", "order.confirmed"]);
    assert_eq!(events[0]["data"]["price"]["total"], usd(2_160));
    let none = put(&shop, &format!("{DISCOUNTS}?dry_run=true"), json!({"discounts": []})).await;
    assert_eq!(none.ok()["events"][0]["type"], "pricing.discounts_set");
    let path = format!("/api/v1/orders/{order}/shipping-address?dry_run=true");
    let set = put(&shop, &path, address("DE")).await;
    assert_eq!(set.ok()["events"][0]["data"]["destination"]["country"], "DE");
    assert_eq!(shop.log().await, before);
}

#[tokio::test]
async fn a_batch_sets_rules_and_sells_by_them() {
    for atomic in [false, true] {
        let shop = Shop::new();
        let (user, product) = (shop.user("ada@example.com").await, shop.product("10.00").await);
        let order = Uuid::now_v7();
        let discount = json!({"id": Uuid::from_u128(1), "amount": "2.50", "currency": "USD"});
        let lines = json!([{"product_id": product, "quantity": 1}]);
        let commands = json!([
            {"type": "setDiscounts", "data": {"discounts": [discount]}},
            {"type": "placeOrder", "data": {"id": order, "user_id": user, "lines": lines}},
            {"type": "setShippingAddress", "id": order, "data": address("AT")},
            {"type": "confirmOrder", "id": order},
        ]);
        let body = json!({"commands": commands, "atomic": atomic});
        let reply = shop.post("/api/v1/commands", body).await;
        let results = reply.ok()["results"].as_array().unwrap();
        let versions: Vec<_> = results.iter().map(|result| &result["data"]["version"]).collect();
        assert_eq!(versions, [1, 1, 2, 4], "{:#}", reply.body);
        assert_eq!(last(&shop, "order.confirmed").await["total"], usd(750));
    }
}

#[tokio::test]
async fn no_more_is_given_back_than_the_price_that_was_paid() {
    let shop = Shop::new();
    with_rules(&shop).await;
    let order = place(&shop, Some(address("FR"))).await;
    let path = |action: &str| format!("/api/v1/orders/{order}/{action}");
    shop.act(&path("confirm")).await.ok();
    for action in ["record-payment", "ship"] {
        shop.post(&path(action), json!({"reason": "seen"})).await.ok();
    }
    let refund = |amount: &str| json!({"amount": amount, "currency": "USD", "reason": "broken"});
    // Two at 10.00, less 10 %, and 20 % on top: 21.60.
    shop.post(&path("refund"), refund("21.61")).await.problem(409, "order/refund-too-large");
    shop.post(&path("refund"), refund("21.60")).await.ok();
    assert_eq!(last(&shop, "order.refunded").await["ends_order"], true);
}

#[tokio::test]
async fn a_sale_that_is_cancelled_takes_back_what_was_agreed() {
    let shop = Shop::new();
    with_rules(&shop).await;
    let order = place(&shop, Some(address("FR"))).await;
    for action in ["confirm", "cancel"] {
        shop.act(&format!("/api/v1/orders/{order}/{action}")).await.ok();
    }
    assert_eq!(last(&shop, "order.sale_cancelled").await["total"], usd(2_160));
    let types = shop.types().await;
    assert!(types.contains(&"user_orders.closed".to_owned()), "{types:?}");
}

#[tokio::test]
async fn an_imported_order_keeps_the_price_that_it_had() {
    let shop = Shop::new();
    with_rules(&shop).await;
    let (user, product) = (shop.user("ada@example.com").await, shop.product("10.00").await);
    let line = json!({"product_id": product, "quantity": 1, "unit_price": "7.00"});
    let body = json!({"user_id": user, "ordered_at": "2020-01-01T00:00:00Z", "currency": "USD",
        "lines": [line]});
    let order = shop.post("/api/v1/orders/import", body).await.made();
    shop.act(&format!("/api/v1/orders/{order}/confirm")).await.ok();
    assert_eq!(last(&shop, "order.confirmed").await["total"], usd(700));
    assert!(!shop.types().await.contains(&"order.priced".to_owned()));
}
