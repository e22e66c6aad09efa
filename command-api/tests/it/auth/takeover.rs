//! Tests that somebody who once got hold of a token or a mailbox does not keep the account.

use chrono::TimeDelta;
use futures::future::join_all;
use serde_json::{Value, json};

use super::support::{PASSWORD, Session, Site};
use crate::support::{Reply, json_request};

const EMAIL: &str = "ada@example.com";
const EVIL: &str = "evil@example.com";
const NEW: &str = "a new password";

async fn ask(site: &Site, operation: &str, body: Value) -> Reply {
    site.shop.post(&format!("/api/v1/auth/{operation}"), body).await
}

async fn ask_email(site: &Site, session: &Session, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password});
    site.as_user(session, "POST", "email", Some(body)).await
}

/// A token with which the address of the session's user changes.
async fn change_token(site: &Site, session: &Session, email: &str) -> String {
    assert_eq!(ask_email(site, session, email, PASSWORD).await.status, 202);
    site.mailed_token(email).await
}

async fn reset_token(site: &Site, email: &str) -> String {
    assert_eq!(ask(site, "password-reset", json!({"email": email})).await.status, 202);
    site.mailed_token(email).await
}

async fn reset(site: &Site, token: &str, password: &str) -> Reply {
    let body = json!({"token": token, "password": password});
    ask(site, "password-reset/confirm", body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_address_takes_the_current_password() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let without = json!({"email": EVIL});
    let refused = site.as_user(&session, "POST", "email", Some(without)).await;
    assert_eq!(refused.status, 422, "{:#}", refused.body);
    for _ in 0..5 {
        let wrong = ask_email(&site, &session, EVIL, "a wrong guess").await;
        wrong.problem(401, "auth/wrong-credentials");
    }
    let throttled = ask_email(&site, &session, EVIL, PASSWORD).await;
    throttled.problem(429, "auth/too-many-attempts");
    assert_eq!(site.mails().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_owner_does_against_a_thief_ends_the_change_of_address_that_waits() {
    for remedy in ["reset", "change", "log-out-everywhere"] {
        let site = Site::new().await;
        let (_, session) = site.signed_in(EMAIL).await;
        let token = change_token(&site, &session, EVIL).await;
        let owner = site.log_in(EMAIL, PASSWORD).await.session();
        match remedy {
            "reset" => {
                let token = reset_token(&site, EMAIL).await;
                reset(&site, &token, NEW).await.session();
            }
            "change" => {
                let body = json!({"current_password": PASSWORD, "new_password": NEW});
                let changed = site.as_user(&owner, "POST", "password", Some(body)).await;
                assert_eq!(changed.status, 204);
            }
            _ => {
                let ended = site.post_token(remedy, &owner.refresh).await;
                assert_eq!(ended.status, 204, "{:#}", ended.body);
            }
        }
        let reply = ask(&site, "email/confirm", json!({"token": token})).await;
        reply.problem(401, "auth/invalid-token");
        let types = site.shop.types().await;
        assert_eq!(types, ["user.registered"], "{remedy}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_mailed_to_the_old_address_counts_no_more() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let old = reset_token(&site, EMAIL).await;
    let change = change_token(&site, &session, "ada@new.example.com").await;
    let confirmed = ask(&site, "email/confirm", json!({"token": change})).await;
    assert_eq!(confirmed.status, 204);
    reset(&site, &old, NEW).await.problem(401, "auth/invalid-token");
    site.log_in("ada@new.example.com", PASSWORD).await.session();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_resets_at_once_with_one_token_one_counts() {
    let site = Site::new().await;
    site.user(EMAIL, PASSWORD).await;
    let token = reset_token(&site, EMAIL).await;
    let passwords: Vec<_> = (0..4).map(|index| format!("a new password {index}")).collect();
    let replies = join_all(passwords.iter().map(|password| reset(&site, &token, password))).await;
    let counted: Vec<_> = (0..4).filter(|index| replies[*index].status == 200).collect();
    assert_eq!(counted.len(), 1, "{counted:?}");
    for (index, reply) in replies.iter().enumerate() {
        if index == counted[0] {
            let session = reply.session();
            site.refresh(&session.refresh).await.session();
        } else {
            reply.problem(401, "auth/invalid-token");
        }
    }
    reset(&site, &token, &passwords[counted[0]]).await.session();
    site.log_in(EMAIL, &passwords[counted[0]]).await.session();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_counts_no_more_when_staff_changed_the_address_by_whatever_way() {
    for way in ["PATCH", "PUT", "commands"] {
        let site = Site::new().await;
        let (user, _) = site.signed_in(EMAIL).await;
        let token = reset_token(&site, EMAIL).await;
        let path = format!("/api/v1/users/{user}");
        let new = json!({"email": "ada@new.example.com", "name": "Ada"});
        let changed = match way {
            "commands" => {
                let command = json!({"type": "changeUser", "id": user, "data": new});
                site.shop.post("/api/v1/commands", json!({"commands": [command]})).await
            }
            method => site.shop.send(json_request(method, &path, &new)).await,
        };
        assert_eq!(changed.status, 200, "{way}: {:#}", changed.body);
        assert!(site.shop.types().await.contains(&"user.email_changed".to_owned()), "{way}");
        reset(&site, &token, NEW).await.problem(401, "auth/invalid-token");
        site.log_in("ada@new.example.com", PASSWORD).await.session();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_change_of_address_ends_others_that_wait_and_is_told_once() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let first = change_token(&site, &session, "ada@new.example.com").await;
    let second = change_token(&site, &session, EVIL).await;
    let confirm = |token: &str| {
        let body = json!({"token": token});
        let site = &site;
        async move { ask(site, "email/confirm", body).await }
    };
    let replies = join_all((0..4).map(|_| confirm(&first))).await;
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status.as_u16()).collect();
    assert!(statuses.contains(&204), "{statuses:?}");
    let mails = site.mails().await;
    let told: Vec<_> = mails.iter().map(|mail| mail.0.as_str()).collect();
    assert_eq!(told, [EMAIL]);
    confirm(&second).await.problem(401, "auth/invalid-token");
    assert_eq!(confirm(&first).await.status, 204, "a repeat of a lost answer");
    site.log_in("ada@new.example.com", PASSWORD).await.session();
}

/// Ends the session that asked for a change of address, in this way.
async fn end(site: &Site, way: &str, asking: &Session, user: uuid::Uuid) {
    let path = format!("users/{user}/sessions/{}", asking.id);
    match way {
        "by its user from another session" => {
            let other = site.log_in(EMAIL, PASSWORD).await.session();
            let ended = site.as_user(&other, "DELETE", &path, None).await;
            assert_eq!(ended.status, 204);
        }
        "by an administrator" => {
            let (_, admin) = site.with_role("admin@example.com", "admin").await;
            let ended = site.as_user(&admin, "DELETE", &path, None).await;
            assert_eq!(ended.status, 204);
        }
        "because its token came twice" => {
            site.refresh(&asking.refresh).await.session();
            site.later(TimeDelta::seconds(11));
            site.refresh(&asking.refresh).await.problem(401, "auth/invalid-token");
        }
        "by itself" => {
            let ended = site.as_user(asking, "DELETE", &path, None).await;
            assert_eq!(ended.status, 204);
        }
        "by a log-out" => {
            assert_eq!(site.post_token("log-out", &asking.refresh).await.status, 204);
        }
        "because its user had too many" => {
            site.sql("UPDATE auth.sessions SET ended_at = now(), ended_why = 'too-many'").await;
        }
        _ => panic!("no way {way}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_address_counts_no_more_when_its_session_was_taken_away() {
    for way in
        ["by its user from another session", "by an administrator", "because its token came twice"]
    {
        let site = Site::new().await;
        let (user, asking) = site.signed_in(EMAIL).await;
        let token = change_token(&site, &asking, EVIL).await;
        end(&site, way, &asking, user).await;
        let reply = ask(&site, "email/confirm", json!({"token": token})).await;
        reply.problem(401, "auth/invalid-token");
        let types = site.shop.types().await;
        assert!(!types.contains(&"user.email_changed".to_owned()), "{way}: {types:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_harmless_end_of_the_session_that_asked_leaves_the_change_of_address_as_it_is() {
    for way in ["by itself", "by a log-out", "because its user had too many"] {
        let site = Site::new().await;
        let (user, asking) = site.signed_in(EMAIL).await;
        let token = change_token(&site, &asking, "ada@new.example.com").await;
        end(&site, way, &asking, user).await;
        let confirmed = ask(&site, "email/confirm", json!({"token": token})).await;
        assert_eq!(confirmed.status, 204, "{way}: {:#}", confirmed.body);
        site.log_in("ada@new.example.com", PASSWORD).await.session();
    }
}
