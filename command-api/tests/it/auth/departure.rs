//! Tests of users who leave: what they lose here when they are deactivated or erased.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use command_api::auth::account;
use command_api::auth::database::migrate;
use event_store::encryption::MemoryKeys;
use event_store::erasure::{EraseRequest, erase};
use local_servers::until;
use serde_json::json;
use service_kit::Pulse;
use service_kit::health::Health;
use sqlx::Connection as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::support::{PASSWORD, Session, Site};
use crate::operations::{asked_with, ended_with, erasure, user};
use crate::process::{Process, database};
use crate::support::{Reply, tokens};

const EMAIL: &str = "ada@example.com";

fn pulse(health: &Health) -> Pulse {
    health.pulse("departed_users", Duration::from_mins(1))
}

async fn follow(site: &Site) {
    site.identity.follow(&pulse(&Health::new())).await.unwrap();
}

async fn deactivate(site: &Site, user: Uuid) {
    site.shop.delete(&format!("/api/v1/users/{user}")).await.ok();
}

/// Asks for something that every session may have.
async fn ask(site: &Site, session: &Session, user: Uuid) -> Reply {
    site.as_user(session, "GET", &format!("users/{user}/sessions"), None).await
}

async fn erase_in_log(site: &Site, subject: Uuid) {
    let request = EraseRequest { subject, by: "ops-7".to_owned() };
    erase(site.shop.store.as_ref(), &MemoryKeys::new(), &request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deactivated_user_is_refused_at_once_and_loses_the_sessions() {
    let site = Site::new().await;
    let (user, session) = site.signed_in(EMAIL).await;
    let (other, stays) = site.signed_in("grace@example.com").await;
    ask(&site, &session, user).await.ok();
    deactivate(&site, user).await;
    ask(&site, &session, user).await.problem(401, "invalid-token");
    follow(&site).await;
    assert_eq!(site.ends().await, [Some("user-gone".to_owned()), None]);
    assert!(site.revoked(&session).await.is_some() && site.revoked_user(user).await.is_some());
    assert_eq!(site.revoked_user(other).await, None);
    ask(&site, &stays, other).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_deactivates_is_heard_of_too() {
    let site = Site::new().await;
    for atomic in [false, true] {
        let (user, session) = site.signed_in(&format!("{atomic}@example.com")).await;
        let command = json!({"type": "deactivateUser", "id": user});
        let body = json!({"commands": [command], "atomic": atomic});
        site.shop.post("/api/v1/commands", body).await.ok();
        ask(&site, &session, user).await.problem(401, "invalid-token");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_administrator_who_may_sign_in_cannot_be_deactivated() {
    let site = Site::new().await;
    let (first, one) = site.with_role("one@example.com", "admin").await;
    let (second, _) = site.with_role("two@example.com", "admin").await;
    let (user, _) = site.signed_in(EMAIL).await;
    deactivate(&site, second).await;
    let path = format!("/api/v1/users/{first}");
    site.shop.delete(&path).await.problem(409, "auth/last-administrator");
    let role = format!("users/{first}/roles/admin");
    let refused = site.as_user(&one, "DELETE", &role, None).await;
    refused.problem(409, "auth/last-administrator");
    deactivate(&site, user).await;
    site.shop.act(&format!("/api/v1/users/{second}/reactivate")).await.ok();
    deactivate(&site, first).await;
    site.sql("REVOKE SELECT ON auth.memberships FROM auth_writer").await;
    let refused = site.shop.delete(&format!("/api/v1/users/{second}")).await;
    refused.problem(503, "auth/unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_for_before_gives_no_session_after_the_departure() {
    let site = Site::new().await;
    let (user, session) = site.signed_in(EMAIL).await;
    let key = json!({"name": "k", "scopes": "products:read"});
    let key = site.as_user(&session, "POST", "api-keys", Some(key)).await;
    let key = json!({"api_key": key.body["data"]["api_key"]});
    let reset = json!({"email": EMAIL});
    site.shop.post("/api/v1/auth/password-reset", reset).await;
    let token = site.newest_mailed_token(EMAIL).await;
    let reset = json!({"token": token, "password": "a new password"});
    let post = async |operation: &str, body: &serde_json::Value| {
        site.shop.post(&format!("/api/v1/auth/{operation}"), body.clone()).await
    };
    let log_in = json!({"email": EMAIL, "password": PASSWORD});
    for (operation, body, code) in [
        ("log-in", &log_in, "auth/wrong-credentials"),
        ("token", &key, "auth/invalid-token"),
        ("password-reset/confirm", &reset, "auth/invalid-token"),
    ] {
        // It has asked whether the user may sign in, and waits here while they leave.
        let mut owner = site.owner().await;
        let mut held = owner.begin().await.unwrap();
        let lock = "SELECT FROM auth.accounts FOR UPDATE";
        sqlx::query(lock).execute(&mut *held).await.unwrap();
        let leave = async {
            until("it waits for the account", async || waits(&site).await).await;
            deactivate(&site, user).await;
            held.rollback().await.unwrap();
        };
        tokio::join!(post(operation, body), leave).0.problem(401, code);
        let ends = site.ends().await;
        assert!(ends.iter().skip(1).all(Option::is_some), "{operation}: {ends:?}");
        site.shop.act(&format!("/api/v1/users/{user}/reactivate")).await.ok();
    }
}

/// Whether anything waits for a lock.
async fn waits(site: &Site) -> bool {
    let waits = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE NOT granted AND datname = current_database())";
    sqlx::query_scalar(waits).fetch_one(&mut site.owner().await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_mailed_tokens_of_before_stay_void_after_a_reactivation() {
    for late in [false, true] {
        let site = Site::new().await;
        let (user, session) = site.signed_in(EMAIL).await;
        let key = json!({"name": "k", "scopes": "products:read"});
        let key = site.as_user(&session, "POST", "api-keys", Some(key)).await;
        let exchange = json!({"api_key": key.body["data"]["api_key"]});
        site.shop.post("/api/v1/auth/password-reset", json!({"email": EMAIL})).await;
        let token = site.newest_mailed_token(EMAIL).await;
        deactivate(&site, user).await;
        if !late {
            follow(&site).await;
        }
        site.shop.act(&format!("/api/v1/users/{user}/reactivate")).await.ok();
        // More than the store's clock is ahead of the test's, less than what verifiers tolerate.
        site.later(TimeDelta::seconds(20));
        let next = site.log_in(EMAIL, PASSWORD).await.session();
        let new_key = json!({"name": "k2", "scopes": "products:read"});
        let new_key = site.as_user(&next, "POST", "api-keys", Some(new_key)).await;
        follow(&site).await;
        let refused = site.shop.post("/api/v1/auth/token", exchange).await;
        refused.problem(401, "auth/invalid-token");
        let reset = json!({"token": token, "password": "a new password"});
        let refused = site.shop.post("/api/v1/auth/password-reset/confirm", reset).await;
        refused.problem(401, "auth/invalid-token");
        let exchange = json!({"api_key": new_key.body["data"]["api_key"]});
        site.shop.post("/api/v1/auth/token", exchange).await.ok();
        ask(&site, &next, user).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_begins_after_a_reactivation_stays_however_often_the_log_is_followed() {
    let site = Site::new().await;
    let (user, _) = site.signed_in(EMAIL).await;
    deactivate(&site, user).await;
    site.shop.act(&format!("/api/v1/users/{user}/reactivate")).await.ok();
    // Less than what verifiers tolerate.
    site.later(TimeDelta::seconds(20));
    let next = site.log_in(EMAIL, PASSWORD).await.session();
    for forgotten in [
        "DELETE FROM auth.followed",
        // A mark of another history.
        "UPDATE auth.followed SET event_id = gen_random_uuid()",
        "UPDATE auth.followed SET position = 1000000",
    ] {
        site.sql(forgotten).await;
        follow(&site).await;
        assert_eq!(site.ends().await, [Some("user-gone".to_owned()), None], "{forgotten}");
        ask(&site, &next, user).await.ok();
    }
    let position = sqlx::query_scalar::<_, i64>("SELECT position FROM auth.followed");
    let position = position.fetch_one(&mut site.owner().await).await.unwrap();
    assert!(position < 1_000_000, "it began at the start of the other history");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_an_erased_person_and_no_account_is_opened_again() {
    let site = Site::new().await;
    let (user, session) = site.with_role(EMAIL, "support").await;
    let (other, stays) = site.signed_in("grace@example.com").await;
    let key = json!({"name": "k", "scopes": "products:read"});
    site.as_user(&session, "POST", "api-keys", Some(key)).await.made();
    assert_eq!(site.mails().await.len(), 1, "of the key");
    let email = json!({"email": "ada@new.example.com", "password": PASSWORD});
    site.as_user(&session, "POST", "email", Some(email)).await;
    let credentials = site.identity.credential_store();
    assert_eq!(credentials.rows_of(user).await.unwrap(), 6, "one row of each kind");
    erase_in_log(&site, user).await;
    for _ in 0..2 {
        follow(&site).await;
        assert_eq!(credentials.rows_of(user).await.unwrap(), 0);
        site.sql("DELETE FROM auth.followed").await;
    }
    let dump = site.dump().await;
    let rows: Vec<_> = dump.lines().filter(|row| row.contains(&user.to_string())).collect();
    assert!(rows.len() == 1 && !rows[0].contains("argon2"), "{rows:?}");
    assert!(!dump.contains("ada@"), "{dump}");
    assert!(site.revoked_user(user).await.is_some());
    let opened = account::open(&mut site.owner().await, user, "hash", site.now()).await;
    assert!(!opened.unwrap());
    ask(&site, &stays, other).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_task_hears_of_a_departure_and_health_tells_when_it_cannot_follow() {
    let site = Arc::new(Site::new().await);
    let (user, session) = site.signed_in(EMAIL).await;
    let health = Health::new();
    let (component, pulse) = (health.component("departed_users"), pulse(&health));
    let stop = CancellationToken::new();
    let (follower, seen, ended) = (Arc::clone(&site), component.clone(), stop.clone());
    let task = tokio::spawn(async move {
        follower.identity.keep_following(&seen, &pulse, ended).await;
    });
    until("the log is followed", async || component.is_ready()).await;
    deactivate(&site, user).await;
    until("the session has ended", async || site.revoked(&session).await.is_some()).await;
    site.sql("REVOKE SELECT ON auth.followed FROM auth_writer").await;
    until("health tells of it", async || !component.is_ready()).await;
    site.sql("GRANT SELECT ON auth.followed TO auth_writer").await;
    until("it goes on", async || component.is_ready()).await;
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proof_of_an_erasure_covers_the_credentials_or_says_that_it_does_not() {
    let database = database().await;
    let url = database.url();
    migrate(&url.into()).await.unwrap();
    for auth in [None, Some(("AUTH_URL", url))] {
        let mail = tempfile::tempdir().unwrap();
        let folder = ("MAIL_FOLDER", mail.path().to_str().unwrap());
        let settings = [("EVENT_STORE_URL", url), folder].into_iter().chain(auth);
        let process = Process::start(&settings.collect::<Vec<_>>());
        process.readiness(200).await;
        let subject = user(&process).await;
        // Where people can log in, an operation takes a token.
        let admin = tokens::admin();
        let token = auth.map(|_| admin.as_str());
        let id = asked_with(&process, token, erasure(&subject)).await;
        let operation = ended_with(&process, token, &id).await;
        assert_eq!(operation["state"], "succeeded", "{operation:#}");
        let proof = &operation["result"];
        let says_so = proof["out_of_reach"].to_string().contains("AUTH_URL is absent");
        let covered = json!([{"store": "credentials", "rows_left": 0}]);
        let expected = if auth.is_some() { covered } else { json!([]) };
        assert_eq!((&proof["elsewhere"], says_so), (&expected, auth.is_none()), "{proof:#}");
        assert_eq!(process.stop().0, Some(0));
    }
}
