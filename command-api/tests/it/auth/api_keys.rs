//! Tests of API keys: what they allow, and who makes and revokes them.

use std::sync::Arc;

use chrono::TimeDelta;
use command_api::auth::api_key::{KEYS_MADE, MAX_KEYS, PREFIX};
use command_api::auth::{IdentityError, account};
use local_servers::until;
use serde_json::json;
use sqlx::Connection as _;

use super::support::{PASSWORD, Session, Site};
use crate::support::{Reply, Shop, ShopOptions, Stage};

const EMAIL: &str = "ada@example.com";

async fn exchange(site: &Site, key: &str) -> Reply {
    site.shop.post("/api/v1/auth/token", json!({"api_key": key})).await
}

/// Makes a key; returns its id and text.
async fn make(site: &Site, session: &Session, scopes: &str) -> (String, String) {
    let body = json!({"name": "stock-import", "scopes": scopes});
    let reply = site.as_user(session, "POST", "api-keys", Some(body)).await;
    let id = reply.made();
    (id, reply.body["data"]["api_key"].as_str().unwrap().to_owned())
}

fn access_token(reply: &Reply) -> Session {
    let access = reply.ok()["access_token"].as_str().unwrap().to_owned();
    Session { access, refresh: String::new(), id: String::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_shown_once_and_exchanged_for_tokens_of_its_scopes() {
    let site = Site::new().await;
    let (user, session) = site.with_role(EMAIL, "support").await;
    let (id, key) = make(&site, &session, "products:read orders:read").await;
    assert!(key.starts_with(PREFIX) && key.len() == PREFIX.len() + 43, "{key}");
    assert!(!site.dump().await.contains(&key));
    let list = site.as_user(&session, "GET", "api-keys", None).await;
    assert!(!list.body.to_string().contains(&key[PREFIX.len()..]));
    assert_eq!((&list.ok()[0]["id"], &list.ok()[0]["used_at"]), (&json!(id), &json!(null)));
    let token = exchange(&site, &key).await;
    assert!(token.ok().get("refresh_token").is_none());
    let claims = site.claims(&access_token(&token));
    assert_eq!((claims.sub, claims.sid.to_string()), (user, id));
    assert_eq!(claims.client_id, "stock-import");
    assert_eq!(claims.scope, "orders:read products:read");
    // The use is recorded to the minute.
    let used_at =
        async || site.as_user(&session, "GET", "api-keys", None).await.ok()[0]["used_at"].clone();
    let first = used_at().await;
    assert!(first.is_string());
    for (seconds, is_same) in [(59, true), (1, false)] {
        site.later(TimeDelta::seconds(seconds));
        exchange(&site, &key).await.ok();
        assert_eq!(used_at().await == first, is_same, "{seconds}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_allows_no_more_than_its_owner_holds_when_made_and_when_used() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    for (scopes, status, code) in [
        ("orders:read", 403, "auth/beyond-own"),
        ("orders:read.own access:manage", 403, "auth/beyond-own"),
        ("", 422, "invalid-content"),
        ("moons:eat", 422, "invalid-content"),
    ] {
        let body = json!({"name": "k", "scopes": scopes});
        site.as_user(&session, "POST", "api-keys", Some(body)).await.problem(status, code);
    }
    let past =
        json!({"name": "k", "scopes": "products:read", "expires_at": "2020-01-01T00:00:00Z"});
    let reply = site.as_user(&session, "POST", "api-keys", Some(past)).await;
    reply.wrong(&[("/expires_at", "in-the-past")]);
    let (_, admin) = site.with_role("admin@example.com", "admin").await;
    let (_, key) = make(&site, &admin, "users:read orders:read.own").await;
    site.sql("DELETE FROM auth.memberships").await;
    let claims = site.claims(&access_token(&exchange(&site, &key).await));
    assert_eq!(claims.scope, "users:read.own orders:read.own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_key_may_allow_is_in_the_token_and_in_the_table() {
    let site = Site::new().await;
    let body = json!({"name": "k", "scopes": "orders:read"});
    let (late, session) = site.signed_in(EMAIL).await;
    account::give_role(&mut site.owner().await, late, "support").await.unwrap();
    let refused = site.as_user(&session, "POST", "api-keys", Some(body.clone())).await;
    refused.problem(403, "auth/beyond-own");
    let (_, former) = site.with_role("former@example.com", "support").await;
    site.sql("DELETE FROM auth.memberships").await;
    let refused = site.as_user(&former, "POST", "api-keys", Some(body)).await;
    refused.problem(403, "auth/beyond-own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_or_expired_key_gives_nothing() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let (_, other) = site.signed_in("grace@example.com").await;
    let (id, key) = make(&site, &session, "products:read").await;
    let path = format!("api-keys/{id}");
    site.as_user(&other, "DELETE", &path, None).await.problem(404, "not-found");
    exchange(&site, &key).await.ok();
    let revoked_at = json!(site.now());
    for _ in 0..2 {
        assert_eq!(site.as_user(&session, "DELETE", &path, None).await.status, 204);
        site.later(TimeDelta::seconds(1));
    }
    let list = site.as_user(&session, "GET", "api-keys", None).await;
    assert_eq!(
        list.ok()[0]["revoked_at"].as_str().unwrap()[..19],
        revoked_at.as_str().unwrap()[..19]
    );
    exchange(&site, &key).await.problem(401, "auth/invalid-token");
    assert!(site.revoked_key(&id).await.is_some());
    let soon = site.now() + TimeDelta::seconds(5);
    let body = json!({"name": "k", "scopes": "products:read", "expires_at": soon});
    let made = site.as_user(&session, "POST", "api-keys", Some(body)).await;
    let key = made.body["data"]["api_key"].as_str().unwrap();
    exchange(&site, key).await.ok();
    site.later(TimeDelta::seconds(5));
    exchange(&site, key).await.problem(401, "auth/invalid-token");
    for nonsense in ["", PREFIX, "daybook_key_AAAA", &session.refresh, &session.access] {
        exchange(&site, nonsense).await.problem(401, "auth/invalid-token");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_revoked_while_it_is_exchanged_gives_nothing() {
    let (stage, _arrivals) = Stage::new();
    let site = Site::over(Shop::over(Arc::clone(&stage) as _, ShopOptions::default())).await;
    let (_, session) = site.signed_in(EMAIL).await;
    let (id, key) = make(&site, &session, "products:read").await;
    let (held, before) = (stage.hold_reads().await, stage.reads());
    let exchanged = tokio::join!(exchange(&site, &key), async {
        until("the user is looked up", async || stage.reads() > before).await;
        let path = format!("api-keys/{id}");
        assert_eq!(site.as_user(&session, "DELETE", &path, None).await.status, 204);
        drop(held);
    });
    exchanged.0.problem(401, "auth/invalid-token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_live_session_manages_keys() {
    let site = Site::new().await;
    let (user, session) = site.signed_in(EMAIL).await;
    let (id, key) = make(&site, &session, "products:read").await;
    let by_key = access_token(&exchange(&site, &key).await);
    let body = json!({"name": "k", "scopes": "products:read"});
    let path = format!("api-keys/{id}");
    for (method, path, body) in [
        ("POST", "api-keys", Some(body.clone())),
        ("GET", "api-keys", None),
        ("DELETE", &path, None),
    ] {
        let reply = site.as_user(&by_key, method, path, body.clone()).await;
        reply.problem(403, "auth/session-needed");
        let bad = Session { access: format!("{}x", session.access), ..session.clone() };
        site.as_user(&bad, method, path, body).await.problem(401, "invalid-token");
    }
    site.shop.post("/api/v1/auth/api-keys", body.clone()).await.problem(401, "sign-in");
    site.post_token("log-out", &session.refresh).await;
    let reply = site.as_user(&session, "POST", "api-keys", Some(body)).await;
    reply.problem(401, "invalid-token");
    // Also where the revocation is not known yet.
    let caller = site.claims(&session).caller();
    let refused = site.identity.keys(&caller).await;
    assert!(matches!(refused, Err(IdentityError::SignIn)), "{refused:?}");
    site.shop.delete(&format!("/api/v1/users/{user}")).await.ok();
    exchange(&site, &key).await.problem(401, "auth/invalid-token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_the_last_key_one_gets_it() {
    let site = Site::new().await;
    let (user, session) = site.signed_in(EMAIL).await;
    site.sql(&format!(
        "INSERT INTO auth.api_keys (key_id, user_id, name, key_hash, scopes, created_at)
         SELECT gen_random_uuid(), '{user}', 'k', sha256(n::text::bytea), 'products:read', now()
         FROM generate_series(2, {MAX_KEYS}) n"
    ))
    .await;
    let body = json!({"name": "k", "scopes": "products:read"});
    let asked = (0..8).map(|_| site.as_user(&session, "POST", "api-keys", Some(body.clone())));
    let replies = futures::future::join_all(asked).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.problem(409, "auth/too-many-keys");
    }
    let made = replies.iter().find(|reply| reply.status == 201).unwrap().made();
    site.as_user(&session, "DELETE", &format!("api-keys/{made}"), None).await;
    site.as_user(&session, "POST", "api-keys", Some(body)).await.made();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn making_and_revoking_keys_again_and_again_is_slowed_down_for_each_user() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let (_, other) = site.signed_in("grace@example.com").await;
    let body = || Some(json!({"name": "key", "scopes": "orders:read.own"}));
    let mut refused = None;
    for _ in 0..KEYS_MADE.0 * 2 {
        let made = site.as_user(&session, "POST", "api-keys", body()).await;
        if made.status == 429 {
            refused = Some(made);
            break;
        }
        let path = format!("api-keys/{}", made.made());
        assert_eq!(site.as_user(&session, "DELETE", &path, None).await.status, 204);
    }
    let refused = refused.expect("a user makes keys without end");
    refused.problem(429, "auth/too-many-attempts");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=KEYS_MADE.1.as_secs()).contains(&wait), "{wait}");
    site.as_user(&other, "POST", "api-keys", body()).await.made();
}

/// The only mail that waits, which is about this and goes to the owner of the keys.
async fn only_mail(site: &Site, subject: &str) -> String {
    let mut mails = site.mails().await;
    assert_eq!(mails.len(), 1, "{mails:?}");
    let (to, text) = mails.remove(0);
    assert_eq!(to, EMAIL);
    assert!(text.contains(&format!("Subject: {subject}\r\n")), "{text}");
    text
}

/// Where the mails say that keys are revoked.
const KEYS_PAGE: &str = "https://shop.example.com/api-keys";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_tells_of_a_new_key_and_where_to_revoke_it_without_showing_it() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let (_, key) = make(&site, &session, "products:read").await;
    let text = only_mail(&site, "An API key was made").await;
    assert!(text.contains(KEYS_PAGE) && !text.contains(&key), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_of_the_password_revokes_the_keys_and_a_mail_says_so() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let (_, other) = site.signed_in("grace@example.com").await;
    let (id, key) = make(&site, &session, "products:read").await;
    let (_, second) = make(&site, &session, "orders:read.own").await;
    let (_, of_other) = make(&site, &other, "products:read").await;
    exchange(&site, &key).await.ok();
    site.mails().await;
    site.shop.post("/api/v1/auth/password-reset", json!({"email": EMAIL})).await;
    let token = site.mailed_token(EMAIL).await;
    let body = json!({"token": token, "password": "a new password"});
    let reset = || site.shop.post("/api/v1/auth/password-reset/confirm", body.clone());
    let begun = reset().await.session();
    let text = only_mail(&site, "Your password was reset").await;
    assert!(text.contains("revoked (2 of them)") && text.contains(KEYS_PAGE), "{text}");
    for key in [&key, &second] {
        exchange(&site, key).await.problem(401, "auth/invalid-token");
    }
    assert!(site.revoked_key(&id).await.is_some(), "so are its access tokens");
    exchange(&site, &of_other).await.ok();
    // A repeat of the confirmation does not revoke what was made since.
    let (_, later) = make(&site, &begun, "products:read").await;
    reset().await.session();
    exchange(&site, &later).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_password_keeps_the_keys_and_the_mail_says_how_many_and_where_to_revoke_them() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let (_, key) = make(&site, &session, "products:read").await;
    make(&site, &session, "orders:read.own").await;
    // Neither a revoked nor an expired one is valid.
    let (gone, _) = make(&site, &session, "products:read").await;
    site.as_user(&session, "DELETE", &format!("api-keys/{gone}"), None).await;
    let soon = site.now() + TimeDelta::seconds(5);
    let brief = json!({"name": "k", "scopes": "products:read", "expires_at": soon});
    site.as_user(&session, "POST", "api-keys", Some(brief)).await.made();
    site.later(TimeDelta::seconds(5));
    site.mails().await;
    let body = json!({"current_password": PASSWORD, "new_password": "a new password"});
    assert_eq!(site.as_user(&session, "POST", "password", Some(body)).await.status, 204);
    let text = only_mail(&site, "Your password was changed").await;
    assert!(text.contains("stay valid (2 of them)") && text.contains(KEYS_PAGE), "{text}");
    exchange(&site, &key).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_made_while_the_password_is_reset_does_not_outlive_it() {
    let site = Site::new().await;
    let (user, session) = site.signed_in(EMAIL).await;
    let mut owner = site.owner().await;
    let mut reset = owner.begin().await.unwrap();
    let lock = "SELECT FROM auth.accounts WHERE user_id = $1 FOR UPDATE";
    sqlx::query(lock).bind(user).execute(&mut *reset).await.unwrap();
    let end = "UPDATE auth.sessions SET ended_at = now(), ended_why = 'password-changed'";
    sqlx::query(end).execute(&mut *reset).await.unwrap();
    let body = json!({"name": "k", "scopes": "products:read"});
    let (made, ()) = tokio::join!(site.as_user(&session, "POST", "api-keys", Some(body)), async {
        site.until_somebody_waits().await;
        reset.commit().await.unwrap();
    });
    made.problem(401, "sign-in");
    let keys = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM auth.api_keys");
    assert_eq!(keys.fetch_one(&mut site.owner().await).await.unwrap(), 0);
}
