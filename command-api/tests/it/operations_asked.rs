//! Command lines as clients of a running command API (`--admin`), which need no database, and the
//! description of its operations API.

use local_servers::{PATIENCE, finish, http_get, test_client};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::operations::{EPOCHS, ERASED, asked, call, count, ended, epoch, erasure, running, user};
use crate::process::command;

/// Runs a command line on the command API at this admin address. Returns exit code and output.
fn run(admin: &str, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command();
    command.args(words).args(["--admin", admin]);
    let output = finish(&mut command, PATIENCE).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

const SIGNED: [&str; 4] = ["--by", "op-7", "--reason", "ticket 12"];

fn signed<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [words, &SIGNED].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_is_erased_through_a_running_command_api_with_the_same_proof() {
    let (database, process) = running().await;
    let subject = user(&process).await;
    let words = signed(&["erase-subject", &subject, "--json"]);
    let (code, proof, error) = run(&process.admin, &words);
    assert_eq!(code, Some(0), "{error}");
    let proof: Value = serde_json::from_str(&proof).unwrap();
    assert_eq!(proof["requested_by"], "op-7");
    assert_eq!(count(database.url(), ERASED).await, 1);
    // The direct way proves the same.
    let mut direct = command();
    direct.env("EVENT_STORE_URL", database.url()).env("SUBJECT_KEYS_URL", database.url());
    direct.args(["erase-subject", &subject, "--by", "op-9", "--json"]);
    let output = finish(&mut direct, PATIENCE).unwrap();
    let same: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(same, proof);
    let (code, text, error) = run(&process.admin, &signed(&["erase-subject", &subject]));
    assert_eq!(code, Some(0), "{error}");
    assert!(text.contains(&subject), "{text}");
    let record = call(&process, "?limit=1", None).await.1["data"][0].clone();
    assert_eq!((&record["requested_by"], &record["reason"]), (&json!("op-7"), &json!("ticket 12")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_wrong_words_end_with_the_exit_codes_of_the_direct_way() {
    let (_database, process) = running().await;
    let stranger = Uuid::now_v7().to_string();
    for (code, words, wanted) in [
        (3, signed(&["erase-subject", &stranger]), "nothing is known of subject"),
        (2, vec!["erase-subject", &stranger, "--by", "op-7"], "--reason"),
        (2, vec!["erase-subject", &stranger, "--by", "o p", "--reason", "x"], "by expected"),
        (2, signed(&["begin-epoch"]), "--replaces"),
        (3, signed(&["begin-epoch", "--replaces", &stranger]), "the epoch of the log is"),
        (2, vec!["operations", "--limit", "101"], "limit"),
        (3, vec!["operations", &stranger], "nothing here"),
    ] {
        let (ended, _, error) = run(&process.admin, &words);
        assert_eq!(ended, Some(code), "{words:?}: {error}");
        assert!(error.to_lowercase().contains(wanted), "{words:?}: {error}");
    }
    let (code, _, error) = run("http://127.0.0.1:1", &["operations"]);
    assert_eq!(code, Some(3));
    assert!(error.contains("no command API answers at http://127.0.0.1:1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_begins_one_epoch_and_operations_are_shown() {
    let (database, process) = running().await;
    let before = count(database.url(), EPOCHS).await;
    let current = epoch(database.url()).await["arguments"]["replaces"].clone();
    let words = signed(&["begin-epoch", "--replaces", current.as_str().unwrap()]);
    let (code, said, error) = run(&process.admin, &words);
    assert_eq!(code, Some(0), "{error}");
    assert!(said.starts_with("epoch ") && said.ends_with(" has begun\n"), "{said}");
    // A reason must not change the terminal of who reads it.
    let again =
        words.iter().map(|word| if *word == "ticket 12" { "ticket\u{1b}[2J 12" } else { word });
    let (code, _, error) = run(&process.admin, &again.collect::<Vec<_>>());
    assert_eq!(code, Some(3), "{error}");
    assert_eq!(count(database.url(), EPOCHS).await, before + 1);

    let (_, table, _) = run(&process.admin, &["operations"]);
    assert!(table.contains("succeeded") && table.contains("failed"), "{table}");
    assert!(table.contains(r"ticket\u{1b}[2J 12") && !table.contains('\u{1b}'), "{table:?}");
    let (_, list, _) = run(&process.admin, &["operations", "--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    let id = list[0]["id"].as_str().unwrap();
    let (code, one, _) = run(&process.admin, &["operations", id]);
    assert_eq!(code, Some(0));
    assert_eq!(serde_json::from_str::<Value>(&one).unwrap(), list[0]);
    let (code, _, error) = run(&process.admin, &["operations", id, "--cancel", "--by", "op-9"]);
    assert_eq!(code, Some(3));
    assert!(error.contains("it has failed"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operations_api_is_described_and_its_answers_have_an_address() {
    let (_database, process) = running().await;
    let address = format!("{}/admin/v1/openapi.json", process.admin);
    let served: Value = http_get(address).await.unwrap().json().await.unwrap();
    let output = finish(command().args(["openapi", "--admin"]), PATIENCE).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), served);

    let subject = user(&process).await;
    let url = format!("{}/admin/v1/operations", process.admin);
    let answer = test_client().post(url).json(&erasure(&subject)).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let id = answer.json::<Value>().await.unwrap()["data"]["id"].clone();
    let there = format!("{}{location}", process.admin);
    let there: Value = http_get(there).await.unwrap().json().await.unwrap();
    assert_eq!(there["data"]["id"], id);
    let record = ended(&process, id.as_str().unwrap()).await;
    let described = &served["components"]["schemas"]["Operation"]["properties"];
    for (name, _) in record.as_object().unwrap() {
        assert!(described.get(name).is_some(), "{name} is not described");
    }
    let second = asked(&process, erasure(&subject)).await;
    assert_ne!(second, id);
}
