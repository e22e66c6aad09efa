//! Tests of the process itself: its settings, start, stop and log.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use futures::future::join_all;
use local_servers::{end_of, finish, free_port, http_get, peak_memory_kib, test_client};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::{App, tokens};

const KEY: &str = "Y2FuYXJ5LWtleS1jYW5hcnkta2V5LWNhbmFyeS1rZXktY2FuYXJ5";
/// The URL of a database that does not exist.
const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing";
/// The maximum time until the process is ready or has stopped.
const PATIENCE: Duration = Duration::from_secs(20);
/// The maximum number of starts, each with other ports.
const MAX_TRIES: usize = 5;

pub(crate) struct Process {
    child: Child,
    pub(crate) api: String,
    pub(crate) admin: String,
}

impl Process {
    /// Starts a process and waits until it listens. If another process takes a free port first, it
    /// retries with other ports.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        for _ in 0..MAX_TRIES {
            let mut process = Self::spawn(settings);
            let ended = process.until(async |process| {
                let alive = http_get(format!("{}/livez", process.admin)).await.is_ok();
                if alive { Some(None) } else { process.child.try_wait().unwrap().map(Some) }
            });
            if ended.await.is_none() {
                return process;
            }
            let (_, log) = process.end();
            assert!(log.contains("cannot listen"), "{log}");
        }
        panic!("no free ports");
    }

    fn spawn(settings: &[(&str, &str)]) -> Self {
        let (listen, admin) = (
            format!("127.0.0.1:{}", free_port().unwrap()),
            format!("127.0.0.1:{}", free_port().unwrap()),
        );
        let mut command = command();
        command.args(["serve", "--listen", &listen, "--admin-listen", &admin]);
        let child = command.envs(settings.iter().copied()).stderr(Stdio::piped()).spawn().unwrap();
        Self { child, api: format!("http://{listen}"), admin: format!("http://{admin}") }
    }

    pub(crate) async fn ready(&mut self) {
        self.until(async |process| {
            let answer = http_get(format!("{}/readyz", process.admin)).await.ok()?;
            (answer.status() == 200).then_some(())
        })
        .await;
    }

    /// Calls `look` until it returns something.
    async fn until<T>(&mut self, look: impl AsyncFn(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Each look has its own time limit, that of the HTTP client.
            if let Some(seen) = look(self).await {
                return seen;
            }
            if Instant::now() > deadline {
                self.child.kill().unwrap();
                panic!("not in time: {:?}", self.end());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends SIGTERM. Returns the exit code and the log.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        self.end()
    }

    /// The most memory that the process has had at once so far, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        peak_memory_kib(self.child.id()).unwrap()
    }

    fn end(&mut self) -> (Option<i32>, String) {
        let output = end_of(&mut self.child, "query-api", PATIENCE).unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process is already stopped if the test got that far.
        drop(self.child.kill());
        drop(end_of(&mut self.child, "query-api", PATIENCE));
    }
}

/// A folder with a copy of the public keys.
fn cache() -> &'static Path {
    static CACHE: LazyLock<TempDir> = LazyLock::new(|| {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("jwks.json"), tokens::published()).unwrap();
        folder
    });
    CACHE.path()
}

/// Asks as the administrator.
async fn get(url: String) -> reqwest::Result<reqwest::Response> {
    test_client().get(url).bearer_auth(tokens::admin()).send().await
}

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_query-api"));
    command.env_clear().env("TOKEN_KEY", KEY).env("CURSOR_KEY", KEY);
    // No command API runs. The process starts from a copy of its keys.
    command.env("IDENTITY_URL", "http://127.0.0.1:1").env("IDENTITY_CACHE", cache());
    command
}

