//! Who sees what.

pub(crate) mod matrix;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use uuid::Uuid;

use crate::support::tokens::{admin, token, with_role};
use crate::support::{Answer, App, UserSeed, send, send_as};

/// A user with an order, and another one with two.
struct Two {
    app: App,
    ada: Uuid,
    grace: Uuid,
    order: Uuid,
}

impl Two {
    async fn new() -> Self {
        let app = App::start().await;
        let ada = app.add_user(&UserSeed::number(1)).await;
        let grace = app.add_user(&UserSeed::number(2)).await;
        let order = app.add_order(ada, "confirmed", 0).await;
        app.add_order(grace, "confirmed", 1).await;
        app.add_order(grace, "pending", 2).await;
        app.add_product(0).await;
        Self { app, ada, grace, order }
    }

    /// The answer to somebody with this token.
    async fn get(&self, token: Option<&str>, path: &str) -> Answer {
        let request = Request::get(path).body(Body::empty()).unwrap();
        send_as(&self.app.router, token, request).await
    }
}

#[tokio::test]
async fn lists_show_a_user_only_what_is_theirs_and_count_nothing_else() {
    let two = Two::new().await;
    let (ada, admin) = (with_role(two.ada, "user"), admin());
    for (path, hers, all) in [
        ("/api/v1/users?page=1", 1, 2),
        ("/api/v1/orders?page=1", 1, 3),
        ("/api/v1/orders?page=1&status=pending", 0, 1),
        (&format!("/api/v1/orders?page=1&user_id={}", two.grace), 0, 2),
    ] {
        for (token, expected) in [(&ada, hers), (&admin, all)] {
            let answer = two.get(Some(token), path).await;
            let total = &answer.body["meta"]["page"]["total_items"];
            let total = total.as_u64().and_then(|total| usize::try_from(total).ok());
            assert_eq!((answer.ids().len(), total), (expected, Some(expected)), "{path}");
        }
    }
    assert_eq!(two.get(Some(&ada), "/api/v1/orders").await.ids(), [two.order.to_string()]);
}

/// The body without what differs between any two answers.
fn comparable(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    for field in ["request_id", "instance"] {
        body[field].take();
    }
    body
}

#[tokio::test]
async fn what_is_not_the_callers_answers_as_what_is_absent() {
    let two = Two::new().await;
    let (grace, absent) = (with_role(two.grace, "user"), Uuid::now_v7());
    for (path, id) in [
        ("/api/v1/orders/{id}", two.order),
        ("/api/v1/users/{id}", two.ada),
        ("/api/v1/users/{id}/orders", two.ada),
        ("/api/v1/orders/{id}/history", two.order),
        ("/api/v1/users/{id}/history", two.ada),
    ] {
        let ask = async |token: &str, id: Uuid| {
            two.get(Some(token), &path.replace("{id}", &id.to_string())).await
        };
        let (theirs, nothing) = (ask(&grace, id).await, ask(&grace, absent).await);
        assert_eq!((theirs.status, nothing.status), (404.try_into().unwrap(), theirs.status));
        assert_eq!(comparable(&theirs), comparable(&nothing), "{path}");
        assert_eq!(ask(&with_role(two.ada, "user"), id).await.status, 200, "{path}");
        assert_eq!(ask(&with_role(two.grace, "support"), id).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn without_a_token_only_products_are_shown() {
    let two = Two::new().await;
    assert_eq!(two.get(None, "/api/v1/products").await.ids().len(), 1);
    for path in ["/api/v1/users", "/api/v1/orders", "/api/v1/sales/daily"] {
        let refused = two.get(None, path).await;
        assert_eq!((refused.status.as_u16(), &refused.body["code"]), (401, &"sign-in".into()));
        assert_eq!(refused.header("www-authenticate"), "Bearer");
    }
}

#[tokio::test]
async fn who_lacks_a_permission_is_told_which_one() {
    let two = Two::new().await;
    let nothing = token(two.ada, "products:read".parse().unwrap());
    let own_sales = token(two.ada, "sales:read.own".parse().unwrap());
    for (token, path, permission) in [
        (&nothing, "/api/v1/orders", "orders:read"),
        (&nothing, "/api/v1/users", "users:read"),
        // Sales belong to nobody.
        (&own_sales, "/api/v1/sales/daily", "sales:read"),
        (&own_sales, "/api/v1/audit", "audit:read"),
    ] {
        let refused = two.get(Some(token), path).await;
        let code = &refused.body["code"];
        assert_eq!((refused.status.as_u16(), code), (403, &"insufficient-scope".into()), "{path}");
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{permission}\"");
        assert_eq!(refused.header("www-authenticate"), challenge);
    }
}

#[tokio::test]
async fn a_token_that_is_not_valid_never_counts_as_none() {
    let two = Two::new().await;
    for path in ["/api/v1/products", "/api/v1/orders", "/openapi.json"] {
        let request = Request::get(path).header("authorization", "Bearer x");
        let refused = send(&two.app.router, request.body(Body::empty()).unwrap()).await;
        let code = &refused.body["code"];
        assert_eq!((refused.status.as_u16(), code), (401, &"invalid-token".into()), "{path}");
    }
}
