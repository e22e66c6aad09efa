//! Tests of sign-up, new passwords and new addresses, each proven by a mail.

use std::sync::Arc;

use chrono::TimeDelta;
use command_api::auth::password::{Password, Passwords};
use event_store::StoreError;
use serde_json::{Value, json};
use sqlx::Connection as _;

use super::support::{PASSWORD, Session, Site, altered};
use crate::support::{Cue, Reply, Shop, ShopOptions, Stage};

const EMAIL: &str = "ada@example.com";

async fn ask(site: &Site, operation: &str, body: Value) -> Reply {
    site.shop.post(&format!("/api/v1/auth/{operation}"), body).await
}

async fn sign_up(site: &Site, email: &str) -> Reply {
    ask(site, "sign-up", json!({"email": email, "name": "Ada"})).await
}

async fn confirm(site: &Site, operation: &str, token: &str, password: &str) -> Reply {
    ask(site, &format!("{operation}/confirm"), json!({"token": token, "password": password})).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_up_that_is_confirmed_makes_a_user_who_can_log_in() {
    let site = Site::new().await;
    assert_eq!(sign_up(&site, EMAIL).await.status, 202);
    assert_eq!(site.shop.types().await, [""; 0], "nobody is registered before the proof");
    let token = site.mailed_token(EMAIL).await;
    assert!(!site.dump().await.contains(&token));
    confirm(&site, "sign-up", &token, "short").await.wrong(&[("/password", "password/unfit")]);
    let reply = confirm(&site, "sign-up", &token, PASSWORD).await;
    let (user, session) = (reply.ok()["user_id"].clone(), reply.session());
    assert_eq!(site.claims(&session).roles, ["user"]);
    let log = site.shop.log().await;
    assert_eq!((log.len(), log[0].0.as_str(), &log[0].1["user_id"]), (1, "user.registered", &user));
    assert_eq!(site.log_in(EMAIL, PASSWORD).await.ok()["user_id"], user);
    let again = confirm(&site, "sign-up", &token, PASSWORD).await;
    assert_eq!(again.ok()["user_id"], user, "a repeat after a lost answer");
    let other = confirm(&site, "sign-up", &token, "another password").await;
    other.problem(401, "auth/invalid-token");
    assert_eq!(site.shop.types().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_up_tells_only_the_owner_that_the_address_is_taken() {
    let site = Site::new().await;
    site.user(EMAIL, PASSWORD).await;
    let taken = sign_up(&site, "ADA@example.com").await;
    let mails = site.mails().await;
    assert_eq!(mails.len(), 1);
    assert!(mails[0].1.contains("You have an account already"), "{}", mails[0].1);
    assert!(!mails[0].1.contains("token"), "{}", mails[0].1);
    let free = sign_up(&site, "new@example.com").await;
    assert_eq!((taken.status, &taken.body["data"]), (free.status, &free.body["data"]));
    let names = |reply: &Reply| reply.headers.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&taken), names(&free));
    let user = site.shop.types().await;
    assert_eq!(user.len(), 1, "nobody is registered by asking");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmation_is_completed_by_a_repeat_after_a_crash_at_any_step() {
    let (stage, _arrivals) = Stage::new();
    let shop = Shop::over(Arc::clone(&stage) as _, ShopOptions::default());
    let site = Site::over(shop).await;
    sign_up(&site, EMAIL).await;
    let token = site.mailed_token(EMAIL).await;
    // Before the registration.
    stage.cue(Cue::Fail(StoreError::Unavailable(None)));
    stage.go();
    confirm(&site, "sign-up", &token, PASSWORD).await.problem(503, "store/unavailable");
    assert_eq!(site.shop.types().await, [""; 0]);
    // After the registration, before its answer.
    stage.cue(Cue::LoseAnswer);
    stage.go();
    confirm(&site, "sign-up", &token, PASSWORD).await.problem(503, "store/outcome-unknown");
    assert_eq!(site.shop.types().await.len(), 1);
    // After the registration, before the account.
    site.sql("REVOKE INSERT ON auth.accounts FROM auth_writer").await;
    confirm(&site, "sign-up", &token, PASSWORD).await.problem(503, "auth/unavailable");
    // After the account, before the session.
    site.sql(
        "GRANT INSERT ON auth.accounts TO auth_writer;
         REVOKE INSERT ON auth.sessions FROM auth_writer",
    )
    .await;
    confirm(&site, "sign-up", &token, PASSWORD).await.problem(503, "auth/unavailable");
    site.sql("GRANT INSERT ON auth.sessions TO auth_writer").await;
    confirm(&site, "sign-up", &token, PASSWORD).await.session();
    assert_eq!(site.shop.types().await, ["user.registered"]);
    site.log_in(EMAIL, PASSWORD).await.session();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_was_taken_meanwhile_stays_with_its_owner() {
    let site = Site::new().await;
    sign_up(&site, EMAIL).await;
    let token = site.mailed_token(EMAIL).await;
    site.user(EMAIL, "the other password").await;
    confirm(&site, "sign-up", &token, PASSWORD).await.problem(409, "user/email-taken");
    site.log_in(EMAIL, PASSWORD).await.problem(401, "auth/wrong-credentials");
    site.log_in(EMAIL, "the other password").await.session();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_counts_for_its_purpose_within_its_time() {
    let site = Site::new().await;
    sign_up(&site, EMAIL).await;
    let token = site.mailed_token(EMAIL).await;
    for (operation, token) in [
        ("sign-up", altered(&token)),
        ("sign-up", String::new()),
        ("sign-up", "A".repeat(10_000)),
        ("password-reset", token.clone()),
    ] {
        let reply = confirm(&site, operation, &token, PASSWORD).await;
        reply.problem(401, "auth/invalid-token");
    }
    let reply = ask(&site, "email/confirm", json!({"token": token})).await;
    reply.problem(401, "auth/invalid-token");
    site.later(TimeDelta::hours(1));
    confirm(&site, "sign-up", &token, PASSWORD).await.problem(401, "auth/invalid-token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_sets_the_password_once_and_ends_all_sessions() {
    const NEW: &str = "a new password";
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let known = ask(&site, "password-reset", json!({"email": EMAIL})).await;
    let token = site.mailed_token(EMAIL).await;
    let unknown = ask(&site, "password-reset", json!({"email": "nobody@example.com"})).await;
    assert_eq!((known.status, &known.body["data"]), (unknown.status, &unknown.body["data"]));
    assert_eq!(site.mails().await, [], "nobody gets no mail");
    ask(&site, "password-reset", json!({"email": EMAIL})).await;
    let other_token = site.mailed_token(EMAIL).await;
    confirm(&site, "password-reset", &token, NEW).await.session();
    site.refresh(&session.refresh).await.problem(401, "auth/invalid-token");
    assert!(site.revoked(&session).await.is_some());
    site.log_in(EMAIL, PASSWORD).await.problem(401, "auth/wrong-credentials");
    site.log_in(EMAIL, NEW).await.session();
    for token in [&token, &other_token] {
        let again = confirm(&site, "password-reset", token, "one more password").await;
        again.problem(401, "auth/invalid-token");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_an_account_gets_one_by_the_mailbox() {
    let site = Site::new().await;
    let user = site.shop.user(EMAIL).await;
    ask(&site, "password-reset", json!({"email": EMAIL})).await;
    let token = site.mailed_token(EMAIL).await;
    let reply = confirm(&site, "password-reset", &token, PASSWORD).await;
    assert_eq!(reply.ok()["user_id"], user);
    site.log_in(EMAIL, PASSWORD).await.session();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_knows_the_password_changes_it_and_keeps_their_session_alone() {
    const NEW: &str = "a new password";
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let other = site.log_in(EMAIL, PASSWORD).await.session();
    let change = async |current: &str, session: &Session| {
        let body = json!({"current_password": current, "new_password": NEW});
        site.as_user(session, "POST", "password", Some(body)).await
    };
    change("a wrong guess", &session).await.problem(401, "auth/wrong-credentials");
    assert_eq!(change(PASSWORD, &session).await.status, 204);
    change(PASSWORD, &session).await.problem(401, "auth/wrong-credentials");
    site.refresh(&other.refresh).await.problem(401, "auth/invalid-token");
    site.refresh(&session.refresh).await.session();
    site.log_in(EMAIL, NEW).await.session();
    let mails = site.mails().await;
    assert_eq!((mails.len(), mails[0].0.as_str()), (1, EMAIL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_password_voids_the_resets_that_were_mailed_before() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    ask(&site, "password-reset", json!({"email": EMAIL})).await;
    let token = site.mailed_token(EMAIL).await;
    let body = json!({"current_password": PASSWORD, "new_password": "a new password"});
    assert_eq!(site.as_user(&session, "POST", "password", Some(body)).await.status, 204);
    let reply = confirm(&site, "password-reset", &token, "one more password").await;
    reply.problem(401, "auth/invalid-token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_the_current_password_are_refused_like_those_of_a_log_in() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let change = async |current: &str| {
        let body = json!({"current_password": current, "new_password": "a new password"});
        site.as_user(&session, "POST", "password", Some(body)).await
    };
    for _ in 0..5 {
        change("a wrong guess").await.problem(401, "auth/wrong-credentials");
    }
    change(PASSWORD).await.problem(429, "auth/too-many-attempts");
    site.log_in(EMAIL, PASSWORD).await.session();
}

/// Changes the password of every account in a transaction that stays open while `work` begins, and
/// commits it when `work` waits for it.
async fn changed_meanwhile(site: &Site, work: impl Future<Output = Reply>) -> Reply {
    let mut owner = site.owner().await;
    let mut change = owner.begin().await.unwrap();
    let set = "UPDATE auth.accounts SET password_hash = '$argon2id$changed'";
    sqlx::query(set).execute(&mut *change).await.unwrap();
    let commit = async {
        site.until_somebody_waits().await;
        change.commit().await.unwrap();
    };
    tokio::join!(work, commit).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_password_begins_no_session_and_sets_no_other_while_it_is_changed() {
    let site = Site::new().await;
    let (user, session) = site.signed_in(EMAIL).await;
    let log_in = changed_meanwhile(&site, site.log_in(EMAIL, PASSWORD)).await;
    log_in.problem(401, "auth/wrong-credentials");
    assert_eq!(site.ends().await.len(), 1);
    let right =
        Passwords::new(1).hash(Password::new(PASSWORD.into()).unwrap(), None).await.unwrap();
    let again = format!("UPDATE auth.accounts SET password_hash = '{right}'");
    site.sql(&format!("{again} WHERE user_id = '{user}'")).await;
    let body = json!({"current_password": PASSWORD, "new_password": "a new password"});
    let change = site.as_user(&session, "POST", "password", Some(body));
    changed_meanwhile(&site, change).await.problem(401, "auth/wrong-credentials");
    assert!(site.dump().await.contains("$argon2id$changed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_can_be_written_in_another_way_and_nobody_is_told_of_it() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let body = json!({"email": "Ada@example.com", "password": PASSWORD});
    assert_eq!(site.as_user(&session, "POST", "email", Some(body)).await.status, 202);
    let token = site.mailed_token("Ada@example.com").await;
    let reply = ask(&site, "email/confirm", json!({"token": token})).await;
    assert_eq!(reply.status, 204, "{:#}", reply.body);
    assert_eq!(site.mails().await, [], "the mailbox is the same");
    let (event_type, event) = site.shop.log().await.pop().unwrap();
    assert_eq!(event_type, "user.email_changed");
    assert_eq!(event["email"]["$personal"], "Ada@example.com");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_changes_when_the_new_one_is_proven() {
    const NEW: &str = "ada@new.example.com";
    let site = Site::new().await;
    let (user, session) = site.signed_in(EMAIL).await;
    site.user("grace@example.com", PASSWORD).await;
    let ask_email = async |email: &str| {
        let body = json!({"email": email, "password": PASSWORD});
        site.as_user(&session, "POST", "email", Some(body)).await
    };
    let taken = ask_email("grace@example.com").await;
    let mails = site.mails().await;
    assert!(mails[0].1.contains("You have an account already") && mails.len() == 1);
    let free = ask_email(NEW).await;
    assert_eq!((taken.status, &taken.body["data"]), (free.status, &free.body["data"]));
    let token = site.mailed_token(NEW).await;
    site.log_in(NEW, PASSWORD).await.problem(401, "auth/wrong-credentials");
    for _ in 0..2 {
        let reply = ask(&site, "email/confirm", json!({"token": token})).await;
        assert_eq!(reply.status, 204, "{:#}", reply.body);
    }
    let mails = site.mails().await;
    assert_eq!((mails.len(), mails[0].0.as_str()), (1, EMAIL), "the old address is told");
    assert_eq!(site.log_in(NEW, PASSWORD).await.ok()["user_id"], user.to_string());
    site.log_in(EMAIL, PASSWORD).await.problem(401, "auth/wrong-credentials");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_mailbox_is_not_flooded() {
    let site = Site::new().await;
    for _ in 0..3 {
        assert_eq!(sign_up(&site, EMAIL).await.status, 202);
    }
    let refused = sign_up(&site, "ADA@example.com").await;
    refused.problem(429, "auth/too-many-attempts");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(sign_up(&site, "grace@example.com").await.status, 202);
}
