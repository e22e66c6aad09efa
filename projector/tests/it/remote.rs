//! Command lines as clients of a running projector (`--admin`): they print what they print without
//! it, end with the same exit codes, and follow their operation through the projector's kill -9.

use std::process::Stdio;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use uuid::Uuid;

use crate::parked::of_a_stranger;
use crate::rebuild::{ends_with, projected, succeeds};
use crate::support::admin::Admin;
use crate::support::process::{Process, command, finished};
use crate::support::whole_database;
use crate::support::{append, ask, postgres_store, projections, until, until_all_at};

const COUNT: &str = "SELECT count(*) FROM read_model.operations";
/// The projection that refuses the first event, and has it parked.
const PARKING: &str = "SELECT min(projection) FROM read_model.parked";
const FINISHED: i64 = 0;

/// These words, to be done by the projector at this address.
fn through<'a>(address: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    let who = ["--by", "clerk-7", "--reason", "why not", "--admin", address];
    [words, &who[..]].concat()
}

/// A log whose only event is parked, and the projection that has it parked.
async fn parked() -> (local_servers::TestDatabase, Process, String) {
    let database = whole_database().await;
    let url = database.url();
    append(postgres_store(url).await.as_ref(), vec![of_a_stranger(Uuid::from_u128(1))]).await;
    let process = Process::start(url);
    until_all_at(url, 1).await;
    Admin::of(&process).await;
    let name = ask::<Option<String>>(url, PARKING).await.unwrap();
    (database, process, name)
}

#[tokio::test]
async fn every_projection_is_switched_back_and_dropped_through_a_running_projector() {
    let database = projected(541, 60).await;
    let url = database.url();
    let process = Process::start(url);
    Admin::of(&process).await;
    let address = process.admin();
    for name in projections() {
        let direct = ends_with(3, url, &["switch-back", name]).await;
        let said = ends_with(3, url, &through(&address, &["switch-back", name])).await;
        assert!(said.contains(direct.trim_start_matches("projector: ").trim()), "{said}{direct}");
        succeeds(url, &through(&address, &["rebuild", name])).await;
        let direct = succeeds(url, &["switch-back", name]).await;
        let back = ["switch-back", name, "--patience", "50"];
        let said = succeeds(url, &through(&address, &back)).await;
        assert_eq!(said, direct.replace('2', "0").replace('1', "2").replace('0', "1"), "{name}");
        assert!(said.contains(&format!("queries see generation 2 of {name} now")), "{said}");

        for (generation, code, words) in [
            ("2", 3, "queries see it"),
            ("7", 3, "it does not exist"),
            ("0", 2, "arguments/generation"),
        ] {
            let drop = ["drop", name, generation, "--yes"];
            let said = ends_with(code, url, &through(&address, &drop)).await;
            assert!(said.contains(words), "{said}");
        }
        let said = succeeds(url, &through(&address, &["drop", name, "1", "--yes"])).await;
        assert_eq!(said, format!("generation 1 of {name} is gone\n"));
    }
    let signed = "SELECT count(*) FROM read_model.operations
        WHERE requested_by = 'clerk-7' AND reason = 'why not' AND kind IN ('switch', 'drop')";
    let asked = i64::try_from(projections().len()).unwrap() * 5;
    assert_eq!(ask::<i64>(url, signed).await, asked);
}

#[tokio::test]
async fn a_drop_through_a_running_projector_asks_first() {
    let database = projected(542, 30).await;
    let url = database.url();
    let process = Process::start(url);
    Admin::of(&process).await;
    let (address, name) = (process.admin(), projections()[0]);
    succeeds(url, &["rebuild", name]).await;
    for (answer, code, recorded) in [("", 3, 0), ("something else", 3, 0), (name, 0, 1)] {
        let mut child = command(url)
            .args(through(&address, &["drop", name, "1"]))
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(format!("{answer}\n").as_bytes()).await.unwrap();
        let output =
            local_servers::in_time("the command's end", child.wait_with_output()).await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{answer:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("the way back"), "{answer:?}");
        assert_eq!(ask::<i64>(url, COUNT).await, recorded, "{answer:?}");
    }
}

