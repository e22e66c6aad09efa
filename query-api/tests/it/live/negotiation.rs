//! What contradicts live updates, and what has none.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tower::ServiceExt as _;

use super::events::{Events, refused};
use crate::support::described::documents;
use crate::support::rows::fill;
use crate::support::tokens::admin;
use crate::support::{App, UserSeed, send_as};

#[tokio::test]
async fn a_moment_and_a_format_contradict_live_updates_and_the_field_is_named() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "pending", 0).await;
    for prefix in ["/api/v1", "/api/v2"] {
        for (path, fields) in [
            (format!("/orders/{order}?as_of=1"), &["/as_of"][..]),
            ("/sales/daily?as_of=1".to_owned(), &["/as_of"]),
            ("/sales/daily?as_of=1&format=csv".to_owned(), &["/format", "/as_of"]),
            ("/orders?format=csv".to_owned(), &["/format"]),
            ("/users?format=ndjson".to_owned(), &["/format"]),
            (format!("/users/{user}/orders?format=json&page=1"), &["/format"]),
        ] {
            let answer = refused(&app, Some(&admin()), &format!("{prefix}{path}")).await;
            assert_eq!(answer.status, 422, "{path}: {answer:?}");
            let errors = answer.body["errors"].as_array().unwrap().iter();
            let found: Vec<_> = errors.map(|error| (&error["pointer"], &error["code"])).collect();
            let code = json!("contradicts-accept");
            let fields: Vec<_> = fields.iter().map(|field| json!(field)).collect();
            assert_eq!(found, fields.iter().map(|field| (field, &code)).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn every_query_sends_live_updates_or_says_why_it_has_none() {
    let app = App::silent(2).await;
    fill(&app, 3).await;
    let (mut live, mut refused) = (0, 0);
    for document in documents() {
        let paths = document["paths"].as_object().unwrap();
        for (path, item) in paths.iter().filter(|(path, _)| path.starts_with("/api/")) {
            let id = match path.split_once("/{id}") {
                Some((list, _)) => app.get(list).await.ids().swap_remove(0),
                None => String::new(),
            };
            let request = Request::get(path.replace("{id}", &id))
                .header("accept", "text/event-stream")
                .header("authorization", format!("Bearer {}", admin()));
            let request = request.body(Body::empty()).unwrap();
            let content = &item["get"]["responses"]["200"]["content"];
            if content.get("text/event-stream").is_some() {
                let response = app.router.clone().oneshot(request).await.unwrap();
                assert_eq!(response.status(), 200, "{path}");
                Events::reading(response).until("complete").await;
                live += 1;
            } else {
                let answer = send_as(&app.router, None, request).await;
                let code = &answer.body["code"];
                assert_eq!((answer.status.as_u16(), code), (406, &json!("no-live-updates")));
                let detail = answer.body["detail"].as_str().unwrap();
                assert!(detail.contains(": ask for it without"), "{path}: {detail}");
                refused += 1;
            }
        }
    }
    assert!(live > 0 && refused > 0, "{live} are live, {refused} are not");
}

#[tokio::test]
async fn what_has_no_live_updates_says_so_unless_the_client_takes_json_too() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let token = admin();
    for prefix in ["/api/v1", "/api/v2"] {
        for path in [format!("{prefix}/users/{user}/history"), format!("{prefix}/search?q=a")] {
            let answer = refused(&app, Some(&token), &path).await;
            let code = &answer.body["code"];
            assert_eq!((answer.status.as_u16(), code), (406, &json!("no-live-updates")), "{path}");
            for accept in ["text/event-stream, */*", "application/json, text/event-stream"] {
                let request = Request::get(&path).header("accept", accept);
                let request = request.body(Body::empty()).unwrap();
                let answer = send_as(&app.router, Some(&token), request).await;
                assert_eq!(
                    (answer.status, answer.header("content-type")),
                    (axum::http::StatusCode::OK, "application/json"),
                    "{path}"
                );
            }
        }
    }
}
