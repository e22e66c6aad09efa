//! `projector verify`: finds what is wrong with the live rows, and nothing when nothing is.

use local_servers::TestDatabase;
use serde_json::Value;

use crate::support::life::Life;
use crate::support::process::{Process, command, finished};
use crate::support::{
    append, contents, postgres_store, projections, runner, tell, until_all_at, whole_database,
};

/// A log with so many events, all of them projected.
async fn projected(seed: u64, events: usize) -> TestDatabase {
    let database = whole_database().await;
    let store = postgres_store(database.url()).await;
    append(store.as_ref(), Life::new(seed).goes_on(events)).await;
    runner(store, database.url()).run_once().await.unwrap();
    database
}

/// What it says, and its exit code.
async fn verify(url: &str, arguments: &[&str]) -> (Value, Option<i32>) {
    let output = finished(command(url).arg("verify").args(arguments).arg("--json")).await;
    let said = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    });
    (said, output.status.code())
}

async fn nothing_differs(url: &str, arguments: &[&str]) {
    for name in projections() {
        let (found, code) = verify(url, &[&[name], arguments].concat()).await;
        assert_eq!(
            (code, &found["differences"]["samples"]),
            (Some(0), &Value::Array(Vec::new())),
            "{name}: {found}"
        );
    }
}

#[tokio::test]
async fn p7_the_live_rows_are_what_the_log_makes() {
    let database = projected(101, 600).await;
    nothing_differs(database.url(), &[]).await;
    // So little memory that rows go to tables and come back.
    nothing_differs(database.url(), &["--memory", "0"]).await;
    nothing_differs(database.url(), &["--sample", "30%", "--seed", "x"]).await;
}

#[tokio::test]
async fn p7_nothing_differs_while_the_rows_move() {
    let database = whole_database().await;
    let store = postgres_store(database.url()).await;
    let mut life = Life::new(102);
    append(store.as_ref(), life.goes_on(300)).await;
    let process = Process::start(database.url());
    until_all_at(database.url(), 300).await;
    let appending = tokio::spawn(async move { append(store.as_ref(), life.goes_on(400)).await });
    nothing_differs(database.url(), &[]).await;
    appending.await.unwrap();
    until_all_at(database.url(), 700).await;
    drop(process);
    nothing_differs(database.url(), &[]).await;
}

#[tokio::test]
async fn every_kind_of_difference_is_found_and_shown_without_personal_values() {
    let database = projected(103, 400).await;
    let url = database.url();
    tell(
        url,
        "DELETE FROM orders_g1.orders WHERE id = (SELECT min(id::text)::uuid FROM \
        orders_g1.orders)",
    )
    .await;
    tell(
        url,
        "INSERT INTO orders_g1.orders SELECT (jsonb_populate_record(o, \
        '{\"id\": \"ffffffff-ffff-ffff-ffff-ffffffffffff\"}')).* FROM orders_g1.orders AS o LIMIT \
        1",
    )
    .await;
    tell(
        url,
        "UPDATE orders_g1.orders SET total_minor = total_minor + 1 WHERE id = (SELECT \
        max(id::text)::uuid FROM orders_g1.orders WHERE id::text NOT LIKE 'ffffffff%')",
    )
    .await;
    let (found, code) = verify(url, &["orders"]).await;
    let differences = &found["differences"];
    assert_eq!(code, Some(1), "{found}");
    for kind in ["missing", "extra", "different"] {
        assert_eq!(differences[kind], 1, "{found}");
        assert!(
            differences["samples"].as_array().unwrap().iter().any(|sample| sample["kind"] == kind),
            "{found}"
        );
    }
    let changed = differences["samples"]
        .as_array()
        .unwrap()
        .iter()
        .find(|sample| sample["kind"] == "different")
        .unwrap();
    let columns: Vec<&String> = changed["live"].as_object().unwrap().keys().collect();
    assert_eq!(columns, ["total_minor"], "only what differs is shown");

    tell(url, "UPDATE users_g1.users SET name = 'Grace'").await;
    let (found, code) = verify(url, &["users"]).await;
    assert_eq!(code, Some(1));
    assert!(!found.to_string().contains("Grace"), "{found}");
    let (found, _) = verify(url, &["users", "--reveal"]).await;
    assert!(found.to_string().contains("Grace"), "{found}");
}