#[tokio::test]
async fn parked_events_are_retried_and_skipped_through_a_running_projector() {
    let (database, process, name) = parked().await;
    let (url, address) = (database.url(), process.admin());
    let retry = ["parked", "retry", name.as_str()];
    let direct = succeeds(url, &retry).await;
    assert!(direct.contains("of 1 rows 1 still lack events"), "{direct}");
    assert_eq!(succeeds(url, &through(&address, &retry)).await, direct);
    let retried = succeeds(url, &through(&address, &[&retry[..], &["--json"]].concat())).await;
    let retried: Value = serde_json::from_str(&retried).unwrap();
    assert_eq!(retried, json!({"rows": 1, "waiting": 0, "still_stale": 1}));
    let skip = |position: &'static str| ["parked", "skip", name.as_str(), position];
    for (words, code, said) in [
        (&["--key", "x"][..], 2, "arguments/key"),
        (&["--wait", "3601"], 2, "arguments/wait"),
        (&["--position", "0"], 2, "arguments/position"),
        (&["--position", "2"], 3, "nothing at position 2"),
    ] {
        let words = [&retry[..], words].concat();
        let told = ends_with(code, url, &through(&address, &words)).await;
        assert!(told.contains(said), "{words:?}: {told}");
    }
    let told = ends_with(2, url, &through(&address, &skip("0"))).await;
    assert!(told.contains("arguments/position"), "{told}");
    let told = ends_with(3, url, &through(&address, &skip("2"))).await;
    assert!(told.contains("no row refuses the event at position 2"), "{told}");
    let told = succeeds(url, &through(&address, &skip("1"))).await;
    let rows = "is skipped for 1 rows";
    assert!(told.contains(rows) && told.contains("the event at position 1"), "{told}");
    let who = "SELECT DISTINCT skipped_by || ': ' || reason FROM read_model.skips";
    assert_eq!(ask::<String>(url, who).await, "clerk-7: why not");
    until("nothing to be parked", || async { parked_rows(url).await == 0 }).await;
    let told = ends_with(3, url, &through(&address, &retry)).await;
    assert!(told.contains("nothing at all of"), "{told}");
}

async fn parked_rows(url: &str) -> i64 {
    ask(
        url,
        "SELECT count(*) FROM read_model.stale WHERE projection IN
        (SELECT projection FROM read_model.skips)",
    )
    .await
}

#[tokio::test]
async fn who_and_why_are_needed_and_a_second_operation_is_refused() {
    let database = projected(543, 200).await;
    let url = database.url();
    let process = Process::start(url);
    let admin = Admin::of(&process).await;
    let (address, name) = (process.admin(), projections()[0]);
    let commands = [
        &["switch-back", name][..],
        &["drop", name, "1", "--yes"],
        &["parked", "retry", name],
        &["rebuild", name],
        &["verify", name],
    ];
    for words in commands {
        let said = ends_with(2, url, &[words, &["--admin", &address]].concat()).await;
        assert!(said.contains("needs --reason"), "{words:?}: {said}");
    }
    assert_eq!(ask::<i64>(url, COUNT).await, 0, "nothing is recorded");
    let path = admin.ask("rebuild", name, json!({"throttle": 20})).await;
    let skip = ["parked", "skip", name, "1"];
    for words in commands.into_iter().chain([&skip[..]]) {
        let said = ends_with(3, url, &through(&address, words)).await;
        let id = path.rsplit('/').next().unwrap();
        let busy = "Another operation works on the projection";
        assert!(said.contains(busy) && said.contains(id), "{words:?}: {said}");
    }
    let id = path.rsplit('/').next().unwrap();
    let cancel = ["operations", id, "--cancel", "--by", "clerk-8", "--admin", &address];
    succeeds(url, &cancel).await;
    assert_eq!(admin.ended(&path).await["cancelled_by"], "clerk-8");
}

#[tokio::test]
async fn the_admin_port_serves_the_description_that_the_command_line_prints() {
    let database = whole_database().await;
    let process = Process::start(database.url());
    let (status, served) = Admin::of(&process).await.get("/admin/v1/openapi.json").await;
    let printed = succeeds(database.url(), &["openapi"]).await;
    assert_eq!((status, served), (200, serde_json::from_str::<Value>(&printed).unwrap()));
}

