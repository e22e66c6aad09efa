//! Tests that a user who is deactivated gets in by no way.

use serde_json::{Value, json};

use super::support::{PASSWORD, Site};
use crate::support::Reply;

const EMAIL: &str = "ada@example.com";

async fn post(site: &Site, operation: &str, body: Value) -> Reply {
    site.shop.post(&format!("/api/v1/auth/{operation}"), body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_mailed_before_counts_no_more_and_nothing_else_is_mailed() {
    const NEW: &str = "ada@new.example.com";
    let site = Site::new().await;
    let (user, session) = site.signed_in(EMAIL).await;
    post(&site, "password-reset", json!({"email": EMAIL})).await;
    let reset = site.mailed_token(EMAIL).await;
    site.as_user(&session, "POST", "email", Some(json!({"email": NEW, "password": PASSWORD})))
        .await;
    let email = site.mailed_token(NEW).await;
    site.shop.delete(&format!("/api/v1/users/{user}")).await.ok();
    let before = site.shop.types().await;
    let body = json!({"token": reset, "password": "a new password"});
    let refused = post(&site, "password-reset/confirm", body).await;
    refused.problem(401, "auth/invalid-token");
    let refused = post(&site, "email/confirm", json!({"token": email})).await;
    refused.problem(401, "auth/invalid-token");
    let body = json!({"current_password": PASSWORD, "new_password": "a new password"});
    let refused = site.as_user(&session, "POST", "password", Some(body)).await;
    refused.problem(401, "invalid-token");
    post(&site, "password-reset", json!({"email": EMAIL})).await;
    assert_eq!(site.mails().await, []);
    assert_eq!(site.shop.types().await, before);
    site.shop.act(&format!("/api/v1/users/{user}/reactivate")).await.ok();
    site.log_in(EMAIL, PASSWORD).await.session();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_confirmation_of_their_sign_up_begins_no_session() {
    let site = Site::new().await;
    post(&site, "sign-up", json!({"email": EMAIL, "name": "Ada"})).await;
    let body = json!({"token": site.mailed_token(EMAIL).await, "password": PASSWORD});
    let confirmed = post(&site, "sign-up/confirm", body.clone()).await;
    let user = confirmed.ok()["user_id"].as_str().unwrap();
    site.shop.delete(&format!("/api/v1/users/{user}")).await.ok();
    let repeated = post(&site, "sign-up/confirm", body).await;
    repeated.problem(401, "auth/invalid-token");
    assert_eq!(site.ends().await.len(), 1);
}
