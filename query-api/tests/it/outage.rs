//! Tests of answers while the database is away or busy, and of callers that hang up.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use postgres_kit::PoolLimits;
use query_api::database::Pools;
use query_api::position::Watcher;
use secrecy::SecretString;
use sqlx::PgConnection;
use tower::ServiceExt as _;

use crate::support::{App, UserSeed, get, router, tokens};

#[tokio::test]
async fn without_a_database_a_query_is_unavailable_within_seconds() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://nobody:canary-password@{}/nothing", free.local_addr().unwrap());
    drop(free);
    let pools = Pools::new(&SecretString::from(url), PoolLimits::of(6, 6)).unwrap();
    let router = router(pools, Watcher::default());
    let started = Instant::now();
    let answer = get(&router, "/api/v1/users", &[]).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (503, &"read-model-unavailable".into())
    );
    assert_eq!(answer.header("retry-after"), "1");
    assert!(!answer.body.to_string().contains("canary"));
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_busy_pool_refuses_after_a_second() {
    let app = App::silent(1).await;
    let (taken, is_taken) = tokio::sync::oneshot::channel();
    let pool = app.pools.lookup.clone();
    let held = tokio::spawn(async move {
        let hold = async move |_: &mut PgConnection| -> sqlx::Result<()> {
            taken.send(()).unwrap();
            std::future::pending().await
        };
        pool.run(hold).await
    });
    is_taken.await.unwrap();
    let answer = app.get("/api/v1/users").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (503, &"read-model-unavailable".into())
    );
    held.abort();
    assert!(held.await.unwrap_err().is_cancelled());
    assert_eq!(app.get("/api/v1/users").await.status, 200);
}

#[tokio::test]
async fn callers_who_hang_up_leave_no_transaction_behind() {
    let app = App::silent(2).await;
    app.add_user(&UserSeed::number(1)).await;
    let run = local_servers::test_run();
    let mut random = run.seed | 1;
    let credentials = format!("Bearer {}", tokens::admin());
    for _ in 0..run.count(200, 10_000) {
        // This is xorshift. Any spread of the cut-off times works.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let request = Request::get("/api/v1/users?page=1").header("authorization", &credentials);
        let request = request.body(Body::empty()).unwrap();
        let answering = app.router.clone().oneshot(request);
        drop(tokio::time::timeout(Duration::from_micros(random % 3000), answering).await);
    }
    for _ in 0..4 {
        let answer = app.get("/api/v1/users").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let idle: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'query-api' AND state LIKE \
         'idle in transaction%'
           AND state_change < clock_timestamp() - interval '1 second'",
    )
    .fetch_one(&app.writer)
    .await
    .unwrap();
    assert_eq!(idle, 0);
}

#[tokio::test]
async fn after_postgres_ended_all_connections_queries_are_answered_again() {
    let app = App::silent(4).await;
    futures::future::join_all((0..8).map(|_| app.get("/api/v1/users"))).await;
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = \
        current_database() AND application_name = 'query-api'",
    )
    .execute(&app.writer)
    .await
    .unwrap();
    for _ in 0..8 {
        let answer = app.get("/api/v1/users").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
