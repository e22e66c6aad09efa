//! Erasures and new epochs as operations on the admin port, with real processes and servers.

use event_store::PostgresOptions;
use event_store::postgres::operations::{Kind, Turn};
use local_servers::{TestDatabase, test_client, until};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::process::{Process, database};
use crate::support::tokens;

/// Sends a request to the operations API. Returns status and body.
pub(crate) async fn call(process: &Process, path: &str, body: Option<Value>) -> (u16, Value) {
    call_with(process, None, path, body).await
}

/// The same with an access token.
async fn call_with(
    process: &Process,
    token: Option<&str>,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let url = format!("{}/admin/v1/operations{path}", process.admin);
    let request = match body {
        Some(body) => test_client().post(url).json(&body),
        None => test_client().get(url),
    };
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A command API that is ready, and its database.
pub(crate) async fn running() -> (TestDatabase, Process) {
    let database = database().await;
    let process = Process::start(&[("EVENT_STORE_URL", database.url())]);
    process.readiness(200).await;
    (database, process)
}

pub(crate) fn erasure(subject: &str) -> Value {
    json!({"kind": "erase_subject", "by": "op-7", "reason": "ticket 12",
        "arguments": {"subject": subject}})
}

/// A request for an epoch that replaces the current one.
pub(crate) async fn epoch(url: &str) -> Value {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let current = sqlx::query_scalar("SELECT epoch FROM event_store.log");
    let current: Uuid = current.fetch_one(&mut connection).await.unwrap();
    json!({"kind": "begin_epoch", "by": "op-8", "reason": "restored",
        "arguments": {"replaces": current}})
}

/// Asks for an operation and returns its id.
pub(crate) async fn asked(process: &Process, body: Value) -> String {
    asked_with(process, None, body).await
}

/// The same with an access token, which says who asks.
pub(crate) async fn asked_with(process: &Process, token: Option<&str>, mut body: Value) -> String {
    if token.is_some() {
        body.as_object_mut().unwrap().remove("by");
    }
    let (status, answer) = call_with(process, token, "", Some(body)).await;
    assert_eq!(status, 202, "{answer:#}");
    answer["data"]["id"].as_str().unwrap().to_owned()
}

/// Waits until the operation has ended.
pub(crate) async fn ended(process: &Process, id: &str) -> Value {
    ended_with(process, None, id).await
}

/// The same with an access token.
pub(crate) async fn ended_with(process: &Process, token: Option<&str>, id: &str) -> Value {
    let mut operation = Value::Null;
    until("the operation has ended", async || {
        operation = call_with(process, token, &format!("/{id}"), None).await.1["data"].clone();
        !operation["finished_at"].is_null()
    })
    .await;
    operation
}

/// Registers a user and returns its id.
pub(crate) async fn user(process: &Process) -> String {
    let request =
        test_client().post(format!("{}/api/v1/users", process.api)).bearer_auth(tokens::admin());
    let email = format!("{}@example.com", Uuid::now_v7());
    let body = json!({"email": email, "name": "Canary"});
    let answer: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
    answer["data"]["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn count(url: &str, what: &'static str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(what).fetch_one(&mut connection).await.unwrap()
}

pub(crate) const ERASED: &str =
    "SELECT count(*) FROM event_store.events WHERE event_type = 'subject.erased'";
pub(crate) const EPOCHS: &str = "SELECT count(*) FROM event_store.epochs";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_is_carried_out_with_its_proof_and_says_who_and_why() {
    let (database, process) = running().await;
    let subject = user(&process).await;
    let id = asked(&process, erasure(&subject)).await;
    let operation = ended(&process, &id).await;
    assert_eq!(operation["state"], "succeeded", "{operation:#}");
    assert_eq!(
        (&operation["requested_by"], &operation["reason"]),
        (&json!("op-7"), &json!("ticket 12"))
    );
    let proof = &operation["result"];
    assert_eq!(
        (&proof["subject"], &proof["key_destroyed"], &proof["reservations_left"]),
        (&json!(subject), &json!(true), &json!(0)),
        "{proof:#}"
    );
    // A repeat proves it again, and appends nothing.
    let again = asked(&process, erasure(&subject)).await;
    assert_eq!(ended(&process, &again).await["state"], "succeeded");
    assert_eq!(count(database.url(), ERASED).await, 1);
    let (_, listed) = call(&process, "?limit=1", None).await;
    assert_eq!(listed["data"][0]["id"], again);
    let (status, late) = call(&process, &format!("/{id}/cancel"), Some(json!({"by": "x"}))).await;
    assert_eq!((status, &late["code"]), (409, &json!("operation/finished")));
    assert_eq!(process.stop().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_subject_and_bad_input_are_refused() {
    let (_database, process) = running().await;
    let id = asked(&process, erasure(&Uuid::now_v7().to_string())).await;
    let operation = ended(&process, &id).await;
    assert_eq!(operation["state"], "failed");
    assert!(operation["error"].as_str().unwrap().contains("nothing is known of subject"));
    let pointers = async |body: Value| {
        let (status, answer) = call(&process, "", Some(body)).await;
        assert_eq!(status, 422, "{answer:#}");
        let errors = answer["errors"].as_array().unwrap();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let wrong = json!({"kind": "drop", "by": "a b", "reason": " ", "arguments": {}});
    assert_eq!(pointers(wrong).await, ["/by", "/reason", "/kind"]);
    assert_eq!(pointers(erasure("x")).await, ["/arguments/subject"]);
    let (status, _) = call(&process, &format!("/{}", Uuid::now_v7()), None).await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_is_begun_once_after_the_history_was_lost() {
    let (database, process) = running().await;
    user(&process).await;
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql(
        "DELETE FROM event_store.events; DELETE FROM event_store.tags;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    process.readiness(503).await;
    let before = count(database.url(), EPOCHS).await;
    let id = asked(&process, epoch(database.url()).await).await;
    let operation = ended(&process, &id).await;
    assert_eq!(operation["state"], "succeeded", "{operation:#}");
    assert!(operation["result"]["epoch"].is_string());
    assert_eq!(count(database.url(), EPOCHS).await, before + 1);
    process.readiness(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_has_not_begun_is_cancelled() {
    let database = database().await;
    let options = PostgresOptions::from_url(database.url()).unwrap();
    let turn = Turn::take(&options, Kind::EraseSubject).await.unwrap().unwrap();
    let process = Process::start(&[("EVENT_STORE_URL", database.url())]);
    process.readiness(200).await;
    let subject = user(&process).await;
    let id = asked(&process, erasure(&subject)).await;
    let cancel = format!("/{id}/cancel");
    let (status, answer) = call(&process, &cancel, Some(json!({"by": "op-9"}))).await;
    assert_eq!((status, &answer["data"]["state"]), (202, &json!("cancelled")), "{answer:#}");
    assert_eq!(answer["data"]["cancelled_by"], "op-9");
    drop(turn);
    let id = asked(&process, erasure(&subject)).await;
    assert_eq!(ended(&process, &id).await["state"], "succeeded");
}

/// Kills the process while a lock holds its work on an operation, and lets another one finish.
/// `prepare` says where to block, and `lock` blocks there.
async fn survives_a_kill(prepare: &'static str, lock: &'static str, is_erasure: bool) {
    let database = database().await;
    let settings = [("EVENT_STORE_URL", database.url())];
    let process = Process::start(&settings);
    process.readiness(200).await;
    let subject = user(&process).await;
    let before = count(database.url(), EPOCHS).await;
    let mut holder = PgConnection::connect(database.url()).await.unwrap();
    sqlx::raw_sql(prepare).execute(&mut holder).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    sqlx::raw_sql(lock).execute(&mut *held).await.unwrap();
    let body = if is_erasure { erasure(&subject) } else { epoch(database.url()).await };
    let id = asked(&process, body.clone()).await;
    until("the operation is blocked", async || {
        call(&process, &format!("/{id}"), None).await.1["data"]["state"] == "running"
            && count(database.url(), BLOCKED).await > 0
    })
    .await;
    let (status, busy) = call(&process, "", Some(body.clone())).await;
    assert_eq!((status, &busy["code"]), (409, &json!("operation/busy")));
    if is_erasure && prepare.is_empty() {
        let cancel = format!("/{id}/cancel");
        let (status, late) = call(&process, &cancel, Some(json!({"by": "op-9"}))).await;
        assert_eq!((status, &late["code"]), (409, &json!("operation/irrevocable")));
    }
    // Dropping the process sends SIGKILL. Its calls end with it.
    drop(process);
    sqlx::raw_sql(END_BLOCKED).execute(&mut *held).await.unwrap();
    until("the calls of the dead process ended", async || {
        count(database.url(), BLOCKED).await == 0
    })
    .await;
    held.rollback().await.unwrap();
    let heir = Process::start(&settings);
    heir.readiness(200).await;
    let operation = ended(&heir, &id).await;
    assert_eq!(operation["state"], "succeeded", "{operation:#}");
    assert!(operation["attempts"].as_i64().unwrap() > 1, "{operation:#}");
    let erased = count(database.url(), ERASED).await;
    let begun = count(database.url(), EPOCHS).await - before;
    assert_eq!((erased, begun), if is_erasure { (1, 0) } else { (0, 1) });
}

const BLOCKED: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()";
const END_BLOCKED: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()";
const LOG: &str = "SELECT FROM event_store.log FOR UPDATE";
const GATE: &str = "SELECT pg_advisory_xact_lock(4711)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_survives_a_kill_before_its_key_is_destroyed() {
    survives_a_kill("", "LOCK TABLE subject_keys.keys IN EXCLUSIVE MODE", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_survives_a_kill_before_its_event_is_appended() {
    survives_a_kill("", LOG, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_survives_a_kill_after_its_event_is_appended() {
    let gate = "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(4711); RETURN NEW; END';
        CREATE TRIGGER gate BEFORE UPDATE ON subject_keys.erasures
        FOR EACH ROW WHEN (OLD.position IS NULL) EXECUTE FUNCTION gate()";
    survives_a_kill(gate, GATE, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_survives_a_kill_before_its_end_is_recorded() {
    survives_a_kill(GATE_AT_THE_END, GATE, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_survives_a_kill_before_it_begins() {
    survives_a_kill("", LOG, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_survives_a_kill_between_its_effect_and_its_record() {
    survives_a_kill(GATE_AT_THE_END, GATE, false).await;
}

const GATE_AT_THE_END: &str = "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(4711); RETURN NEW; END';
    CREATE TRIGGER gate BEFORE UPDATE ON event_store.operations
    FOR EACH ROW WHEN (NEW.state = 'succeeded') EXECUTE FUNCTION gate()";
