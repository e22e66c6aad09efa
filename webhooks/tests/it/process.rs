//! The program itself: its command line, its admin port, and a kill.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use local_servers::{finish_async, free_port, in_time, until as eventually};
use tokio::process::{Child, Command};

use crate::receiver::{Receiver, Reply};
use crate::world::{LETTER, World};

const LIMIT: Duration = Duration::from_secs(30);
/// Base64 of 32 bytes.
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn start(world: &World, port: u16) -> Child {
    Command::new(env!("CARGO_BIN_EXE_webhooks"))
        .args(["run", "--admin-listen", &format!("127.0.0.1:{port}")])
        .env("EVENT_STORE_URL", world.database.url())
        .env("WEBHOOK_KEY", KEY)
        .env("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Runs a command line against the process, and returns what it prints and whether it succeeded.
async fn said(port: u16, arguments: &[&str]) -> (String, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webhooks"));
    command.args(arguments).env("WEBHOOKS_ADMIN_URL", format!("http://127.0.0.1:{port}"));
    let output = finish_async(&mut command, LIMIT).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.success())
}

#[tokio::test]
async fn the_program_sends_obeys_its_command_line_and_repeats_after_a_kill() {
    let (world, answers) = (World::new().await, Arc::new(AtomicBool::new(false)));
    let answering = Arc::clone(&answers);
    let receiver = Receiver::answering(move |_, _| {
        if answering.load(Ordering::Relaxed) { Reply::Status(200) } else { Reply::Silence }
    })
    .await;
    let port = free_port().unwrap();
    let mut process = start(&world, port);
    let url = receiver.url();
    let create = [
        "subscriptions",
        "create",
        "--name",
        "Letters",
        "--url",
        &url,
        "--types",
        LETTER,
        "--after",
        "0",
        "--by",
        "clerk-7",
    ];
    eventually("it is created", async || said(port, &create).await.1).await;
    let (listed, _) = said(port, &["subscriptions", "list", "--json"]).await;
    let rows: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let id = rows[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert!(!listed.contains("whsec_"), "{listed}");
    world.append(LETTER, 1).await;
    let first = receiver.got(1).await.remove(0);
    process.start_kill().unwrap();
    in_time("its end", process.wait()).await.unwrap();
    answers.store(true, Ordering::Relaxed);
    let process = start(&world, port);
    world.sent(id.parse().unwrap(), 1).await;
    assert_eq!(receiver.got(2).await[1].id(), first.id());
    let personal = [&create[..], &["--personal"]].concat();
    let (refused, done) = said(port, &personal).await;
    assert!(!done && refused.contains("SUBJECT_KEYS_URL"), "{refused}");
    let replay =
        ["replays", "start", &id, "--from", "1", "--reason", "they lost it", "--by", "clerk-7"];
    let (begun, done) = said(port, &replay).await;
    assert!(done, "{begun}");
    assert!(receiver.got(3).await[2].replay().is_some());
    let (nobody, done) = said(port, &["subscriptions", "rotate", &id]).await;
    assert!(!done && nobody.contains("by"), "{nobody}");
    let (rotated, done) = said(port, &["subscriptions", "rotate", &id, "--by", "clerk-7"]).await;
    assert!(done && rotated.contains("whsec_"), "{rotated}");
    drop(process);
}
