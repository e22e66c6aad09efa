//! The version of the API, which the path or the header `API-Version` names.

use query_api::http::Version;
use serde_json::{Value, json};
use service_kit::http::Deprecation;

use crate::support::described::document;
use crate::support::{App, UserSeed, deprecating, get};

#[tokio::test]
async fn the_header_chooses_the_version_of_a_path_without_one_and_the_links_name_it() {
    let app = App::start().await;
    for number in 0..2 {
        app.add_user(&UserSeed::number(number)).await;
    }
    let path = "/api/users?page_size=1&page=1";
    for header in [&[][..], &[("api-version", "1")]] {
        let answer = app.get_with(path, header).await;
        assert_eq!((answer.status.as_u16(), answer.header("api-version")), (200, "1"));
        let varies = answer.headers.get_all("vary").iter().any(|value| value == "api-version");
        assert!(varies, "{answer:?}");
        let link = answer.header("link");
        assert!(link.contains("</api/v1/users?page_size=1&page=2>; rel=\"next\""), "{link}");
    }
    let named = app.get_with("/api/v1/users", &[("api-version", "1")]).await;
    assert_eq!((named.status.as_u16(), named.header("api-version")), (200, "1"));
    // A cursor belongs to the list, however its version is named.
    let first = app.get("/api/users?page_size=1").await;
    let cursor = first.body["meta"]["page"]["next_cursor"].as_str().unwrap();
    let next = app.get(&format!("/api/v1/users?page_size=1&cursor={cursor}")).await;
    assert_eq!(next.status, 200, "{next:?}");
}

#[tokio::test]
async fn another_version_is_refused_as_the_command_api_refuses_it() {
    let app = App::start().await;
    for (path, header, code) in [
        ("/api/v1/users", "3", "unknown"),
        ("/api/users", "3", "unknown"),
        ("/api/users", "0", "unknown"),
        ("/api/v1/users", "one", "unknown"),
        ("/api/nothing", "3", "unknown"),
        ("/api/v1/users", "2", "contradiction"),
        ("/api/v2/users", "1", "contradiction"),
    ] {
        let answer = app.get_with(path, &[("api-version", header)]).await;
        let found = (answer.status.as_u16(), answer.body["code"].as_str().unwrap().to_owned());
        assert_eq!(found, (400, format!("api-version/{code}")), "{path} {header}");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.ends_with("there are the versions 1, 2"), "{detail}");
        assert_eq!(answer.body["instance"], path);
    }
    let twice = app.get_with("/api/v1/users", &[("api-version", "1"), ("api-version", "1")]).await;
    assert_eq!((twice.status.as_u16(), &twice.body["code"]), (400, &"api-version/unknown".into()));
    let absent = app.get("/api/v3/users").await;
    assert_eq!((absent.status.as_u16(), &absent.body["code"]), (404, &"not-found".into()));
    // What belongs to no version ignores the header.
    assert_eq!(app.get_with("/openapi.json", &[("api-version", "3")]).await.status, 200);
}

#[tokio::test]
async fn both_versions_show_the_same_rows_each_in_its_form() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed { order_count: 3, ..UserSeed::number(3) }).await;
    let order = app.add_order(user, "cancelled", 0).await;
    let usd = |amount: &str| json!({"amount": amount, "currency": "USD"});
    let named = app.get(&format!("/api/v2/orders/{order}")).await;
    let asked = app.get_with(&format!("/api/orders/{order}"), &[("api-version", "2")]).await;
    assert_eq!((&named.body, named.header("api-version")), (&asked.body, "2"));
    let (first, data) = (app.get(&format!("/api/v1/orders/{order}")).await, &named.body["data"]);
    for field in ["total", "discount", "tax", "paid", "refunded", "refund_due"] {
        assert_eq!(data[field], usd(first.body["data"][field].as_str().unwrap()), "{field}");
    }
    assert_eq!(data["lines"][0]["unit_price"], usd("14.67"));
    assert_eq!((data.get("currency"), data["lines"][0].get("currency")), (None, None));
    // The versions are other representations, so a cache must not confuse them.
    assert_ne!(first.header("etag"), named.header("etag"));
    let user = format!("/api/v2/users/{user}");
    let shown = app.get(&user).await.body;
    assert_eq!(shown["data"]["total_spent"], json!([usd("87.15")]));
    assert_eq!(shown["data"]["total_net"], json!([usd("72.48")]));
    assert_eq!((shown["data"].get("profile"), shown["data"].get("preferences")), (None, None));
    let profile = app.get(&format!("{user}/profile")).await;
    let nothing = json!({"display_name": null, "locale": null, "phone": null});
    assert_eq!((&profile.body["data"], profile.header("etag")), (&nothing, "\"3.17.1.v2\""));
    let preferences = app.get(&format!("{user}/preferences")).await;
    let nothing = json!({"language": null, "currency": null, "newsletter": false});
    assert_eq!(preferences.body["data"], nothing);
    assert_eq!(app.get(&format!("{}/profile", user.replace("v2", "v1"))).await.status, 404);
}

#[tokio::test]
async fn the_first_version_says_that_it_is_deprecated_when_the_operator_says_so() {
    let app = App::start().await;
    app.add_product(1).await;
    let since = "2026-01-01T00:00:00Z".parse().unwrap();
    let deprecation = Deprecation {
        since,
        sunset: None,
        migration: None,
        successor: Version::V2.document_path(),
    };
    let router = deprecating(&app, &deprecation);
    let page = "/products?page_size=1&page=1";
    let first = get(&router, &format!("/api/v1{page}"), &[]).await;
    assert_eq!((first.status.as_u16(), first.header("deprecation")), (200, "@1767225600"));
    let links: Vec<_> = first.headers.get_all("link").iter().collect();
    assert!(links.iter().any(|link| *link == "</openapi/v2.json>; rel=\"successor-version\""));
    assert!(links.len() > 1, "the links to other pages are there, too: {links:?}");
    let second = get(&router, &format!("/api/v2{page}"), &[]).await;
    assert_eq!((second.status.as_u16(), second.header("deprecation")), (200, ""));
    assert_eq!(app.get(&format!("/api/v1{page}")).await.header("deprecation"), "");
}

#[test]
fn every_query_may_name_the_version_and_every_answer_does() {
    for version in Version::ALL {
        check(&document(version), version.number().0);
    }
}

fn check(document: &Value, version: u8) {
    for (path, item) in document["paths"].as_object().unwrap() {
        let operation = &item["get"];
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let named: Vec<_> =
            parameters.filter(|parameter| parameter["name"] == "API-Version").collect();
        let is_query = path.starts_with("/api/");
        assert_eq!(named.len(), usize::from(is_query), "{path}");
        for parameter in named {
            assert_eq!(
                (&parameter["in"], &parameter["required"]),
                (&"header".into(), &false.into())
            );
            let schema = parameter["schema"]["$ref"].as_str().unwrap().trim_start_matches('#');
            assert_eq!(document.pointer(schema).unwrap()["enum"], json!([version.to_string()]));
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            let is_named = response["headers"]["API-Version"].is_object();
            assert_eq!(is_named, is_query, "{path} {status}");
        }
    }
}
