//! Operations that fail, wait, are too many, are cancelled or come too late.

use event_store::PostgresOptions;
use event_store::postgres::operations::{Kind, MAX_UNFINISHED, Turn};
use futures::future::join_all;
use local_servers::{http_get, until};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::operations::{EPOCHS, asked, call, count, ended, epoch, erasure, running, user};
use crate::process::{Process, database};

/// Runs statements as the owner of the database.
async fn owner(url: &str, statements: String) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
}

async fn turn(url: &str, kind: Kind) -> Turn {
    Turn::take(&PostgresOptions::from_url(url).unwrap(), kind).await.unwrap().unwrap()
}

async fn find(process: &Process, id: &str) -> Value {
    call(process, &format!("/{id}"), None).await.1["data"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_fails_is_retried_and_does_not_hold_up_others() {
    let (database, process) = running().await;
    let (stuck, other) = (user(&process).await, user(&process).await);
    owner(
        database.url(),
        format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN RAISE EXCEPTION ''the disk is full''; END';
             CREATE TRIGGER refuse BEFORE INSERT ON subject_keys.erasures
             FOR EACH ROW WHEN (NEW.subject = '{stuck}') EXECUTE FUNCTION refuse()"
        ),
    )
    .await;
    let first = asked(&process, erasure(&stuck)).await;
    until("the first erasure waits to be retried", async || {
        !find(&process, &first).await["retry_at"].is_null()
    })
    .await;
    let second = asked(&process, erasure(&other)).await;
    assert_eq!(ended(&process, &second).await["state"], "succeeded");
    let waiting = find(&process, &first).await;
    assert_eq!(waiting["state"], "running", "{waiting:#}");
    assert!(waiting["error"].is_string(), "{waiting:#}");
    owner(database.url(), "DROP TRIGGER refuse ON subject_keys.erasures".to_owned()).await;
    let done = ended(&process, &first).await;
    assert_eq!((&done["state"], &done["error"]), (&json!("succeeded"), &Value::Null), "{done:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_whose_proof_is_incomplete_fails_and_shows_it() {
    let (database, process) = running().await;
    let subject = user(&process).await;
    let keep = "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN RETURN OLD; END';
        CREATE TRIGGER keep BEFORE UPDATE ON subject_keys.keys
        FOR EACH ROW EXECUTE FUNCTION keep()";
    owner(database.url(), keep.to_owned()).await;
    let id = asked(&process, erasure(&subject)).await;
    let operation = ended(&process, &id).await;
    assert_eq!(operation["state"], "failed", "{operation:#}");
    assert_eq!(operation["result"]["key_destroyed"], false);
    assert!(operation["error"].as_str().unwrap().contains("not complete"), "{operation:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_erasure_is_cancelled_before_its_effect() {
    let (database, process) = running().await;
    let subject = user(&process).await;
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    let lock = "LOCK TABLE subject_keys.keys IN ACCESS EXCLUSIVE MODE";
    sqlx::query(lock).execute(&mut *held).await.unwrap();
    let id = asked(&process, erasure(&subject)).await;
    until("it runs", async || find(&process, &id).await["state"] == "running").await;
    let cancel = format!("/{id}/cancel");
    let (status, answer) = call(&process, &cancel, Some(json!({"by": "op-9"}))).await;
    assert_eq!((status, &answer["data"]["cancel_wanted"]), (202, &json!(true)), "{answer:#}");
    held.rollback().await.unwrap();
    let operation = ended(&process, &id).await;
    assert_eq!(operation["state"], "cancelled", "{operation:#}");
    assert_eq!(operation["cancelled_by"], "op-9");
    let kept = "SELECT count(*) FROM subject_keys.keys WHERE wrapped IS NOT NULL";
    assert_eq!(count(database.url(), kept).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_so_many_operations_wait_as_the_limit_says() {
    let database = database().await;
    let _turn = turn(database.url(), Kind::EraseSubject).await;
    let process = Process::start(&[("EVENT_STORE_URL", database.url())]);
    process.readiness(200).await;
    let (free, more) = (4, 12);
    owner(
        database.url(),
        format!(
            "INSERT INTO event_store.operations
                 (id, kind, target, arguments, requested_by, reason)
             SELECT gen_random_uuid(), 'erase_subject', n::text, '{{}}', 'op', 'why'
             FROM generate_series(1, {}) AS n",
            MAX_UNFINISHED - free
        ),
    )
    .await;
    let ask = |_| async {
        let body = erasure(&Uuid::now_v7().to_string());
        let (status, answer) = call(&process, "", Some(body)).await;
        if status != 202 {
            assert_eq!((status, &answer["code"]), (503, &json!("operation/too-many")));
        }
        status == 202
    };
    let taken = join_all((0..more).map(ask)).await.into_iter().filter(|taken| *taken).count();
    assert_eq!(i64::try_from(taken).unwrap(), free);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_request_begins_no_epoch() {
    let database = database().await;
    let held = turn(database.url(), Kind::BeginEpoch).await;
    let process = Process::start(&[("EVENT_STORE_URL", database.url())]);
    process.readiness(200).await;
    let before = count(database.url(), EPOCHS).await;
    let id = asked(&process, epoch(database.url()).await).await;
    // So a backup looks that was taken while a request waited, and is restored later.
    let age = "UPDATE event_store.operations SET requested_at = now() - interval '11 minutes'";
    owner(database.url(), age.to_owned()).await;
    drop(held);
    let operation = ended(&process, &id).await;
    assert_eq!(operation["state"], "failed", "{operation:#}");
    assert!(operation["error"].as_str().unwrap().contains("older than ten minutes"));
    assert_eq!(count(database.url(), EPOCHS).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_from_ahead_of_the_clock_or_with_an_impossible_epoch_begins_none() {
    let database = database().await;
    let held = turn(database.url(), Kind::BeginEpoch).await;
    let process = Process::start(&[("EVENT_STORE_URL", database.url())]);
    process.readiness(200).await;
    let before = count(database.url(), EPOCHS).await;
    let early = asked(&process, epoch(database.url()).await).await;
    // So a backup looks that is restored on a server whose clock is behind.
    let age = "UPDATE event_store.operations SET requested_at = now() + interval '11 minutes'";
    owner(database.url(), age.to_owned()).await;
    drop(held);
    let mut body = epoch(database.url()).await;
    body["arguments"]["abandoned"] = json!(["ffffffff-ffff-ffff-ffff-ffffffffffff"]);
    let ended_early = ended(&process, &early).await;
    let id = asked(&process, body).await;
    for (operation, why) in [
        (ended_early, "ahead of the clock"),
        (ended(&process, &id).await, "is not the id of an epoch"),
    ] {
        assert_eq!(operation["state"], "failed", "{operation:#}");
        assert!(operation["error"].as_str().unwrap().contains(why), "{operation:#}");
    }
    assert_eq!(count(database.url(), EPOCHS).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_does_not_wait_for_a_clock_that_was_set_back_nor_a_cancellation_for_a_retry() {
    let database = database().await;
    let held = turn(database.url(), Kind::EraseSubject).await;
    let process = Process::start(&[("EVENT_STORE_URL", database.url())]);
    process.readiness(200).await;
    let mut asked_for = Vec::new();
    for changed in [
        "retry_at = now() + interval '2 hours'",
        "retry_at = now() + interval '50 seconds', cancel_wanted = true",
        "retry_at = now() + interval '50 seconds'",
    ] {
        let id = asked(&process, erasure(&user(&process).await)).await;
        let set = format!(
            "UPDATE event_store.operations SET state = 'running', {changed} WHERE id = '{id}'"
        );
        owner(database.url(), set).await;
        asked_for.push(id);
    }
    drop(held);
    assert_eq!(ended(&process, &asked_for[0]).await["state"], "succeeded");
    assert_eq!(ended(&process, &asked_for[1]).await["state"], "cancelled");
    assert_eq!(find(&process, &asked_for[2]).await["attempts"], 0, "it waits for its time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pauses_double_up_to_a_minute_and_what_no_retry_can_mend_fails_at_once() {
    let database = database().await;
    let mut held = turn(database.url(), Kind::EraseSubject).await;
    let process = Process::start(&[("EVENT_STORE_URL", database.url())]);
    process.readiness(200).await;
    let id = asked(&process, erasure(&Uuid::now_v7().to_string())).await;
    for (attempts, pause) in [(1, 2), (3, 8), (6, 60), (40, 60), (i32::MAX, 60)] {
        let set = format!("UPDATE event_store.operations SET attempts = {attempts}");
        owner(database.url(), set).await;
        held.retry_later(id.parse().unwrap(), "it is away").await.unwrap();
        let found = "SELECT round(extract(epoch FROM retry_at - heartbeat_at))::bigint
            FROM event_store.operations";
        assert_eq!(count(database.url(), found).await, pause, "after attempt {attempts}");
    }
    let spoilt = "UPDATE event_store.operations
        SET attempts = 0, retry_at = NULL, arguments = '{\"subject\": 7}'";
    owner(database.url(), spoilt.to_owned()).await;
    drop(held);
    let operation = ended(&process, &id).await;
    assert_eq!((&operation["state"], &operation["attempts"]), (&json!("failed"), &json!(1)));
    let (status, older) = call(&process, &format!("?before={id}"), None).await;
    assert_eq!((status, &older["data"]), (200, &json!([])), "nothing is before the first");
    let second = asked(&process, erasure(&Uuid::now_v7().to_string())).await;
    let (_, older) = call(&process, &format!("?before={second}"), None).await;
    assert_eq!(older["data"].as_array().map(Vec::len), Some(1), "{older:#}");
    assert_eq!(older["data"][0]["id"], id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tasks_that_carry_out_operations_are_seen_in_readiness() {
    let (_database, process) = running().await;
    let report = http_get(format!("{}/readyz?verbose", process.admin)).await.unwrap();
    let report = report.text().await.unwrap();
    assert!(report.contains("erasures") && report.contains("epochs"), "{report}");
}
