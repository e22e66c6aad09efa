//! Tests of `/api/v1/pricing`, of the shipping address of an order, and of what orders cost.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Reply, Shop, json_request};

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
