//! Tests of upkeep: what is needed no more goes when its time has come, and not before.

use chrono::TimeDelta;
use command_api::auth::upkeep::{Removed, Retention, SILENCE_LIMIT};
use local_servers::{in_time, until};
use serde_json::{Value, json};
use service_kit::health::Health;
use tokio_util::sync::CancellationToken;

use super::support::{PASSWORD, Site};

const EMAIL: &str = "ada@example.com";
const RETENTION: Retention = Retention { addresses: TimeDelta::days(2), ended: TimeDelta::days(3) };
const NOTHING: Removed = Removed { revocations: 0, proofs: 0, sessions: 0, keys: 0, addresses: 0 };
const MOMENT: TimeDelta = TimeDelta::milliseconds(1);

/// Lets this time pass: nothing goes before its last moment, and then exactly this.
async fn goes_after(site: &Site, retention: Retention, time: TimeDelta, expected: Removed) {
    site.later(time - MOMENT);
    assert_eq!(site.identity.tidy(retention).await.unwrap(), NOTHING, "before {expected:?}");
    site.later(MOMENT);
    assert_eq!(site.identity.tidy(retention).await.unwrap(), expected);
    assert_eq!(site.identity.tidy(retention).await.unwrap(), NOTHING, "it goes once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_session_that_ended_the_revocation_goes_then_its_address_then_itself() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    site.post_token("log-out", &session.refresh).await;
    // A token lives five minutes, and clocks differ by at most two.
    let minutes = TimeDelta::minutes(7);
    goes_after(&site, RETENTION, minutes, Removed { revocations: 1, ..NOTHING }).await;
    let two_days = TimeDelta::days(2) - minutes;
    goes_after(&site, RETENTION, two_days, Removed { addresses: 1, ..NOTHING }).await;
    goes_after(&site, RETENTION, TimeDelta::days(1), Removed { sessions: 1, ..NOTHING }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_nobody_ends_stays_as_long_as_its_token_is_valid() {
    let site = Site::new().await;
    let brief = Retention { ended: TimeDelta::minutes(1), ..RETENTION };
    let gone = Removed { sessions: 1, ..NOTHING };
    site.signed_in(EMAIL).await;
    // It may be idle for two hours, and grow five hours old.
    goes_after(&site, brief, TimeDelta::hours(2), gone).await;
    let mut session = site.log_in(EMAIL, PASSWORD).await.session();
    for _ in 0..4 {
        site.later(TimeDelta::minutes(74));
        session = site.refresh(&session.refresh).await.session();
    }
    goes_after(&site, brief, TimeDelta::minutes(4), gone).await;
    // Where ended ones are kept for longer, so are expired ones.
    site.log_in(EMAIL, PASSWORD).await.session();
    let addresses = Removed { addresses: 1, ..NOTHING };
    goes_after(&site, RETENTION, TimeDelta::days(2), addresses).await;
    goes_after(&site, RETENTION, TimeDelta::days(1), gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_goes_with_its_mail_when_it_expires() {
    let site = Site::new().await;
    let body = json!({"email": EMAIL, "name": "Ada"});
    assert_eq!(site.shop.post("/api/v1/auth/sign-up", body).await.status, 202);
    let hour = TimeDelta::hours(1);
    goes_after(&site, RETENTION, hour, Removed { proofs: 1, ..NOTHING }).await;
    assert_eq!(site.mails().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_revoked_or_expired_go_and_others_stay() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let make = async |expires_at: Value| {
        let mut body = json!({"name": "k", "scopes": "products:read"});
        if !expires_at.is_null() {
            body["expires_at"] = expires_at;
        }
        site.as_user(&session, "POST", "api-keys", Some(body)).await.made()
    };
    make(json!(site.now() + TimeDelta::hours(1))).await;
    let lasting = make(json!(null)).await;
    let revoked = format!("api-keys/{}", make(json!(null)).await);
    assert_eq!(site.as_user(&session, "DELETE", &revoked, None).await.status, 204);
    site.sql("DELETE FROM auth.revocations; UPDATE auth.sessions SET address = NULL").await;
    let both = Removed { keys: 1, sessions: 1, ..NOTHING };
    goes_after(&site, RETENTION, TimeDelta::days(3), both).await;
    goes_after(&site, RETENTION, TimeDelta::hours(1), Removed { keys: 1, ..NOTHING }).await;
    site.later(TimeDelta::days(1_000));
    assert_eq!(site.identity.tidy(RETENTION).await.unwrap(), NOTHING);
    assert!(site.dump().await.contains(&lasting));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_go_in_several_rounds() {
    let site = Site::new().await;
    site.sql(
        "INSERT INTO auth.revocations (hash, before, expires_at)
         SELECT sha256(n::text::bytea), 0, '2000-01-01' FROM generate_series(1, 1500) n",
    )
    .await;
    for revocations in [1_000, 500, 0] {
        let removed = site.identity.tidy(RETENTION).await.unwrap();
        assert_eq!(removed, Removed { revocations, ..NOTHING });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_task_begins_at_once_and_ends_when_it_is_told_to() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    site.post_token("log-out", &session.refresh).await;
    site.later(TimeDelta::minutes(7));
    let (identity, stop) = (site.identity.clone(), CancellationToken::new());
    let pulse = Health::new().pulse("identity_upkeep", SILENCE_LIMIT);
    let stopped = stop.clone();
    let task = tokio::spawn(async move { identity.keep_tidy(RETENTION, &pulse, stopped).await });
    until("the revocation is gone", async || site.revoked(&session).await.is_none()).await;
    stop.cancel();
    in_time("the end of upkeep", task).await.unwrap();
}
