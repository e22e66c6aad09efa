//! Who may ask a running projector for operations, and whom their record names.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use local_servers::{test_client, until};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rebuild::projected;
use crate::support::admin::OPERATIONS;
use crate::support::process::{Process, command, finished};
use crate::support::tokens::{ADA, Publisher, SESSION, expired, nowhere, revoked, token};

/// Who asks, in the order of the answers in [`TABLE`]. `other` has another permission, `own` the
/// right one, but for their own things only.
const CALLERS: [&str; 6] = ["anonymous", "expired", "revoked", "other", "own", "operator"];

/// The statuses of each operation of the document.
const TABLE: &[(&str, &str, [u16; 6])] = &[
    // One line each.
    ("get", "/admin/v1/openapi.json", [200, 401, 401, 200, 200, 200]),
    ("get", "/admin/v1/operations", [401, 401, 401, 403, 403, 200]),
    ("get", "/admin/v1/operations/{id}", [401, 401, 401, 403, 403, 404]),
    ("post", "/admin/v1/operations", [401, 401, 401, 403, 403, 202]),
    ("post", "/admin/v1/operations/{id}/cancel", [401, 401, 401, 403, 403, 404]),
];

const NO_ID: &str = "00000000-0000-0000-0000-000000000000";
const OPERATE: &str = "projections:operate";

fn token_of(caller: &str) -> Option<String> {
    match caller {
        "anonymous" => None,
        "expired" => Some(expired(OPERATE)),
        "revoked" => Some(revoked(OPERATE)),
        "other" => Some(token("log:operate users:erase")),
        "own" => Some(token("projections:operate.own")),
        _ => Some(token(OPERATE)),
    }
}

/// Sends a request as the holder of a token, or as nobody.
async fn send(
    process: &Process,
    (method, path): (&str, &str),
    token: Option<&str>,
    body: &Value,
) -> (u16, Value) {
    let method: Method = method.to_uppercase().parse().unwrap();
    let mut request = test_client().request(method.clone(), format!("{}{path}", process.admin()));
    if method == Method::POST {
        request = request.json(body);
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let is_challenged = matches!(status, 401 | 403);
    assert_eq!(answer.headers().contains_key("www-authenticate"), is_challenged, "{path}");
    assert_eq!(answer.headers().contains_key("retry-after"), status == 503, "{path}");
    (status, answer.json().await.unwrap())
}

fn verification() -> Value {
    json!({"kind": "verify", "projection": "products", "reason": "a look", "arguments": {}})
}

/// Waits until the process knows the keys, and what is revoked.
async fn until_it_knows(process: &Process) {
    until("the keys are known", async || {
        let path = ("get", OPERATIONS);
        let Ok(answer) = test_client().get(format!("{}/livez", process.admin())).send().await
        else {
            return false;
        };
        answer.status() == 200
            && send(process, path, Some(&token(OPERATE)), &Value::Null).await.0 == 200
    })
    .await;
}

#[tokio::test]
async fn every_operation_answers_everybody_as_the_table_says() {
    let (database, publisher) = (projected(541, 60).await, Publisher::start().await);
    let process = Process::start_with(database.url(), &[("IDENTITY_URL", &publisher.url())]);
    until_it_knows(&process).await;
    let described = ("get", "/admin/v1/openapi.json");
    let (_, document) = send(&process, described, None, &Value::Null).await;
    let paths = document["paths"].as_object().unwrap().iter();
    let operations: BTreeSet<(&str, &str)> = paths
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
            methods.map(move |method| (method.as_str(), path.as_str()))
        })
        .collect();
    let rows: BTreeSet<(&str, &str)> =
        TABLE.iter().map(|(method, path, _)| (*method, *path)).collect();
    assert_eq!(operations, rows, "each operation has a row in the table of this file");
    for (method, path, expected) in TABLE {
        let real = path.replace("{id}", NO_ID);
        let body = if path.ends_with("cancel") { json!({}) } else { verification() };
        for (caller, status) in CALLERS.iter().zip(expected) {
            let token = token_of(caller);
            let answer = send(&process, (method, &real), token.as_deref(), &body).await;
            assert_eq!(answer.0, *status, "{caller}: {method} {path}: {:#}", answer.1);
            let responses = &document["paths"][path][method]["responses"];
            assert!(responses[status.to_string()].is_object(), "{method} {path} lacks {status}");
        }
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        let open = test_client().get(format!("{}{path}", process.admin())).send().await.unwrap();
        assert_ne!(open.status(), 401, "{path} asks nobody");
    }
}

