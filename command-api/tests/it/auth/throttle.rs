//! Tests that guessing is slowed down, and that its victim still gets in.

use std::net::IpAddr;

use futures::future::join_all;
use serde_json::{Value, json};
use service_kit::http::ClientAddress;

use super::support::{PASSWORD, Site};
use crate::support::{Reply, json_request};

const EMAIL: &str = "ada@example.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_from_one_address_are_refused_before_they_are_compared() {
    let site = Site::new().await;
    site.user(EMAIL, PASSWORD).await;
    for email in [EMAIL, "nobody@example.com"] {
        for _ in 0..5 {
            site.log_in(email, "a wrong guess").await.problem(401, "auth/wrong-credentials");
        }
        let refused = site.log_in(email, "a wrong guess").await;
        refused.problem(429, "auth/too-many-attempts");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=30).contains(&wait), "{wait}");
        site.log_in(email, PASSWORD).await.problem(429, "auth/too-many-attempts");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_victim_of_guesses_from_everywhere_still_gets_in_where_the_account_was_used() {
    let site = Site::new().await;
    site.user(EMAIL, PASSWORD).await;
    let home = "2001:db8:1:2::7".parse().unwrap();
    let at_home_too = "2001:db8:1:2:ffff::9".parse().unwrap();
    site.log_in_from(home, EMAIL, PASSWORD).await.session();
    let mut refused = 0;
    for last in 0..30 {
        let guess = site.log_in_from([198, 51, 100, last].into(), EMAIL, "a wrong guess").await;
        refused += u32::from(guess.status == 429);
    }
    assert_eq!(refused, 10, "twenty from strange addresses are compared");
    site.log_in_from([203, 0, 113, 1].into(), EMAIL, PASSWORD)
        .await
        .problem(429, "auth/too-many-attempts");
    for _ in 0..10 {
        site.log_in_from(at_home_too, EMAIL, PASSWORD).await.session();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_that_tries_many_accounts_is_refused() {
    let site = Site::new().await;
    let mut refused = 0;
    for account in 0..60 {
        let email = format!("nobody{account}@example.com");
        let reply = site.log_in(&email, "a wrong guess").await;
        refused += u32::from(reply.status == 429);
    }
    // One more is allowed every two seconds.
    assert!((1..=10).contains(&refused), "{refused}");
}

/// Posts to an operation of identity from an address.
async fn post_from(site: &Site, address: IpAddr, operation: &str, body: &Value) -> Reply {
    let mut request = json_request("POST", &format!("/api/v1/auth/{operation}"), body);
    request.extensions_mut().insert(ClientAddress(Some(address)));
    site.shop.send(request).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_guesses_are_used_up_nobody_learns_where_the_account_was_used() {
    let site = Site::new().await;
    site.user(EMAIL, PASSWORD).await;
    let (home, strange) = (IpAddr::from([203, 0, 113, 1]), IpAddr::from([203, 0, 113, 2]));
    site.log_in_from(home, EMAIL, PASSWORD).await.session();
    let guess = async |from: IpAddr| {
        let reply = site.log_in_from(from, EMAIL, "a wrong guess").await;
        let wait = reply.header("retry-after").parse::<u64>().unwrap_or_default();
        (reply.status, reply.body["code"].clone(), wait)
    };
    for last in 0..19 {
        assert_eq!(guess([198, 51, 100, last].into()).await.0, 401);
    }
    // A guess from the familiar address takes from the same budget, so that tells nothing either.
    assert_eq!(guess(home).await.0, 401);
    for turn in 0..4 {
        let (here, there) = (guess(home).await, guess(strange).await);
        assert_eq!((here.0.as_u16(), here.1.as_str()), (429, Some("auth/too-many-attempts")));
        assert_eq!((here.0, here.1), (there.0, there.1), "{turn}");
        assert!(here.2.abs_diff(there.2) <= 5, "{turn}: {} and {}", here.2, there.2);
    }
    site.log_in_from(strange, EMAIL, PASSWORD).await.problem(429, "auth/too-many-attempts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_mails_of_one_kind_keeps_nobody_from_another() {
    let site = Site::new().await;
    site.user(EMAIL, PASSWORD).await;
    let (attacker, victim) = ([198, 51, 100, 1].into(), [203, 0, 113, 1].into());
    let sign_up = json!({"email": EMAIL, "name": "Eve"});
    for status in [202, 202, 202, 429, 429] {
        assert_eq!(post_from(&site, attacker, "sign-up", &sign_up).await.status, status);
    }
    let reset = post_from(&site, victim, "password-reset", &json!({"email": EMAIL})).await;
    assert_eq!(reset.status, 202, "{:#}", reset.body);
    for _ in 0..30 {
        assert_eq!(post_from(&site, attacker, "sign-up", &sign_up).await.status, 429);
    }
    let other = json!({"email": "other@example.com", "name": "Eve"});
    let reply = post_from(&site, attacker, "sign-up", &other).await;
    assert_eq!(reply.status, 202, "what was refused took nothing: {:#}", reply.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_a_mail_that_fails_takes_nothing() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    site.sql("REVOKE INSERT ON auth.pending FROM auth_writer").await;
    let ask = async |operation: &str| {
        let body = match operation {
            "sign-up" => json!({"email": EMAIL, "name": "Ada"}),
            "email" => json!({"email": EMAIL, "password": PASSWORD}),
            _ => json!({"email": EMAIL}),
        };
        site.as_user(&session, "POST", operation, Some(body)).await.status
    };
    for operation in ["sign-up", "password-reset", "email"] {
        for _ in 0..4 {
            assert_eq!(ask(operation).await, 503, "{operation}");
        }
    }
    site.sql("GRANT INSERT ON auth.pending TO auth_writer").await;
    for operation in ["sign-up", "password-reset", "email"] {
        for _ in 0..3 {
            assert_eq!(ask(operation).await, 202, "{operation}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_token_lets_nobody_guess_the_password_beyond_what_a_log_in_allows() {
    let site = Site::new().await;
    let (attacker, owner) = (IpAddr::from([198, 51, 100, 1]), IpAddr::from([203, 0, 113, 1]));
    let sign_up = json!({"email": "new@example.com", "name": "New"});
    site.shop.post("/api/v1/auth/sign-up", sign_up).await;
    let signed_up = site.mailed_token("new@example.com").await;
    site.user(EMAIL, PASSWORD).await;
    site.shop.post("/api/v1/auth/password-reset", json!({"email": EMAIL})).await;
    let reset = site.mailed_token(EMAIL).await;
    for (operation, token, email) in [
        ("sign-up/confirm", &signed_up, "new@example.com"),
        ("password-reset/confirm", &reset, EMAIL),
    ] {
        let confirm = async |from: IpAddr, password: &str| {
            let body = json!({"token": token, "password": password});
            post_from(&site, from, operation, &body).await
        };
        confirm(owner, PASSWORD).await.session();
        confirm(owner, PASSWORD).await.session();
        for _ in 0..5 {
            confirm(attacker, "a wrong guess").await.problem(401, "auth/invalid-token");
        }
        confirm(attacker, PASSWORD).await.problem(429, "auth/too-many-attempts");
        let log_in = site.log_in_from(attacker, email, PASSWORD).await;
        log_in.problem(429, "auth/too-many-attempts");
        for last in 10..25 {
            confirm([198, 51, 100, last].into(), "a wrong guess").await;
        }
        confirm([198, 51, 100, 2].into(), PASSWORD).await.problem(429, "auth/too-many-attempts");
        confirm(owner, PASSWORD).await.session();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_does_not_take_all_turns_of_passwords() {
    let site = Site::new().await;
    site.user(EMAIL, PASSWORD).await;
    let one = (0..40).map(|guess| {
        let (site, email) = (&site, format!("nobody{guess}@example.com"));
        async move { site.log_in_from([198, 51, 100, 1].into(), &email, "a wrong guess").await }
    });
    let others = (1..=10).map(|last| site.log_in_from([203, 0, 113, last].into(), EMAIL, PASSWORD));
    let (one, others) = futures::join!(join_all(one), join_all(others));
    assert!(one.iter().any(|reply| reply.status == 503), "it asked for more than its part");
    assert!(others.iter().all(|reply| reply.status == 200), "the others got in");
}
