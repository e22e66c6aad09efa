//! Tests with a database that is silent but not dead: its connections stay open, but it answers
//! nothing.

use std::time::{Duration, Instant};

use local_servers::{ClusterOptions, PostgresCluster, Stopped};
use postgres_kit::PoolLimits;
use query_api::database::Pools;
use query_api::position::Watcher;
use query_api::ready;
use secrecy::SecretString;
use service_kit::health::Health;
use tokio_util::sync::CancellationToken;

use crate::support::{App, get, migrate, router};

/// The maximum time until a process that cannot work reports it.
const SAYS_SO: Duration = Duration::from_secs(10);
/// The maximum time until the process works again after the silence.
const RECOVERY: Duration = Duration::from_secs(5);
/// The maximum time of an answer during the silence: one limit, and one retry on a new connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_query_that_meets_a_stopped_backend_is_answered_by_another_and_those_after_it_meet_none()
{
    let app = App::silent(4).await;
    futures::future::join_all((0..8).map(|_| app.get("/api/v1/users"))).await;
    let backends = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND \
        application_name = 'query-api'";
    let stopped =
        Stopped::stop(sqlx::query_scalar::<_, i32>(backends).fetch_all(&app.writer).await.unwrap());
    let started = Instant::now();
    assert_eq!(app.get("/api/v1/users").await.status, 200);
    assert!(started.elapsed() < ANSWER_LIMIT, "{:?}", started.elapsed());
    let started = Instant::now();
    for answer in futures::future::join_all((0..8).map(|_| app.get("/api/v1/users"))).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "one of them was waited for: {:?}",
        started.elapsed()
    );
    drop(stopped);
}

#[tokio::test]
async fn a_silent_database_shows_in_ten_seconds_fails_queries_in_time_and_heals() {
    let cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    migrate(cluster.url()).await.unwrap();
    let pools = Pools::new(&SecretString::from(cluster.url()), PoolLimits::of(10, 10)).unwrap();
    let router = router(pools.clone(), Watcher::default());
    let health = Health::new();
    let stop = CancellationToken::new();
    tokio::spawn(ready::watch(
        pools.into(),
        health.component("read-model"),
        health.pulse("looking", ready::SILENCE_LIMIT),
        stop.clone(),
    ));
    let _stop = stop.drop_guard();
    let becomes = async |ready: bool, limit: Duration| {
        let looking = async {
            while health.report().ready != ready {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(limit, looking)
            .await
            .unwrap_or_else(|_| panic!("{:?}", health.report()));
    };
    becomes(true, Duration::from_secs(30)).await;
    assert_eq!(get(&router, "/api/v1/users", &[]).await.status, 200);

    cluster.pause();
    let started = Instant::now();
    let (answer, ()) = tokio::join!(get(&router, "/api/v1/users", &[]), becomes(false, SAYS_SO));
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (503, &"read-model-unavailable".into())
    );
    assert!(started.elapsed() < SAYS_SO, "{:?}", started.elapsed());
    cluster.resume();
    becomes(true, RECOVERY).await;
    assert_eq!(get(&router, "/api/v1/users", &[]).await.status, 200);
}