#[tokio::test]
async fn a_difference_in_the_past_of_a_row_is_found_and_its_table_is_named() {
    let database = projected(108, 400).await;
    let url = database.url();
    let (found, code) = verify(url, &["orders"]).await;
    let differences = &found["differences"];
    assert_eq!(code, Some(0), "{found}");
    assert!(differences["past_rows"].as_i64() > differences["rows"].as_i64(), "{found}");

    for planted in [
        "UPDATE orders_g1.orders_history SET version = version + 1 WHERE position = \
            (SELECT min(position) FROM orders_g1.orders_history)",
        "DELETE FROM orders_g1.orders_history WHERE position = \
            (SELECT max(position) FROM orders_g1.orders_history)",
        "INSERT INTO orders_g1.orders_history SELECT (jsonb_populate_record(h, \
            '{\"position\": 1000000}')).* FROM orders_g1.orders_history AS h LIMIT 1",
    ] {
        tell(url, planted).await;
    }
    let (found, code) = verify(url, &["orders"]).await;
    let differences = &found["differences"];
    assert_eq!(code, Some(1), "{found}");
    for kind in ["missing", "extra", "different"] {
        assert_eq!(differences[kind], 1, "{found}");
    }
    let samples = differences["samples"].as_array().unwrap();
    assert!(samples.iter().all(|sample| sample["table"] == "orders_history"), "{found}");
    let changed = samples.iter().find(|sample| sample["kind"] == "different").unwrap();
    let columns: Vec<&String> = changed["live"].as_object().unwrap().keys().collect();
    assert_eq!(columns, ["version"], "{found}");
    let extra = samples.iter().find(|sample| sample["kind"] == "extra").unwrap();
    assert!(extra["key"].as_str().unwrap().ends_with("/1000000"), "{found}");
}

#[tokio::test]
async fn a_sample_finds_what_is_wrong_with_its_keys() {
    let database = projected(104, 400).await;
    tell(database.url(), "UPDATE orders_g1.orders SET units = units + 1").await;
    let (whole, _) = verify(database.url(), &["orders"]).await;
    let (sample, code) = verify(database.url(), &["orders", "--sample", "0.5"]).await;
    assert_eq!(code, Some(1));
    let count = |found: &Value| {
        (
            found["differences"]["rows"].as_i64().unwrap(),
            found["differences"]["different"].as_i64().unwrap(),
        )
    };
    let ((all, all_different), (some, some_different)) = (count(&whole), count(&sample));
    assert_eq!((all, some), (all_different, some_different));
    assert!(0 < some && some < all, "{some} of {all}");
}

#[tokio::test]
async fn a_verification_changes_nothing_and_needs_only_the_projectors_rights() {
    let database = projected(105, 200).await;
    let before = contents(database.url()).await;
    let (owner, reader) = (
        database.url_in_group("read_model_owner").await,
        database.url_in_group("event_store_reader").await,
    );
    let mut command = command(&owner);
    let command = command.env("EVENT_STORE_URL", &reader).env("SUBJECT_KEYS_URL", database.url());
    let output = finished(command.args(["verify", "orders"])).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(contents(database.url()).await, before);
}

#[tokio::test]
async fn a_generation_that_this_program_does_not_fold_is_not_verified() {
    let database = projected(106, 50).await;
    tell(
        database.url(),
        "UPDATE read_model.generations SET fold_version = 9 WHERE projection = 'orders'",
    )
    .await;
    let output = finished(command(database.url()).args(["verify", "orders"])).await;
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("was folded by version 9"), "{said}");
}

#[tokio::test]
async fn rows_of_another_history_are_not_verified() {
    let database = projected(107, 50).await;
    tell(database.url(), "UPDATE read_model.checkpoints SET event_id = gen_random_uuid()").await;
    let output = finished(command(database.url()).args(["verify", "orders"])).await;
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("another history"), "{said}");
}
