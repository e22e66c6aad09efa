//! Who may ask a running command API for operations, and whom their record names. People log in at
//! these processes, so they ask for a token.

use std::collections::BTreeSet;

use axum::http::Method;
use local_servers::{PATIENCE, finish, test_client, until};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::create_admin::Stores;
use crate::operations::{epoch, user};
use crate::process::{Process, command};
use crate::support::tokens::{ADMIN, SESSION, expired, of_session, token};

/// Who asks, in the order of the answers in [`TABLE`]. `other` has none of the permissions, `own`
/// has them for their own things only. `eraser` may erase, `keeper` may begin epochs.
const CALLERS: [&str; 7] = ["anonymous", "expired", "revoked", "other", "own", "eraser", "keeper"];

/// The statuses of each operation of the document; of POST for each kind.
const TABLE: &[(&str, &str, &str, [u16; 7])] = &[
    // One line each.
    ("get", "/admin/v1/openapi.json", "", [200, 401, 401, 200, 200, 200, 200]),
    ("get", "/admin/v1/operations", "", [401, 401, 401, 403, 403, 200, 200]),
    ("get", "/admin/v1/operations/{id}", "", [401, 401, 401, 403, 403, 404, 404]),
    ("post", "/admin/v1/operations", "begin_epoch", [401, 401, 401, 403, 403, 403, 202]),
    ("post", "/admin/v1/operations", "erase_subject", [401, 401, 401, 403, 403, 202, 403]),
    ("post", "/admin/v1/operations/{id}/cancel", "", [401, 401, 401, 403, 403, 404, 404]),
];

const OPERATIONS: &str = "/admin/v1/operations";
const ENDED: Uuid = Uuid::from_u128(0xdead);
const REVOKE: &str = "INSERT INTO auth.revocations VALUES
    (sha256('session:00000000-0000-0000-0000-00000000dead'), 9223372036854775807,
     now() + interval '1 hour')";

/// A command API that people log in at, with its stores.
struct Running {
    stores: Stores,
    process: Process,
    _mails: TempDir,
}

impl Running {
    async fn start() -> Self {
        let (stores, mails) = (Stores::new().await, TempDir::new().unwrap());
        let (url, folder) = (stores.url(), mails.path().to_str().unwrap());
        let settings = [("EVENT_STORE_URL", url), ("AUTH_URL", url), ("MAIL_FOLDER", folder)];
        let process = Process::start(&settings);
        process.readiness(200).await;
        Self { stores, process, _mails: mails }
    }

    /// Sends a request as the holder of a token, or as nobody.
    async fn send(
        &self,
        (method, path): (&str, &str),
        token: Option<&str>,
        body: &Value,
    ) -> (u16, Value) {
        let method: Method = method.to_uppercase().parse().unwrap();
        let url = format!("{}{path}", self.process.admin);
        let mut request = test_client().request(method.clone(), url);
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
        (status, answer.json().await.unwrap())
    }
}

fn holder_of(grants: &str) -> String {
    token(ADMIN, grants.parse().unwrap())
}

fn token_of(caller: &str) -> Option<String> {
    let all = || "users:erase log:operate".parse().unwrap();
    match caller {
        "anonymous" => None,
        "expired" => Some(expired(ADMIN, all())),
        "revoked" => Some(of_session(ENDED, ADMIN, all())),
        "other" => Some(holder_of("projections:operate users:delete")),
        "own" => Some(holder_of("users:erase.own log:operate.own")),
        "eraser" => Some(holder_of("users:erase")),
        _ => Some(holder_of("log:operate")),
    }
}

