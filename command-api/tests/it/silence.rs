//! Tests of the process while a database is silent but not dead.
//!
//! Every command is answered in time, commands that do not need that database succeed, and
//! `/readyz` is right. After the silence everything soon works again.

use std::time::{Duration, Instant};

use event_store::postgres;
use event_store::postgres::keys;
use local_servers::{
    ClusterOptions, PostgresCluster, Stopped, http_get, test_client, until_within,
};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::process::{Process, database};
use crate::support::tokens;

/// The maximum time until the process reports that it cannot work.
const NOTICED: Duration = Duration::from_secs(10);
/// The maximum time until everything works again after the silence.
const HEALED: Duration = Duration::from_secs(5);
/// The maximum time of a command, whatever is silent.
const ANSWERED: Duration = Duration::from_secs(15);
/// The additional time for a loaded machine.
const SLACK: Duration = Duration::from_secs(2);

/// Waits until `what` holds, at most `limit` plus [`SLACK`].
async fn within(limit: Duration, what: &str, holds: impl AsyncFnMut() -> bool) {
    until_within(limit + SLACK, what, holds).await;
}

/// The body of `/readyz?verbose`.
async fn report(process: &Process) -> Value {
    http_get(format!("{}/readyz?verbose", process.admin)).await.unwrap().json().await.unwrap()
}

async fn add_product(process: &Process) -> u16 {
    let body = json!({"name": "cd", "unit_price": "1.00", "currency": "USD", "stock": 10});
    let request = test_client()
        .post(format!("{}/api/v1/products", process.api))
        .bearer_auth(tokens::admin())
        .json(&body);
    request.send().await.unwrap().status().as_u16()
}

/// Sends this many registrations at once.
///
/// Returns the status of each and whether it has `Retry-After`, and the time that all took.
async fn register_many(
    process: &Process,
    from: usize,
    count: usize,
) -> (Vec<(u16, bool)>, Duration) {
    let client = test_client();
    let started = Instant::now();
    let answers = (from..from + count).map(|n| {
        let body = json!({"email": format!("n{n}@example.com"), "name": "Ada"});
        let request = client.post(format!("{}/api/v1/users", process.api));
        let request = request.bearer_auth(tokens::admin()).json(&body);
        async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
        }
    });
    (futures::future::join_all(answers).await, started.elapsed())
}

async fn cluster() -> PostgresCluster {
    let cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    postgres::migrate(&cluster.url()).await.unwrap();
    keys::migrate(&cluster.url()).await.unwrap();
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_backend_that_adds_keys_costs_registrations_a_moment_and_others_nothing() {
    let database = database().await;
    let process = Process::start(&[("EVENT_STORE_URL", database.url())]);
    process.readiness(200).await;
    assert_eq!(process.register("first@example.com").await, 201);
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    let backend = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query \
        LIKE 'INSERT INTO subject_keys.keys%'";
    let stopped =
        Stopped::stop(sqlx::query_scalar::<_, i32>(backend).fetch_all(&mut admin).await.unwrap());
    let (registered, product) = tokio::join!(register_many(&process, 0, 50), add_product(&process));
    let (answers, took) = registered;
    assert!(
        answers.iter().all(|(status, _)| *status == 201),
        "another connection adds the keys: {answers:?}"
    );
    assert!(took < NOTICED, "{took:?}");
    assert_eq!(product, 201);
    assert_eq!(report(&process).await["ready"], true);
    drop(stopped);
    assert_eq!(process.register("last@example.com").await, 201);
    assert_eq!(process.stop().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_key_database_refuses_registrations_in_time_and_lets_the_others_go_on() {
    let (log, keys) = tokio::join!(database(), cluster());
    let process =
        Process::start(&[("EVENT_STORE_URL", log.url()), ("SUBJECT_KEYS_URL", &keys.url())]);
    process.readiness(200).await;
    assert_eq!(process.register("first@example.com").await, 201);
    keys.pause();
    let others = async {
        for _ in 0..20 {
            assert_eq!(add_product(&process).await, 201, "it needs no key");
        }
    };
    let ((answers, took), ()) = tokio::join!(register_many(&process, 0, 100), others);
    assert!(answers.iter().all(|answer| *answer == (503, true)), "{answers:?}");
    assert!(took < ANSWERED + SLACK, "{took:?}");
    within(NOTICED, "the keys are shown to be away", async || {
        report(&process).await["components"]["subject_keys"]["ready"] == false
    })
    .await;
    assert_eq!(report(&process).await["ready"], true, "commands without personal data go on");
    keys.resume();
    within(HEALED, "registrations succeed again", async || {
        process.register("last@example.com").await == 201
    })
    .await;
    within(HEALED, "the keys are back", async || {
        report(&process).await["components"]["subject_keys"]["ready"] == true
    })
    .await;
    assert_eq!(process.stop().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_event_store_is_not_ready_in_time_and_its_commands_are_answered() {
    let log = cluster().await;
    let process = Process::start(&[("EVENT_STORE_URL", &log.url())]);
    process.readiness(200).await;
    assert_eq!(add_product(&process).await, 201);
    log.pause();
    within(NOTICED, "not ready", async || report(&process).await["ready"] == false).await;
    let (answers, took) = register_many(&process, 0, 50).await;
    assert!(answers.iter().all(|answer| *answer == (503, true)), "{answers:?}");
    assert!(took < ANSWERED + SLACK, "{took:?}");
    log.resume();
    within(HEALED, "ready again", async || report(&process).await["ready"] == true).await;
    within(HEALED, "commands succeed again", async || {
        process.register("last@example.com").await == 201
    })
    .await;
    assert_eq!(process.stop().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_held_in_silence_is_not_ready_and_a_503_until_it_is_free() {
    let database = database().await;
    let process = Process::start(&[("EVENT_STORE_URL", database.url())]);
    process.readiness(200).await;
    assert_eq!(add_product(&process).await, 201);
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT epoch FROM event_store.log FOR UPDATE")
        .execute(&mut holder)
        .await
        .unwrap();
    let started = Instant::now();
    assert_eq!(add_product(&process).await, 503);
    within(NOTICED.saturating_sub(started.elapsed()), "not ready", async || {
        report(&process).await["ready"] == false
    })
    .await;
    drop(holder);
    within(HEALED, "ready again by itself", async || report(&process).await["ready"] == true).await;
    assert_eq!(add_product(&process).await, 201);
    assert_eq!(process.stop().0, Some(0));
}