#[tokio::test]
async fn the_record_names_the_holder_of_the_token_and_nobody_else() {
    let (database, publisher) = (projected(542, 60).await, Publisher::start().await);
    let process = Process::start_with(database.url(), &[("IDENTITY_URL", &publisher.url())]);
    until_it_knows(&process).await;
    let operator = token(OPERATE);
    let mut claimed = verification();
    claimed["by"] = "clerk-7".into();
    let (status, refused) = send(&process, ("post", OPERATIONS), Some(&operator), &claimed).await;
    assert_eq!((status, &refused["errors"][0]["pointer"]), (422, &"/by".into()), "{refused}");

    let (ada, session) = (json!(format!("user:{ADA}")), json!(SESSION));
    let (status, asked) =
        send(&process, ("post", OPERATIONS), Some(&operator), &verification()).await;
    let record = &asked["data"];
    assert_eq!(
        (status, &record["requested_by"], &record["requested_with"]),
        (202, &ada, &session),
        "{asked}"
    );
    let path = format!("{OPERATIONS}/{}", record["id"].as_str().unwrap());
    until("the operation's end", async || {
        let found = send(&process, ("get", &path), Some(&operator), &Value::Null).await;
        !found.1["data"]["finished_at"].is_null()
    })
    .await;

    // A rebuild that is slow enough to be cancelled.
    let slow = json!({"kind": "rebuild", "projection": "orders", "reason": "an index",
        "arguments": {"throttle": 1}});
    let (_, asked) = send(&process, ("post", OPERATIONS), Some(&operator), &slow).await;
    let path = format!("{OPERATIONS}/{}", asked["data"]["id"].as_str().unwrap());
    let cancel = format!("{path}/cancel");
    let by = json!({"by": "clerk-8"});
    let (status, refused) = send(&process, ("post", &cancel), Some(&operator), &by).await;
    assert_eq!((status, &refused["errors"][0]["pointer"]), (422, &"/by".into()), "{refused}");
    let (status, cancelled) = send(&process, ("post", &cancel), Some(&operator), &json!({})).await;
    let record = &cancelled["data"];
    assert_eq!(
        (status, &record["cancelled_by"], &record["cancelled_with"]),
        (202, &ada, &session),
        "{cancelled}"
    );
}

#[tokio::test]
async fn command_lines_send_the_token_and_say_what_to_do_without_one() {
    let (database, publisher) = (projected(543, 60).await, Publisher::start().await);
    let url = database.url();
    let process = Process::start_with(url, &[("IDENTITY_URL", &publisher.url())]);
    until_it_knows(&process).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, token(OPERATE) + "\n").unwrap();
    let (file, operator, other) = (file.to_str().unwrap(), token(OPERATE), token("log:operate"));
    let who = format!("user:{ADA}");
    let address = process.admin();
    let run = async |words: &[&str], settings: &[(&str, &str)]| {
        let mut command = command(url);
        command.args(words).args(["--admin", &address]).envs(settings.iter().copied());
        let output = finished(&mut command).await;
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code().unwrap(), said.concat())
    };
    let pause = ["pause", "orders", "--reason", "a look"];
    let (code, said) = run(&pause, &[("DAYBOOK_TOKEN", &operator)]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&format!("orders is paused by {who}")), "{said}");
    // A name besides the token changes nothing.
    let resume = ["resume", "orders", "--by", "clerk-7", "--reason", "seen"];
    let (code, said) = run(&resume, &[("DAYBOOK_TOKEN_FILE", file)]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&who), "{said}");
    let (code, listed) = run(&["operations", "--token-file", file], &[]).await;
    assert_eq!(code, 0, "{listed}");
    assert!(listed.contains(&who) && !listed.contains("clerk-7"), "{listed}");

    let old = expired(OPERATE);
    let none: &[(&str, &str)] = &[];
    let both = [("DAYBOOK_TOKEN", &*operator), ("DAYBOOK_TOKEN_FILE", file)];
    for (settings, code, hint) in [
        (none, 3, "put an access token into DAYBOOK_TOKEN"),
        (&[("DAYBOOK_TOKEN", &*old)], 3, "an access token is valid for some minutes"),
        (&[("DAYBOOK_TOKEN", &*other)], 3, "it takes the permission projections:operate"),
        (&both, 2, "both DAYBOOK_TOKEN and DAYBOOK_TOKEN_FILE are set"),
    ] {
        let (ended, said) = run(&["operations"], settings).await;
        assert_eq!(ended, code, "{said}");
        assert!(said.contains(hint), "{said}");
        assert!(!said.contains(&operator) && !said.contains(&old), "{said}");
    }
}