fn erasure(subject: &str) -> Value {
    json!({"kind": "erase_subject", "reason": "ticket 12", "arguments": {"subject": subject}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_answers_everybody_as_the_table_says() {
    let running = Running::start().await;
    running.stores.sql(REVOKE).await;
    until("the ended session is known", async || {
        let list = ("get", OPERATIONS);
        running.send(list, token_of("revoked").as_deref(), &Value::Null).await.0 == 401
    })
    .await;
    let document = command_api::operations::document();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations: BTreeSet<(&str, &str)> = paths
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
            methods.map(move |method| (method.as_str(), path.as_str()))
        })
        .collect();
    let rows: BTreeSet<(&str, &str)> =
        TABLE.iter().map(|(method, path, ..)| (*method, *path)).collect();
    assert_eq!(operations, rows, "each operation has a row in the table of this file");
    let requests = document["components"]["schemas"]["Request"]["oneOf"].as_array().unwrap();
    let described: BTreeSet<&str> = requests
        .iter()
        .map(|request| request["properties"]["kind"]["const"].as_str().unwrap())
        .collect();
    let kinds: BTreeSet<&str> =
        TABLE.iter().map(|row| row.2).filter(|kind| !kind.is_empty()).collect();
    assert_eq!(kinds, described, "each kind has a row in the table of this file");

    let nil = Uuid::nil().to_string();
    for (method, path, kind, expected) in TABLE {
        let body = match *kind {
            "erase_subject" => erasure(&Uuid::now_v7().to_string()),
            // It is not the current epoch, so none begins.
            "begin_epoch" => json!({"kind": kind, "reason": "x", "arguments": {"replaces": nil}}),
            _ => json!({}),
        };
        let real = path.replace("{id}", &nil);
        for (caller, status) in CALLERS.iter().zip(expected) {
            let token = token_of(caller);
            let answer = running.send((method, &real), token.as_deref(), &body).await;
            assert_eq!(answer.0, *status, "{caller}: {method} {path} {kind}: {:#}", answer.1);
            let responses = &document["paths"][path][method]["responses"];
            assert!(responses[status.to_string()].is_object(), "{method} {path} lacks {status}");
        }
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        let url = format!("{}{path}", running.process.admin);
        let open = test_client().get(url).send().await.unwrap();
        assert_ne!(open.status(), 401, "{path} asks nobody");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_is_that_of_its_asker_and_hidden_from_whoever_may_not_ask_for_its_kind() {
    let running = Running::start().await;
    let (eraser, keeper) = (holder_of("users:erase"), holder_of("log:operate"));
    let subject = user(&running.process).await;
    let mut claimed = erasure(&subject);
    claimed["by"] = "op-7".into();
    let (status, refused) = running.send(("post", OPERATIONS), Some(&eraser), &claimed).await;
    assert_eq!((status, &refused["errors"][0]["pointer"]), (422, &json!("/by")), "{refused:#}");

    let (status, asked) =
        running.send(("post", OPERATIONS), Some(&eraser), &erasure(&subject)).await;
    let (admin, record) = (json!(format!("user:{ADMIN}")), &asked["data"]);
    assert_eq!(
        (status, &record["requested_by"], &record["requested_with"]),
        (202, &admin, &json!(SESSION)),
        "{asked:#}"
    );
    let path = format!("{OPERATIONS}/{}", record["id"].as_str().unwrap());
    let mut done = Value::Null;
    until("the erasure has ended", async || {
        done = running.send(("get", &path), Some(&eraser), &Value::Null).await.1["data"].clone();
        !done["finished_at"].is_null()
    })
    .await;
    assert_eq!(
        (&done["state"], &done["result"]["requested_by"]),
        (&json!("succeeded"), &admin),
        "the proof names them, too: {done:#}"
    );

    let cancel = format!("{path}/cancel");
    for (method, path) in [("get", &path), ("post", &cancel)] {
        let hidden = running.send((method, path), Some(&keeper), &json!({})).await;
        assert_eq!((hidden.0, &hidden.1["code"]), (404, &json!("not-found")), "{method}");
    }
    let (status, late) = running.send(("post", &cancel), Some(&eraser), &json!({})).await;
    assert_eq!((status, &late["code"]), (409, &json!("operation/finished")));
    let listed = async |token: &str| {
        let (_, listed) = running.send(("get", OPERATIONS), Some(token), &Value::Null).await;
        listed["data"].as_array().unwrap().len()
    };
    assert_eq!((listed(&eraser).await, listed(&keeper).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn command_lines_send_the_token_and_say_what_to_do_without_one() {
    let running = Running::start().await;
    let subject = user(&running.process).await;
    let keeper = holder_of("log:operate");
    let run = |words: &[&str], token: Option<&str>| {
        let mut command = command();
        command.args(words).args(["--admin", &running.process.admin]);
        command.envs(token.map(|token| ("DAYBOOK_TOKEN", token)));
        let output = finish(&mut command, PATIENCE).unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), said.concat())
    };
    let erase = ["erase-subject", &subject, "--reason", "ticket 12"];
    let (code, said) = run(&erase, None);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("DAYBOOK_TOKEN"), "{said}");
    let (code, said) = run(&erase, Some(&keeper));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("it takes the permission users:erase"), "{said}");
    let (code, said) = run(&erase, Some("not a token"));
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = run(&erase, Some(&holder_of("users:erase")));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("user:{ADMIN}")), "{said}");

    let current = epoch(running.stores.url()).await["arguments"]["replaces"].clone();
    let words = ["begin-epoch", "--replaces", current.as_str().unwrap(), "--reason", "restored"];
    let (code, said) = run(&words, Some(&keeper));
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["operations"], Some(&keeper));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("begin_epoch") && !said.contains("erase_subject"), "{said}");
}
