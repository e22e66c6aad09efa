//! Tests of what users say about themselves: profile, preferences, customer type and addresses, by
//! PUT and by merge patch, and of coming back.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::support::{Reply, Shop, address, json_request};

async fn put(shop: &Shop, path: &str, body: Value) -> Reply {
    shop.send(json_request("PUT", path, &body)).await
}

/// The payload of the newest event, after its type was checked.
async fn newest(shop: &Shop, event_type: &str) -> Value {
    let (found, data) = shop.log().await.pop().unwrap();
    assert_eq!(found, event_type);
    data
}

fn personal(user: &str, value: &str) -> Value {
    json!({"$subject": user, "$personal": value})
}

#[tokio::test]
async fn a_merge_patch_sets_and_empties_fields_and_leaves_the_others() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let path = format!("/api/v1/users/{user}");
    let profile = json!({"display_name": "Countess", "locale": "en-GB", "phone": "+442079460000"});
    shop.patch(&path, json!({"profile": profile})).await.ok();
    shop.patch(&path, json!({"profile": {"phone": null, "locale": "de-AT"}})).await.ok();
    assert_eq!(
        newest(&shop, "user.profile_changed").await["profile"],
        json!({"display_name": personal(&user, "Countess"), "locale": personal(&user, "de-AT"),
            "phone": null})
    );
    let preferences = json!({"language": "de", "currency": "EUR", "newsletter": true});
    shop.patch(&path, json!({"preferences": preferences})).await.ok();
    shop.patch(&path, json!({"preferences": {"newsletter": null, "language": "en"}})).await.ok();
    assert_eq!(
        newest(&shop, "user.preferences_changed").await["preferences"],
        json!({"language": "en", "currency": "EUR", "newsletter": false})
    );
    shop.patch(&path, json!({"profile": null})).await.ok();
    assert_eq!(
        newest(&shop, "user.profile_changed").await["profile"],
        json!({"display_name": null, "locale": null, "phone": null})
    );
    let version = shop.patch(&path, json!({"preferences": null})).await.ok()["version"].clone();
    // What is empty already changes nothing.
    let again = shop.patch(&path, json!({"profile": null, "preferences": {}})).await;
    assert_eq!(again.ok()["version"], version);
}

#[tokio::test]
async fn a_patch_names_either_media_type_and_another_is_told_which() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let patch = |kind: &str, name: &str| {
        Request::patch(format!("/api/v1/users/{user}"))
            .header("content-type", kind)
            .body(Body::from(json!({"name": name}).to_string()))
            .unwrap()
    };
    shop.send(patch("application/merge-patch+json", "Eve")).await.ok();
    shop.send(patch("application/json", "Ada")).await.ok();
    for other in ["application/json-patch+json", "text/plain"] {
        let refused = shop.send(patch(other, "Eve")).await;
        refused.problem(415, "unsupported-media-type");
        assert_eq!(
            refused.header("accept-patch"),
            "application/merge-patch+json, application/json"
        );
    }
    let document =
        serde_json::to_value(command_api::http::document(command_api::http::Version::V1)).unwrap();
    let content = &document["paths"]["/api/v1/users/{id}"]["patch"]["requestBody"]["content"];
    assert_eq!(content["application/merge-patch+json"], content["application/json"]);
    assert!(content["application/json"].is_object());
}

#[tokio::test]
async fn a_put_replaces_the_whole_and_what_it_leaves_out_is_empty() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let path = format!("/api/v1/users/{user}");
    let whole = json!({"email": "ada@lovelace.org", "name": "Ada King",
        "profile": {"display_name": "Countess", "phone": "+442079460000"},
        "preferences": {"newsletter": true}});
    assert_eq!(put(&shop, &path, whole.clone()).await.ok()["version"], 5);
    assert_eq!(put(&shop, &path, whole).await.ok()["version"], 5, "it is so already");
    let short = json!({"email": "ada@lovelace.org", "name": "Ada King"});
    assert_eq!(put(&shop, &path, short.clone()).await.ok()["version"], 7);
    let events: Vec<_> = shop.log().await.into_iter().skip(5).collect();
    assert_eq!(
        (&events[0].1["profile"]["phone"], &events[1].1["preferences"]["newsletter"]),
        (&json!(null), &json!(false))
    );
    for (name, code) in [("email", "missing"), ("name", "missing")] {
        let mut without = short.clone();
        without.as_object_mut().unwrap().remove(name);
        put(&shop, &path, without).await.wrong(&[(&format!("/{name}"), code)]);
    }
}

#[tokio::test]
async fn a_product_is_replaced_without_its_stock() {
    let shop = Shop::new();
    let product = shop.product("14.67").await;
    let path = format!("/api/v1/products/{product}");
    let whole = json!({"name": "record", "unit_price": "9.99", "currency": "EUR"});
    assert_eq!(put(&shop, &path, whole).await.ok()["version"], 3);
    put(&shop, &path, json!({"name": "record"})).await.wrong(&[("/unit_price", "missing")]);
    let stock = json!({"name": "a", "unit_price": "9.99", "currency": "EUR", "stock": 3});
    put(&shop, &path, stock).await.wrong(&[("/stock", "unknown")]);
}

