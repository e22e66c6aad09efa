//! Tests of revocations that another copy of the command API, or a former run of it, has made.

use std::time::Instant;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HeaderValue};
use axum::http::{HeaderMap, Request};
use chrono::TimeDelta;
use command_api::auth::revocations::SILENCE_LIMIT;
use command_api::auth::{Database, database};
use identity::Gate;
use local_servers::{http_get, in_time, until};
use serde_json::Value;
use service_kit::health::Health;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::support::{PASSWORD, Session, Site};
use crate::process::{self, Process};
use crate::support::tokens::{ADMIN, By as _};

const EMAIL: &str = "ada@example.com";

/// The status with which a gate answers a token; 200 if it lets its holder in.
fn status(gate: &Gate, session: &Session) -> u16 {
    let token = HeaderValue::from_str(&format!("Bearer {}", session.access)).unwrap();
    let caller = gate.caller(&HeaderMap::from_iter([(AUTHORIZATION, token)]));
    caller.map_or_else(|problem| problem.status().as_u16(), |_| 200)
}

/// A port that takes connections and never answers, and its address as that of a database.
async fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://auth@{}/auth", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_accepts_no_token_before_it_knows_what_is_revoked() {
    let site = Site::new().await;
    let (_, ended) = site.signed_in(EMAIL).await;
    let live = site.log_in(EMAIL, PASSWORD).await.session();
    site.post_token("log-out", &ended.refresh).await;
    let (copy, gate) = site.copy(&site.credentials);
    assert_eq!((status(&gate, &ended), status(&gate, &live)), (503, 503));
    assert!(gate.caller(&HeaderMap::new()).is_ok(), "who has no token needs no list");
    copy.read_revocations().await.unwrap();
    assert_eq!((status(&gate, &ended), status(&gate, &live)), (401, 200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_copy_ends_the_others_refuse_after_their_next_read() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let (copy, gate) = site.copy(&site.credentials);
    copy.read_revocations().await.unwrap();
    copy.log_out_everywhere(&session.refresh.as_str().into()).await.unwrap();
    assert_eq!(status(&gate, &session), 401, "where it was ended at once");
    let cancel = || {
        let path = format!("/api/v1/orders/{}/cancel", Uuid::now_v7());
        Request::post(path).body(Body::empty()).unwrap().with_token(&session.access)
    };
    site.shop.send(cancel()).await.problem(404, "not-found");
    site.identity.read_revocations().await.unwrap();
    site.shop.send(cancel()).await.problem(401, "invalid-token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_covers_no_token_any_more_is_not_read() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    site.post_token("log-out", &session.refresh).await;
    site.later(TimeDelta::minutes(7));
    let (copy, gate) = site.copy(&site.credentials);
    copy.read_revocations().await.unwrap();
    // The gate goes by the time of the machine, at which the token has not expired.
    assert_eq!(status(&gate, &session), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_is_read_again_and_again_and_health_tells_when_it_cannot_be() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let (copy, gate) = site.copy(&site.credentials);
    let (health, stop) = (Health::new(), CancellationToken::new());
    let known = health.component("revocations");
    let pulse = health.pulse("revocations_read", SILENCE_LIMIT);
    let stopped = stop.clone();
    let task = tokio::spawn(async move { copy.keep_revocations(&known, &pulse, stopped).await });
    until("the table is read", async || health.report().ready).await;
    assert_eq!(status(&gate, &session), 200);
    site.post_token("log-out", &session.refresh).await;
    until("the revocation is read", async || status(&gate, &session) == 401).await;
    site.sql("REVOKE SELECT ON auth.revocations FROM auth_writer").await;
    until("it is not ready", async || !health.report().ready).await;
    assert_eq!(status(&gate, &session), 401, "what was read stays");
    site.sql("GRANT SELECT ON auth.revocations TO auth_writer").await;
    until("it is ready again", async || health.report().ready).await;
    stop.cancel();
    in_time("the end of the task", task).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_answer_is_told_in_time_and_nobody_gets_in() {
    let site = Site::new().await;
    let (_, session) = site.signed_in(EMAIL).await;
    let (_listener, url) = silent().await;
    let (copy, gate) = site.copy(&Database::new(&url.into()).unwrap());
    let started = Instant::now();
    assert!(in_time("an error", copy.read_revocations()).await.is_err());
    assert!(started.elapsed() < SILENCE_LIMIT, "{:?}", started.elapsed());
    assert_eq!(status(&gate, &session), 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_refuses_what_the_table_says_also_after_a_restart() {
    let (database, mails) = (process::database().await, tempfile::tempdir().unwrap());
    database::migrate(&database.url().into()).await.unwrap();
    let mut owner = PgConnection::connect(database.url()).await.unwrap();
    let old = "INSERT INTO auth.revocations VALUES (sha256('old'), 0, '2000-01-01')";
    sqlx::query(old).execute(&mut owner).await.unwrap();
    let folder = mails.path().to_str().unwrap();
    let settings = [
        ("EVENT_STORE_URL", database.url()),
        ("AUTH_URL", database.url()),
        ("MAIL_FOLDER", folder),
    ];
    let process = Process::start(&settings);
    process.readiness(200).await;
    assert_eq!(process.register("ada@example.com").await, 201);
    until("upkeep deletes the old one", async || {
        let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM auth.revocations");
        rows.fetch_one(&mut owner).await.unwrap() == 0
    })
    .await;
    let revoke = format!(
        "INSERT INTO auth.revocations (hash, before, expires_at)
         SELECT sha256('user:{ADMIN}'), (extract(epoch FROM now()) + 60)::bigint * 1000000,
             now() + interval '5 minutes'"
    );
    sqlx::raw_sql(AssertSqlSafe(revoke)).execute(&mut owner).await.unwrap();
    until("it is refused", async || process.register("bob@example.com").await == 401).await;
    assert_eq!(process.stop().0, Some(0));
    let process = Process::start(&settings);
    process.readiness(200).await;
    assert_eq!(process.register("eve@example.com").await, 401);
    assert_eq!(process.stop().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_credentials_are_silent_is_not_ready_and_accepts_no_token() {
    let (database, mails) = (process::database().await, tempfile::tempdir().unwrap());
    let (_listener, url) = silent().await;
    let folder = mails.path().to_str().unwrap();
    let process = Process::start(&[
        ("EVENT_STORE_URL", database.url()),
        ("AUTH_URL", &url),
        ("MAIL_FOLDER", folder),
    ]);
    let component = async |name: &str| {
        let report = http_get(format!("{}/readyz?verbose", process.admin)).await.ok()?;
        let report: Value = report.json().await.ok()?;
        report["components"][name]["ready"].as_bool()
    };
    until("commands are taken", async || component("event_store").await == Some(true)).await;
    assert_eq!(component("revocations").await, Some(false));
    assert_eq!(process.register("ada@example.com").await, 503);
    assert_eq!(process.stop().0, Some(0));
}
