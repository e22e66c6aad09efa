//! Tests of the descriptions of the events: `/asyncapi.json` and `/schemas`.

use axum::body::Body;
use axum::http::Request;
use command_api::events;

use crate::support::{Reply, Shop};

async fn get(shop: &Shop, path: &str, tag: Option<&str>) -> Reply {
    let mut request = Request::get(path);
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    shop.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn the_document_of_the_events_is_served_and_is_fetched_once() {
    let shop = Shop::new();
    let reply = get(&shop, "/asyncapi.json", None).await;
    assert_eq!((reply.status.as_u16(), &reply.body["asyncapi"]), (200, &"3.0.0".into()));
    assert_eq!(reply.header("content-type"), "application/vnd.aai.asyncapi+json;version=3.0.0");
    let tag = reply.header("etag");
    assert!(tag.starts_with('"') && tag.len() > 16, "{tag}");
    assert_eq!(get(&shop, "/asyncapi.json", Some(tag)).await.status, 304);
    assert_eq!(get(&shop, "/asyncapi.json", Some("\"another\"")).await.status, 200);
}

#[tokio::test]
async fn the_schema_of_every_version_is_served() {
    let shop = Shop::new();
    for event in events::schemas() {
        let path = format!("/schemas/{}/{}", event.event_type, event.version);
        let reply = get(&shop, &path, None).await;
        assert_eq!((reply.status.as_u16(), &reply.body), (200, &event.schema), "{path}");
        assert_eq!(reply.header("content-type"), "application/schema+json");
        assert_eq!(get(&shop, &path, Some(reply.header("etag"))).await.status, 304);
    }
    for path in ["/schemas/order.placed/99", "/schemas/order.lost/1", "/schemas/order.placed/x"] {
        get(&shop, path, None).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn every_version_that_can_be_in_the_log_has_a_channel_and_a_message() {
    let document = events::asyncapi();
    for event in events::schemas() {
        let (name, event_type) = (event.name(), event.event_type);
        let channel = &document["channels"][event_type];
        assert_eq!(channel["address"], format!("events.{event_type}"));
        assert!(channel["messages"][&name].is_object(), "{name}");
        let operation = &document["operations"][format!("receive.{event_type}")];
        assert_eq!(operation["action"], "receive", "{name}");
        let message = &document["components"]["messages"][&name];
        assert!(message["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{name}");
    }
}
