//! Tests that the document of each version matches the router.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use command_api::http::Version;
use serde_json::Value;

use crate::support::Shop;

const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];

async fn document(shop: &Shop, version: Version) -> Value {
    shop.send(Request::get(version.document_path()).body(Body::empty()).unwrap()).await.body
}

/// The documents of all versions.
async fn documents(shop: &Shop) -> Vec<(Version, Value)> {
    let mut documents = Vec::new();
    for version in Version::ALL {
        documents.push((version, document(shop, version).await));
    }
    documents
}

#[tokio::test]
async fn the_router_answers_exactly_what_the_document_lists() {
    let shop = Shop::new();
    let documents = documents(&shop).await;
    let paths = documents.iter().flat_map(|(_, document)| document["paths"].as_object().unwrap());
    let mut count = 0;
    for (path, item) in paths {
        count += 1;
        let real = path
            .replace("{id}", &uuid::Uuid::nil().to_string())
            .replace("{line_id}", &uuid::Uuid::nil().to_string())
            .replace("{address_id}", &uuid::Uuid::nil().to_string())
            .replace("{session_id}", &uuid::Uuid::nil().to_string())
            .replace("{key_id}", &uuid::Uuid::nil().to_string())
            .replace("{role}", "support");
        for method in METHODS {
            let listed = item.get(method.to_lowercase()).is_some();
            let request = Request::builder().method(method).uri(&real).body(Body::empty()).unwrap();
            let reply = shop.send(request).await;
            assert_eq!(reply.status != 405, listed, "{method} {path}");
            if !listed {
                // Whatever answers GET answers HEAD.
                let allowed = reply.header("allow").split(',').map(str::trim);
                let mut allowed: Vec<_> = allowed.filter(|method| *method != "HEAD").collect();
                let mut expected: Vec<_> =
                    METHODS.into_iter().filter(|m| item.get(m.to_lowercase()).is_some()).collect();
                allowed.sort_unstable();
                expected.sort_unstable();
                assert_eq!(allowed, expected, "{path}");
            }
        }
    }
    assert!(count > 0);
}

#[tokio::test]
async fn every_answer_that_can_come_is_listed_with_a_description() {
    let documents = documents(&Shop::new()).await;
    assert!(documents.iter().all(|(_, document)| document["openapi"] == "3.1.0"));
    let paths = documents.iter().flat_map(|(version, document)| {
        let paths = document["paths"].as_object().unwrap().iter();
        paths.map(|(path, item)| (*version, path, item))
    });
    for (version, path, item) in paths {
        assert!(path.starts_with(&format!("{}/", version.prefix())), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(
                operation["operationId"].is_string() && operation["summary"].is_string(),
                "{place}"
            );
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(
                    response["description"].as_str().is_some_and(|text| !text.is_empty()),
                    "{place} {status}"
                );
                let headers = &response["headers"];
                assert!(headers["API-Version"].is_object(), "{place} {status}");
                let is_old = version == Version::V1;
                assert_eq!(headers["Deprecation"].is_object(), is_old, "{place} {status}");
            }
            // The operations of identity are not commands: no rule of the shop refuses them.
            let own = if path.contains("/auth/") { "404" } else { "409" };
            for status in ["400", own, "422", "503"] {
                assert!(operation["responses"].get(status).is_some(), "{place} lacks {status}");
            }
        }
    }
}

#[tokio::test]
async fn every_request_may_name_the_version_that_its_path_names() {
    for (version, document) in documents(&Shop::new()).await {
        let items = document["paths"].as_object().unwrap();
        let operations = items.iter().flat_map(|(path, item)| {
            item.as_object().unwrap().iter().map(move |(method, of)| (method, path, of))
        });
        for (method, path, operation) in operations {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let named: Vec<_> =
                parameters.filter(|parameter| parameter["name"] == "API-Version").collect();
            assert_eq!(named.len(), 1, "{method} {path}");
            assert_eq!((&named[0]["in"], &named[0]["required"]), (&"header".into(), &false.into()));
            assert!(named[0]["description"].as_str().is_some_and(|text| text.contains("400")));
            let schema = named[0]["schema"]["$ref"].as_str().unwrap().trim_start_matches('#');
            let values = &document.pointer(schema).unwrap()["enum"];
            assert_eq!(values, &serde_json::json!([version.number().0.to_string()]), "{path}");
        }
    }
}

#[tokio::test]
async fn every_tag_of_an_operation_is_described_and_no_other() {
    for (_, document) in documents(&Shop::new()).await {
        let items = document["paths"].as_object().unwrap().values();
        let operations = items.flat_map(|item| item.as_object().unwrap().values());
        let used = operations.flat_map(|operation| operation["tags"].as_array().unwrap());
        let used: BTreeSet<&str> = used.map(name).collect();
        let tags = document["tags"].as_array().unwrap();
        assert!(tags.iter().all(|tag| !tag["description"].as_str().unwrap_or_default().is_empty()));
        let described: BTreeSet<&str> = tags.iter().map(|tag| name(&tag["name"])).collect();
        assert_eq!(used, described, "declare the tag next to the routes in http/resource/NAME.rs");
    }
}

fn name(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Serialising the document for each request would cost 2.5 ms of CPU.
#[tokio::test]
async fn the_document_is_serialised_once_and_every_answer_shares_its_bytes() {
    let shop = Shop::new();
    for version in Version::ALL {
        let path = version.document_path();
        let (first, second) = (shop.bytes(path).await, shop.bytes(path).await);
        assert!(!first.is_empty());
        assert_eq!((first.as_ptr(), first.len()), (second.as_ptr(), second.len()));
    }
}

#[tokio::test]
async fn an_operation_is_called_the_same_in_all_versions_and_the_page_shows_all_documents() {
    let shop = Shop::new();
    let names = |document: &Value| -> BTreeSet<String> {
        let items = document["paths"].as_object().unwrap().values();
        let operations = items.flat_map(|item| item.as_object().unwrap().values());
        operations.map(|operation| name(&operation["operationId"]).to_owned()).collect()
    };
    let [old, new] = [document(&shop, Version::V1).await, document(&shop, Version::V2).await];
    let (old, new) = (names(&old), names(&new));
    assert_eq!(old.difference(&new).collect::<Vec<_>>(), [""; 0], "version 2 lacks them");
    let added: Vec<_> = new.difference(&old).map(String::as_str).collect();
    let expected = ["changePreferences", "changeProfile", "replacePreferences", "replaceProfile"];
    assert_eq!(added, expected);
    let page = shop.bytes("/docs/swagger-initializer.js").await;
    let page = String::from_utf8(page.to_vec()).unwrap();
    for version in Version::ALL {
        assert!(page.contains(&format!("\"{}\"", version.document_path())), "{page}");
    }
}