#[tokio::test]
async fn p8_it_projects_while_the_command_api_is_away_and_only_operations_wait_for_its_keys() {
    let (database, cache) = (projected(544, 60).await, TempDir::new().unwrap());
    let address = nowhere();
    let identity = format!("http://{address}");
    let settings =
        [("IDENTITY_URL", &*identity), ("IDENTITY_CACHE", cache.path().to_str().unwrap())];
    let process = Process::start_with(database.url(), &settings);
    until("readiness", async || process.get("/readyz").await.starts_with("HTTP/1.1 200")).await;
    let operator = token(OPERATE);
    let list = ("get", OPERATIONS);
    let (status, unknown) = send(&process, list, Some(&operator), &Value::Null).await;
    assert_eq!((status, &unknown["code"]), (503, &"access-token-keys/unavailable".into()));
    assert_eq!(send(&process, list, None, &Value::Null).await.0, 401);

    let publisher = Publisher::at(address).await;
    until_it_knows(&process).await;
    until("there are copies", async || cache.path().join("revocations.json").exists()).await;
    drop(process);
    drop(publisher);
    // The copies are enough for the next start.
    let process = Process::start_with(database.url(), &settings);
    until_it_knows(&process).await;
    assert_eq!(send(&process, list, Some(&revoked(OPERATE)), &Value::Null).await.0, 401);
}

#[tokio::test]
async fn an_outside_issuer_needs_the_command_api_that_says_what_is_revoked() {
    let database = projected(545, 10).await;
    let mut command = command(database.url());
    command.args(["run", "--admin-listen", "127.0.0.1:0"]);
    command.env("OIDC_ISSUER", "https://id.example.com").env("OIDC_AUDIENCE", "daybook");
    let output = finished(&mut command).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("OIDC_ISSUER needs IDENTITY_URL"), "{said}");
}

#[tokio::test]
async fn a_folder_of_copies_that_everybody_can_write_to_is_refused_by_the_name_of_the_setting() {
    let (database, cache) = (projected(547, 10).await, TempDir::new().unwrap());
    std::fs::set_permissions(cache.path(), Permissions::from_mode(0o777)).unwrap();
    let mut command = command(database.url());
    command.args(["run", "--admin-listen", "127.0.0.1:0"]);
    command.env("IDENTITY_URL", format!("http://{}", nowhere()));
    command.env("IDENTITY_CACHE", cache.path());
    let output = finished(&mut command).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("IDENTITY_CACHE: every user of this machine can write"), "{said}");
}

#[tokio::test]
async fn without_tokens_nobody_may_sign_as_if_they_had_one() {
    let database = projected(546, 10).await;
    let process = Process::start(database.url());
    until("it answers", async || process.get("/livez").await.starts_with("HTTP/1.1 200")).await;
    for by in [json!(format!("user:{ADA}")), Value::Null] {
        let mut claimed = verification();
        claimed["by"] = by;
        let (status, refused) = send(&process, ("post", OPERATIONS), None, &claimed).await;
        assert_eq!((status, &refused["errors"][0]["pointer"]), (422, &"/by".into()), "{refused}");
    }
}