#[tokio::test]
async fn it_starts_answers_from_the_replica_and_drains_on_sigterm_without_telling_secrets() {
    let app = App::silent(1).await;
    let replica = app.database.url().replace("postgres@", "postgres:canary-password@");
    let mut process = Process::start(&[
        ("READ_MODEL_URL", "postgres://nobody:canary-password@127.0.0.1:1/nothing"),
        ("READ_MODEL_REPLICA_URL", &replica),
        ("NATS_URL", "nats://me:canary-password@127.0.0.1:1"),
        ("LOG", "debug"),
    ])
    .await;
    process.ready().await;
    let answer = get(format!("{}/api/v1/users", process.api)).await.unwrap();
    assert_eq!(answer.status(), 200);
    let metrics =
        http_get(format!("{}/metrics", process.admin)).await.unwrap().text().await.unwrap();
    for line in metrics.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(metrics.contains(&format!("# HELP {name} ")), "{name} is not described");
    }
    let answered = "http_server_request_duration_seconds_count\
        {method=\"GET\",route=\"/api/v1/users\",status=\"200\"} 1";
    assert!(metrics.contains(answered), "{metrics}");
    let (code, log) = process.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("canary") && !log.contains(KEY), "{log}");
    assert!(
        log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{log}"
    );
}

#[tokio::test]
async fn it_waits_for_a_database_that_is_away_and_says_so() {
    let mut process = Process::start(&[("READ_MODEL_URL", NOWHERE)]).await;
    let reason = process.until(async |process| {
        let answer = http_get(format!("{}/readyz?verbose", process.admin)).await.unwrap();
        assert_eq!(answer.status(), 503);
        let body: serde_json::Value = answer.json().await.unwrap();
        let reason =
            body["components"]["read-model"]["reason"].as_str().unwrap_or_default().to_owned();
        reason.contains("reached").then_some(reason)
    });
    let reason = reason.await;
    assert!(!reason.contains("nobody"), "{reason}");
    assert_eq!(get(format!("{}/api/v1/users", process.api)).await.unwrap().status(), 503);
    assert_eq!(process.stop().0, Some(0));
}

#[tokio::test]
async fn hundreds_of_queries_to_a_database_that_is_away_are_a_few_lines_in_the_log() {
    // One line per query would still fit into the pipe of the log.
    const QUERIES: usize = 100;
    let process = Process::start(&[("READ_MODEL_URL", NOWHERE)]).await;
    let url = format!("{}/api/v1/users", process.api);
    for answer in join_all((0..QUERIES).map(|_| get(url.clone()))).await {
        assert_eq!(answer.unwrap().status(), 503);
    }
    let (_, log) = process.stop();
    let is_about_a_failure = |line: &&str| line.contains("WARN") || line.contains("ERROR");
    let lines = log.lines().filter(is_about_a_failure).count();
    assert!(lines > 0 && lines < QUERIES / 2, "{lines} lines: {log}");
}

#[tokio::test]
async fn it_refuses_a_schema_that_it_does_not_know_and_says_what_to_run() {
    for (statement, hint) in [
        (
            "INSERT INTO read_model._sqlx_migrations (version, description, success, checksum, \
                execution_time) VALUES (99999999999999, 'x', true, '', 0)",
            "newer",
        ),
        ("UPDATE read_model._sqlx_migrations SET success = false", "projector migrate"),
        ("DROP TABLE read_model._sqlx_migrations", "projector migrate"),
    ] {
        let app = App::silent(1).await;
        sqlx::raw_sql(statement).execute(&app.writer).await.unwrap();
        let run = || Process::spawn(&[("READ_MODEL_URL", app.database.url())]).end();
        let (code, log) =
            (0..MAX_TRIES).map(|_| run()).find(|(_, log)| !log.contains("cannot listen")).unwrap();
        assert_eq!(code, Some(3), "{log}");
        assert!(log.contains(hint), "{log}");
    }
}

#[test]
fn a_setting_that_is_wrong_is_named_and_no_key_is_shown() {
    let url = ("READ_MODEL_URL", NOWHERE);
    for (name, value, hint) in [
        ("TOKEN_KEY", "", "TOKEN_KEY is empty"),
        ("CURSOR_KEY", "c2hvcnQ=", "fewer than 32 bytes"),
        ("RATE_LIMITS", "100, listOders=1", "RATE_LIMITS: there is no operation listOders"),
        ("NATS_URL", "nats://me:canary@[:1", "NATS_URL is not valid: expected nats://"),
        ("OIDC_ISSUER", "https://id.example.com", "OIDC_AUDIENCE is not set, and OIDC_ISSUER is"),
    ] {
        let mut command = command();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .envs([url, (name, value)]);
        let output = finish(&mut command, PATIENCE).unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(hint) && !error.contains("c2hvcnQ"), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
}
