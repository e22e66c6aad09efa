//! Health that cannot lie: what the process, its metrics and `projector status --watch` say while
//! something does not move.

use std::process::Stdio;
use std::time::Duration;

use local_servers::{ClusterOptions, PostgresCluster, Stopped, in_time};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::support::life::Life;
use crate::support::process::{Process, command, finished};
use crate::support::silence::Silence;
use crate::support::{
    append, ask, contents, postgres_store, replayed, until, until_all_at, whole_database,
};

/// `projector status --watch`.
struct Watched {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watched {
    fn start(url: &str, arguments: &[&str]) -> Self {
        let mut command = command(url);
        command
            .args(["status", "--watch", "--interval", "0.1"])
            .args(arguments)
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        in_time("a line of the status", self.lines.next_line()).await.unwrap().unwrap()
    }

    /// Reads on to a document of which this is true.
    async fn document(&mut self, what: impl Fn(&Value) -> bool) -> Value {
        let reading = async {
            loop {
                let document: Value = serde_json::from_str(&self.line().await).unwrap();
                if what(&document) {
                    return document;
                }
            }
        };
        in_time("a document of the status", reading).await
    }

    async fn interrupted(mut self) -> Option<i32> {
        kill(Pid::from_raw(self.child.id().unwrap().try_into().unwrap()), Signal::SIGINT).unwrap();
        in_time("the status's end", self.child.wait()).await.unwrap().code()
    }
}

fn users(document: &Value) -> &Value {
    document["projections"]
        .as_array()
        .unwrap()
        .iter()
        .find(|partition| partition["projection"] == "users")
        .unwrap()
}

#[tokio::test]
async fn a_watched_status_shows_positions_move_and_ends_cleanly_on_ctrl_c() {
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let mut watched = Watched::start(url, &["--json"]);
    let first = watched.document(|_| true).await;
    assert_eq!(
        (&users(&first)["mode"], &users(&first)["heartbeat_seconds"]),
        (&"not_running".into(), &Value::Null),
        "{first}"
    );
    let mut life = Life::new(401);
    append(store.as_ref(), life.goes_on(30)).await;
    let behind = watched.document(|document| users(document)["lag_events"] == 30).await;
    assert!(users(&behind)["lag_seconds"].as_f64().unwrap() > 0.0, "{behind}");
    let mut process = Process::start(url);
    let there = watched.document(|document| users(document)["position"] == 30).await;
    assert!(users(&there)["heartbeat_seconds"].as_f64().unwrap() < 9.0, "{there}");
    process.kill_9().await;
    watched.document(|document| users(document)["mode"] == "not_running").await;
    assert_eq!(watched.interrupted().await, Some(0));

    let mut table = Watched::start(url, &[]);
    while !table.line().await.contains("heartbeat (s)") {}
    while !table.line().await.contains("Ctrl-C ends") {}
    assert_eq!(table.interrupted().await, Some(0));
    let output = finished(command(url).args(["status", "--interval", "0.5"])).await;
    assert_eq!(output.status.code(), Some(2), "an interval of zero");
}

#[tokio::test]
async fn a_watched_status_outlives_the_servers_that_it_looks_at() {
    let mut cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    let url = cluster.url();
    event_store::postgres::migrate(&url).await.unwrap();
    projector::migrate(&url).await.unwrap();
    let mut watched = Watched::start(&url, &["--json"]);
    watched.document(|document| document["head_is_current"] == true).await;
    cluster.stop().await;
    let away = watched.document(|document| document["error"].is_string()).await;
    assert!(away["at"].is_string(), "{away}");
    cluster.start_again().await;
    watched.document(|document| document["head_is_current"] == true).await;
    assert_eq!(watched.interrupted().await, Some(0));
}

#[tokio::test]
async fn a_stand_by_is_ready_too() {
    let database = whole_database().await;
    let processes = [Process::start(database.url()), Process::start(database.url())];
    for process in &processes {
        until("readiness", || async { process.get("/readyz").await.starts_with("HTTP/1.1 200") })
            .await;
    }
}

#[tokio::test]
async fn a_process_whose_database_falls_silent_is_not_ready_and_heals_by_itself() {
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let way = Silence::before(url).await;
    let process = Process::start_with(url, &[("READ_MODEL_URL", way.url())]);
    let mut life = Life::new(402);
    append(store.as_ref(), life.goes_on(30)).await;
    until_all_at(url, 30).await;
    until("readiness", || async { process.get("/readyz").await.starts_with("HTTP/1.1 200") }).await;
    let metrics = process.get("/metrics").await;
    assert!(
        metrics.contains(
            "projection_heartbeat_timestamp_seconds{projection=\"users\",partition=\"0\"}"
        ),
        "{metrics}"
    );

    way.falls();
    until("the process to say so", || async {
        process.get("/readyz").await.starts_with("HTTP/1.1 503")
    })
    .await;
    assert!(process.get("/livez").await.starts_with("HTTP/1.1 200"), "a restart would not help");
    way.ends();
    append(store.as_ref(), life.goes_on(30)).await;
    until_all_at(url, 60).await;
    until("readiness", || async { process.get("/readyz").await.starts_with("HTTP/1.1 200") }).await;
    drop(process);
    assert_eq!(contents(url).await, replayed(store).await);
}

/// Within so much a process that cannot work says so.
const SAYS_SO: Duration = Duration::from_secs(10);
/// How long it may take to work on new connections while the old ones are silent.
const HELPS_ITSELF: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_silent_log_shows_in_ten_seconds_and_leaves_the_lag_unknown() {
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let way = Silence::before(url).await;
    let process = Process::start_with(url, &[("EVENT_STORE_URL", way.url())]);
    let mut life = Life::new(403);
    append(store.as_ref(), life.goes_on(30)).await;
    until_all_at(url, 30).await;
    until("readiness", || async { process.get("/readyz").await.starts_with("HTTP/1.1 200") }).await;
    let metrics = process.get("/metrics").await;
    assert!(metrics.contains("\neventstore_head_position 30"), "{metrics}");

    way.falls();
    let says_so = until("the process to say so", || async {
        process.get("/readyz").await.starts_with("HTTP/1.1 503")
    });
    tokio::time::timeout(SAYS_SO, says_so).await.unwrap();
    let unknown =
        ["eventstore_head_position", "projection_lag_events{projection=\"users\",partition=\"0\"}"];
    // A figure that nobody knows is left out.
    until("the figures to be unknown", || async {
        let metrics = process.get("/metrics").await;
        unknown.iter().all(|gauge| !metrics.contains(&format!("\n{gauge} ")))
    })
    .await;
    way.ends();
    append(store.as_ref(), life.goes_on(30)).await;
    until_all_at(url, 60).await;
    until("readiness", || async { process.get("/readyz").await.starts_with("HTTP/1.1 200") }).await;
}

#[tokio::test]
async fn parts_whose_backends_are_stopped_go_on_through_new_ones() {
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let process = Process::start(url);
    let mut life = Life::new(404);
    append(store.as_ref(), life.goes_on(30)).await;
    until_all_at(url, 30).await;
    let backends = "SELECT array_agg(pid) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name LIKE 'projector %-%'";
    let stopped = Stopped::stop(ask::<Vec<i32>>(url, backends).await);
    append(store.as_ref(), life.goes_on(30)).await;
    tokio::time::timeout(HELPS_ITSELF, until_all_at(url, 60)).await.unwrap();
    until("readiness", || async { process.get("/readyz").await.starts_with("HTTP/1.1 200") }).await;
    drop(stopped);
    append(store.as_ref(), life.goes_on(30)).await;
    until_all_at(url, 90).await;
    drop(process);
    assert_eq!(contents(url).await, replayed(store).await);
}