/// Locks what an operation needs, lets a command line ask for the operation, kills the projector in
/// the middle, starts the next one, and releases the lock. Returns what the command line printed.
async fn killed_in_the_middle(
    url: &str,
    process: &mut Process,
    lock: String,
    words: &[&str],
) -> String {
    let mut other = PgConnection::connect(url).await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *held).await.unwrap();
    let address = process.admin();
    let asking = tokio::spawn({
        let mut asked = command(url);
        asked.args(through(&address, words)).stdout(Stdio::piped()).stderr(Stdio::piped());
        async move { finished(&mut asked).await }
    });
    let running = "SELECT count(*) FROM read_model.operations WHERE state = 'running'";
    until("the operation to run", || async { ask::<i64>(url, running).await == 1 }).await;
    process.kill_9().await;
    *process = process.start_again(url);
    let second = "SELECT count(*) FROM read_model.operations
        WHERE state = 'running' AND attempts = 2";
    until("the next process to take it", || async { ask::<i64>(url, second).await == 1 }).await;
    assert!(!asking.is_finished(), "{words:?} is followed");
    held.rollback().await.unwrap();
    let output = asking.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}{log}");
    assert_eq!(ask::<i64>(url, running).await, FINISHED, "{words:?}");
    said
}

#[tokio::test]
async fn a_command_line_follows_its_operation_through_kill_9_of_the_projector() {
    let (database, mut process, name) = parked().await;
    let url = database.url();
    let name = name.as_str();
    succeeds(url, &["rebuild", name]).await;
    let view = format!("LOCK TABLE read_model.{name} IN ACCESS SHARE MODE");
    let table = format!("LOCK TABLE {name}_g2.{name} IN ACCESS SHARE MODE");
    let checkpoints =
        format!("SELECT FROM read_model.checkpoints WHERE projection = '{name}' FOR UPDATE");
    for (lock, words, expected) in [
        (view, &["switch-back", name][..], "queries see generation 1"),
        (
            checkpoints.clone(),
            &["parked", "retry", name, "--wait", "300"],
            "of 2 rows 2 still lack",
        ),
        (checkpoints, &["parked", "skip", name, "1"], "for 1 rows"),
        (table, &["drop", name, "2", "--yes"], "generation 2"),
    ] {
        let said = killed_in_the_middle(url, &mut process, lock, words).await;
        assert!(said.contains(expected), "{words:?}: {said}");
    }
    let signed = "SELECT count(*) FROM read_model.operations
        WHERE requested_by = 'clerk-7' AND state = 'succeeded' AND attempts = 2";
    assert_eq!(ask::<i64>(url, signed).await, 4);
}

#[tokio::test]
async fn a_wait_for_a_retry_can_be_cancelled() {
    let (database, process, name) = parked().await;
    let (url, admin) = (database.url(), Admin::of(&process).await);
    let mut other = PgConnection::connect(url).await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::query("SELECT FROM read_model.checkpoints FOR UPDATE").execute(&mut *held).await.unwrap();
    let path = admin.ask("parked_retry", &name, json!({"wait": 3_600})).await;
    admin.until("the wait", &path, |found| found["state"] == "running").await;
    let (status, _, body) = admin.post(&format!("{path}/cancel"), &json!({"by": "clerk-8"})).await;
    assert_eq!(status, 202, "{body}");
    assert_eq!(admin.ended(&path).await["state"], "cancelled");
    held.rollback().await.unwrap();
}

/// Passes requests on to the projector at this address, each on a connection of its own. The first
/// `refused` questions after an operation are answered as if the read model were away.
async fn refusing(address: String, refused: usize) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = format!("http://{}", listener.local_addr().unwrap());
    let upstream = address.trim_start_matches("http://").to_owned();
    let passing = async move {
        let mut left = refused;
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = client.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            if head.starts_with("GET ") && left > 0 {
                left -= 1;
                let answer = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\
                    content-length: 17\r\n\r\n{\"title\": \"away\"}";
                client.write_all(answer.as_bytes()).await.unwrap();
                continue;
            }
            let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
            let mut server = TcpStream::connect(&upstream).await.unwrap();
            server.write_all(head.as_bytes()).await.unwrap();
            tokio::io::copy_bidirectional(&mut client, &mut server).await.unwrap();
        }
    };
    (own, tokio::spawn(passing))
}

#[tokio::test]
async fn a_command_line_asks_again_while_the_projector_cannot_reach_its_read_model() {
    let database = projected(544, 30).await;
    let url = database.url();
    let process = Process::start(url);
    Admin::of(&process).await;
    let (address, passing) = refusing(process.admin(), 3).await;
    succeeds(url, &through(&address, &["verify", projections()[0]])).await;
    passing.abort();
    // The first answer is not asked for again: nothing is recorded then.
    let (address, passing) = refusing(process.admin(), 1).await;
    let said = ends_with(3, url, &["operations", "--admin", &address]).await;
    assert!(said.contains("away"), "{said}");
    passing.abort();
}
