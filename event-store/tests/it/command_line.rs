//! The program `event-store`, run as people and programs run it.

use std::process::{Command, Output};

use event_store::{EventStore, Position};

use local_servers::{PATIENCE, finish_async};

use crate::support::{appended, connect, database, one, plain};

async fn run(url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_event-store"));
    command.args(arguments).env("EVENT_STORE_URL", url).env_remove("EVENT_STORE_URL_FILE");
    finish_async(&mut command.into(), PATIENCE).await.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_str(&text(output)).unwrap()
}

#[tokio::test]
async fn it_shows_a_log_for_people_and_for_programs() {
    let database = database().await;
    let store = connect(database.url()).await;
    for name in ["a", "b", "a"] {
        appended(store.append(one(name)).await.unwrap());
    }
    store.digest().await.unwrap();
    let status = json(&run(database.url(), &["status", "--json"]).await);
    assert_eq!((status["position"].as_i64(), status["digested_to"].as_i64()), (Some(3), Some(3)));
    assert_eq!(status["epoch"].as_str().unwrap(), store.head().await.unwrap().epoch.to_string());
    assert!(text(&run(database.url(), &["status"]).await).contains("digested to"));
    let lines = text(
        &run(database.url(), &["--json", "read", "--after", "1", "--type", "thing.happened"]).await,
    );
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines.iter().map(|line| line["position"].as_i64().unwrap()).collect::<Vec<_>>(),
        [2, 3]
    );
    let backward = text(&run(database.url(), &["stream", "thing-a", "--backward", "--json"]).await);
    assert_eq!(backward.lines().count(), 2);
    assert!(backward.starts_with("{\"position\":3,"), "{backward}");
    assert!(text(&run(database.url(), &["read"]).await).contains("thing.happened"));
}

#[tokio::test]
async fn a_stream_is_shown_as_it_was() {
    let database = database().await;
    let store = connect(database.url()).await;
    for name in ["a", "b", "a", "a", "a"] {
        appended(store.append(one(name)).await.unwrap());
    }
    let versions = async |arguments: &[&str]| {
        let output =
            run(database.url(), &[&["stream", "thing-a", "--json"], arguments].concat()).await;
        let lines = text(&output);
        let versions = lines.lines().map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["version"].as_i64().unwrap()
        });
        versions.collect::<Vec<_>>()
    };
    assert_eq!(versions(&["--as-of", "version:2"]).await, [1, 2]);
    assert_eq!(versions(&["--as-of", "position:4", "--after", "1"]).await, [2, 3]);
    assert_eq!(versions(&["--as-of", "position:3", "--backward", "--limit", "1"]).await, [2]);
    let third = store.read(&event_store::Filter::All, Position(3), 1).await.unwrap().remove(0);
    assert_eq!(versions(&["--as-of", &third.recorded_at.to_rfc3339()]).await, [1, 2, 3]);
    assert_eq!(versions(&["--as-of", "2020-01-01T00:00:00Z", "--backward"]).await, [0_i64; 0]);
    let wrong = run(database.url(), &["stream", "thing-a", "--as-of", "yesterday"]).await;
    assert_eq!(wrong.status.code(), Some(2));
}

#[tokio::test]
async fn its_exit_code_says_whether_the_log_is_in_order() {
    let database = database().await;
    let store = connect(database.url()).await;
    appended(store.append(one("a")).await.unwrap());
    store.digest().await.unwrap();
    let found = run(database.url(), &["verify"]).await;
    assert_eq!(found.status.code(), Some(0), "{}", text(&found));
    let mut admin = plain(database.url()).await;
    sqlx::raw_sql("UPDATE event_store.events SET data = '{}'").execute(&mut admin).await.unwrap();
    let found = run(database.url(), &["verify", "--json"]).await;
    assert_eq!(
        (found.status.code(), json(&found)["findings"][0]["position"].as_i64()),
        (Some(1), Some(1))
    );
    assert_eq!(run(database.url(), &["verify", "--quickly"]).await.status.code(), Some(2));
    let nowhere = run("postgres://postgres:canary@127.0.0.1:1/none", &["status"]).await;
    assert_eq!(nowhere.status.code(), Some(3), "it could not look");
    assert!(!String::from_utf8_lossy(&nowhere.stderr).contains("canary"));
}

#[tokio::test]
async fn it_begins_an_epoch_that_running_processes_follow() {
    let database = database().await;
    let store = connect(database.url()).await;
    appended(store.append(one("a")).await.unwrap());
    let old = store.head().await.unwrap().epoch;
    let abandoned = uuid::Uuid::from_u128(7).to_string();
    let arguments =
        ["epoch", "begin", "--reason", "a restore", "--abandon", &abandoned, "--yes", "--json"];
    let begun = json(&run(database.url(), &arguments).await);
    let outcome = appended(store.append(one("a")).await.unwrap());
    assert_eq!(outcome.epoch.to_string(), begun["epoch"].as_str().unwrap());
    assert_ne!(outcome.epoch, old);
    let all = json(&run(database.url(), &["epoch", "--json"]).await);
    assert_eq!((all.as_array().unwrap().len(), all[1]["began_after"].as_i64()), (2, Some(1)));
    assert_eq!(
        (all[1]["reason"].as_str(), all[1]["abandoned"][0].as_str()),
        (Some("a restore"), Some(abandoned.as_str()))
    );
    assert_eq!(store.head().await.unwrap().mark.position, Position(2));
}

#[tokio::test]
async fn what_is_about_nothing_says_so_and_fails() {
    let database = database().await;
    let store = connect(database.url()).await;
    appended(store.append(one("a")).await.unwrap());
    for (arguments, why) in [
        (&["stream", "thing-b"][..], "there is no stream thing-b"),
        (&["stream", "thing-b", "--backward"], "there is no stream thing-b"),
        (&["stream", "thing-a", "--as-of", "2020-01-01T00:00:00Z"], "did not exist then"),
        (&["read", "--after", "2"], "the log ends at position 1, before 2"),
        (&["read", "--type", "thing.unknown"], "is of that kind"),
        (&["read", "--tag", "thing:unknown"], "is of that kind"),
        (&["read", "--category", "unknown"], "is of that kind"),
    ] {
        for json in [false, true] {
            let arguments = [arguments, if json { &["--json"][..] } else { &[] }].concat();
            let output = run(database.url(), &arguments).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
            assert!(said.contains(why) && output.stdout.is_empty(), "{arguments:?}: {said}");
        }
    }
    for arguments in [&["read", "--after", "1"][..], &["stream", "thing-a", "--after", "1"]] {
        let output = run(database.url(), arguments).await;
        assert!(output.status.success(), "existing values may not have more: {arguments:?}");
    }
}
