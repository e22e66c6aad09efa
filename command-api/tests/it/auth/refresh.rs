//! Tests of refresh tokens: rotation, reuse, races and the ends of sessions.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use command_api::auth::account;
use command_api::auth::session::MAX_SESSIONS;
use command_api::auth::session::rotation::GRACE;
use local_servers::test_run;

use super::support::{PASSWORD, Session, Site, foreign_token, token_request};

const EMAIL: &str = "ada@example.com";

async fn signed_in() -> (Site, Session) {
    let site = Site::new().await;
    site.user(EMAIL, PASSWORD).await;
    let session = site.log_in(EMAIL, PASSWORD).await.session();
    (site, session)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refresh_gives_the_next_pair_of_the_same_session() {
    let (site, mut session) = signed_in().await;
    let mut seen = BTreeSet::from([session.refresh.clone()]);
    for _ in 0..5 {
        site.later(TimeDelta::minutes(5));
        let reply = site.refresh(&session.refresh).await;
        let expires: DateTime<Utc> =
            reply.ok()["refresh_expires_at"].as_str().unwrap().parse().unwrap();
        assert_eq!(expires, site.now() + TimeDelta::hours(2));
        let next = reply.session();
        assert_eq!(next.id, session.id);
        assert!(seen.insert(next.refresh.clone()));
        session = next;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_comes_again_later_ends_the_session_for_everybody() {
    let (site, stolen) = signed_in().await;
    let other = site.log_in(EMAIL, PASSWORD).await.session();
    let next = site.refresh(&stolen.refresh).await.session();
    site.later(GRACE + TimeDelta::microseconds(1));
    site.refresh(&stolen.refresh).await.problem(401, "auth/invalid-token");
    site.refresh(&next.refresh).await.problem(401, "auth/invalid-token");
    assert_eq!(site.ends().await, [Some("token-reused".to_owned()), None]);
    assert!(site.revoked(&stolen).await.is_some());
    assert_eq!(site.revoked(&other).await, None);
    site.refresh(&other.refresh).await.session();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_after_a_lost_answer_gets_the_same_successor_for_a_moment() {
    let (site, session) = signed_in().await;
    let first = site.refresh(&session.refresh).await.session();
    site.later(GRACE);
    let again = site.refresh(&session.refresh).await.session();
    assert_eq!((first.refresh.clone(), first.id), (again.refresh, again.id));
    site.refresh(&first.refresh).await.session();
    site.refresh(&session.refresh).await.problem(401, "auth/invalid-token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_who_ask_at_once_get_one_successor() {
    let (site, mut session) = signed_in().await;
    for round in 0..test_run().count(5, 500) {
        // A little later, so that the token before is no longer the one of the round before.
        site.later(TimeDelta::milliseconds(20));
        let asked: Vec<_> = (0..16)
            .map(|_| {
                let (shop, token) = (site.shop.clone(), session.refresh.clone());
                tokio::spawn(async move { shop.send(token_request("refresh", &token)).await })
            })
            .collect();
        let mut successors = BTreeSet::new();
        for reply in asked {
            successors.insert(reply.await.unwrap().session().refresh);
        }
        assert_eq!(successors.len(), 1, "round {round}");
        session.refresh = successors.pop_first().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_expires_when_it_is_idle_or_old() {
    let (site, idle) = signed_in().await;
    site.later(TimeDelta::hours(2));
    site.refresh(&idle.refresh).await.problem(401, "auth/invalid-token");
    let mut session = site.log_in(EMAIL, PASSWORD).await.session();
    for _ in 0..4 {
        site.later(TimeDelta::minutes(74));
        session = site.refresh(&session.refresh).await.session();
    }
    site.later(TimeDelta::minutes(4));
    site.refresh(&session.refresh).await.problem(401, "auth/invalid-token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_out_ends_one_session_and_tells_nothing() {
    let (site, session) = signed_in().await;
    let other = site.log_in(EMAIL, PASSWORD).await.session();
    let next = site.refresh(&session.refresh).await.session();
    for token in [&foreign_token(&session), "nonsense"] {
        assert_eq!(site.post_token("log-out", token).await.status, 204);
    }
    assert_eq!(site.ends().await, [None, None]);
    for _ in 0..2 {
        assert_eq!(site.post_token("log-out", &session.refresh).await.status, 204);
    }
    assert_eq!(site.ends().await, [Some("logged-out".to_owned()), None]);
    assert!(site.revoked(&next).await.is_some());
    site.refresh(&next.refresh).await.problem(401, "auth/invalid-token");
    site.refresh(&other.refresh).await.session();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_out_everywhere_ends_all_sessions_of_the_user_and_no_others() {
    let (site, session) = signed_in().await;
    let other = site.log_in(EMAIL, PASSWORD).await.session();
    site.user("grace@example.com", PASSWORD).await;
    let grace = site.log_in("grace@example.com", PASSWORD).await.session();
    for token in [&foreign_token(&session), "nonsense", &session.access] {
        let reply = site.post_token("log-out-everywhere", token).await;
        reply.problem(401, "auth/invalid-token");
    }
    assert_eq!(site.post_token("log-out-everywhere", &session.refresh).await.status, 204);
    for session in [&session, &other] {
        site.refresh(&session.refresh).await.problem(401, "auth/invalid-token");
        assert!(site.revoked(session).await.is_some());
    }
    site.refresh(&grace.refresh).await.session();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_valid_token_of_a_live_session_ends_all_sessions() {
    let (site, session) = signed_in().await;
    let next = site.refresh(&session.refresh).await.session();
    let refused = site.post_token("log-out-everywhere", &session.refresh).await;
    refused.problem(401, "auth/invalid-token");
    site.later(TimeDelta::hours(2));
    let refused = site.post_token("log-out-everywhere", &next.refresh).await;
    refused.problem(401, "auth/invalid-token");
    assert_eq!(site.ends().await, [None]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_is_no_token_of_ours_changes_nothing() {
    let (site, session) = signed_in().await;
    let long = "A".repeat(10_000);
    for token in [&foreign_token(&session), "", "daybook_rt_", &long, &session.access, "\u{0}"] {
        site.refresh(token).await.problem(401, "auth/invalid-token");
    }
    assert_eq!(site.ends().await, [None]);
    site.refresh(&session.refresh).await.session();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_shows_in_the_next_token() {
    let (site, session) = signed_in().await;
    assert_eq!(site.claims(&session).roles, ["user"]);
    let user = site.claims(&session).sub;
    account::give_role(&mut site.owner().await, user, "admin").await.unwrap();
    let next = site.refresh(&session.refresh).await.session();
    let claims = site.claims(&next);
    assert_eq!(claims.roles, ["admin", "user"]);
    assert_eq!(claims.scope, access::Grants::all().to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_that_was_used_longest_ago_ends_when_there_are_too_many() {
    let (site, first) = signed_in().await;
    site.later(TimeDelta::seconds(1));
    let second = site.log_in(EMAIL, PASSWORD).await.session();
    site.later(TimeDelta::seconds(1));
    let first = site.refresh(&first.refresh).await.session();
    for _ in 2..=MAX_SESSIONS {
        site.later(TimeDelta::seconds(1));
        site.log_in(EMAIL, PASSWORD).await.session();
    }
    site.refresh(&second.refresh).await.problem(401, "auth/invalid-token");
    let ended: Vec<_> = site.ends().await.into_iter().flatten().collect();
    assert_eq!(ended, ["too-many"]);
    site.refresh(&first.refresh).await.session();
}