#[tokio::test]
async fn every_wrong_field_of_a_person_is_told_at_its_place() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let path = format!("/api/v1/users/{user}");
    let bad = json!({"profile": {"display_name": " ", "locale": "de_AT", "phone": "1234567"},
        "preferences": {"language": "DE", "currency": "DEM"}});
    shop.patch(&path, bad).await.wrong(&[
        ("/profile/display_name", "name/empty"),
        ("/profile/locale", "locale/malformed"),
        ("/profile/phone", "phone/malformed"),
        ("/preferences/language", "language/malformed"),
        ("/preferences/currency", "currency/withdrawn"),
    ]);
    shop.patch(&path, json!({"email": null})).await.wrong(&[("/email", "invalid")]);
    shop.patch(&path, json!({"profile": []})).await.wrong(&[("/profile", "invalid")]);
    shop.patch(&path, json!({"customer_type": "business"}))
        .await
        .wrong(&[("/customer_type", "unknown")]);
    let bad = json!({"label": "\u{202e}", "recipient": "", "street": "", "city": "a\nb",
        "postal_code": "10/10", "country": "XX", "region": "wien"});
    shop.post(&format!("{path}/addresses"), bad).await.wrong(&[
        ("/label", "name/direction-override"),
        ("/recipient", "name/empty"),
        ("/street", "name/empty"),
        ("/city", "name/control-character"),
        ("/postal_code", "postal-code/malformed"),
        ("/country", "country/unknown"),
        ("/region", "region/malformed"),
    ]);
    put(&shop, &format!("{path}/customer-type"), json!({"customer_type": "vip"}))
        .await
        .wrong(&[("/customer_type", "customer-type/unknown")]);
}

#[tokio::test]
async fn a_customer_is_classified() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let path = format!("/api/v1/users/{user}/customer-type");
    let reseller = json!({"customer_type": "reseller"});
    assert_eq!(put(&shop, &path, reseller.clone()).await.ok()["version"], 2);
    assert_eq!(newest(&shop, "user.classified").await["customer_type"], "reseller");
    assert_eq!(put(&shop, &path, reseller).await.ok()["version"], 2);
}

#[tokio::test]
async fn addresses_are_added_changed_and_removed() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let all = format!("/api/v1/users/{user}/addresses");
    let told = shop.post(&format!("{all}?dry_run=true"), address()).await;
    assert!(told.ok()["address_id"].is_string());
    let id = shop.address(&user).await;
    let added = newest(&shop, "user.address_added").await;
    assert_eq!(
        added["address"],
        json!({"address_id": id, "label": personal(&user, "at home"),
            "postal": {"$subject": user, "$personal": {"recipient": "Ada", "street": "Ring 1",
                "city": "Wien", "postal_code": "1010"}},
            "destination": {"country": "AT", "region": "9"}})
    );
    let one = format!("{all}/{id}");
    let mut moved = address();
    moved["city"] = json!("Graz");
    moved["label"] = json!(null);
    assert_eq!(put(&shop, &one, moved.clone()).await.ok(), &json!({"id": user, "version": 3}));
    assert_eq!(put(&shop, &one, moved.clone()).await.ok()["version"], 3);
    assert_eq!(shop.delete(&one).await.ok()["version"], 4);
    shop.delete(&one).await.problem(404, "not-found");
    put(&shop, &one, moved).await.problem(404, "not-found");
    for _ in 0..10 {
        shop.address(&user).await;
    }
    shop.post(&all, address()).await.problem(409, "user/too-many-addresses");
}

#[tokio::test]
async fn a_repeated_addition_has_one_effect_and_the_same_address() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let path = format!("/api/v1/users/{user}/addresses");
    let add = || {
        let mut request = json_request("POST", &path, &address());
        request.headers_mut().insert("idempotency-key", "a-1".parse().unwrap());
        request
    };
    let (first, second) = (shop.send(add()).await, shop.send(add()).await);
    assert!(first.body["data"]["address_id"].is_string());
    assert_eq!(first.body["data"], second.body["data"]);
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(shop.types().await, ["user.registered", "user.address_added"]);
}

#[tokio::test]
async fn a_user_comes_back_unless_somebody_else_has_the_address_by_then() {
    let shop = Shop::new();
    let user = shop.user("ada@example.com").await;
    let path = format!("/api/v1/users/{user}");
    shop.act(&format!("{path}/reactivate")).await.problem(409, "user/active");
    shop.delete(&path).await.ok();
    assert_eq!(shop.act(&format!("{path}/reactivate")).await.ok()["version"], 3);
    // The address is reserved again.
    let eve = json!({"email": "ADA@example.com", "name": "Eve"});
    shop.post("/api/v1/users", eve.clone()).await.problem(409, "user/email-taken");
    shop.patch(&path, json!({"name": "Ada King"})).await.ok();
    shop.delete(&path).await.ok();
    shop.post("/api/v1/users", eve).await.made();
    shop.act(&format!("{path}/reactivate")).await.problem(409, "user/email-taken");
    shop.act("/api/v1/users/019a0000-0000-7000-8000-000000000000/reactivate")
        .await
        .problem(404, "not-found");
}
