//! Tests of the process itself: its settings, start, stop and log, and a store that goes away.

use std::process::{Child, Command, Stdio};

use event_store::postgres::keys;
use event_store::{
    Append, EventStore as _, ExpectedVersion, Metadata, NewEvent, PostgresOptions, PostgresStore,
    StreamAppend, postgres,
};
use local_servers::{
    ClusterOptions, PATIENCE, PostgresCluster, TestDatabase, end_of, finish, free_port, http_get,
    test_client, until,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::tokens;

const KEY: &str = "Y2FuYXJ5LWtleS1jYW5hcnkta2V5LWNhbmFyeS1rZXktY2FuYXJ5";
pub(crate) const MASTER_KEY: &str = "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LWNhbmE=";

pub(crate) struct Process {
    child: Child,
    pub(crate) api: String,
    pub(crate) admin: String,
}

impl Process {
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let (listen, admin) = (
            format!("127.0.0.1:{}", free_port().unwrap()),
            format!("127.0.0.1:{}", free_port().unwrap()),
        );
        let mut command = command();
        command.args(["serve", "--listen", &listen, "--admin-listen", &admin]);
        // The keys are in the same database as the log here, unless a test sets another.
        let log = settings
            .iter()
            .find(|(name, _)| *name == "EVENT_STORE_URL")
            .map_or("", |(_, url)| *url);
        let child = command
            .env("SUBJECT_KEYS_URL", log)
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, api: format!("http://{listen}"), admin: format!("http://{admin}") }
    }

    pub(crate) async fn readiness(&self, status: u16) {
        let (http, address) = (test_client(), format!("{}/readyz", self.admin));
        until(&format!("/readyz is {status}"), async || {
            http.get(&address).send().await.is_ok_and(|answer| answer.status() == status)
        })
        .await;
    }

    pub(crate) async fn register(&self, email: &str) -> u16 {
        let request =
            test_client().post(format!("{}/api/v1/users", self.api)).bearer_auth(tokens::admin());
        let answer = request.json(&json!({"email": email, "name": "Canary"})).send().await.unwrap();
        answer.status().as_u16()
    }

    /// Sends SIGTERM. Returns the exit code and the log.
    pub(crate) fn stop(self) -> (Option<i32>, String) {
        self.terminate();
        self.ended()
    }

    /// Sends SIGTERM, which starts the drain, and returns at once.
    pub(crate) fn terminate(&self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    }

    /// Waits until the process ends. Returns the exit code and the log.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        self.end()
    }

    /// The value of a gauge of the process, or `None` while it is left out.
    pub(crate) async fn gauge(&self, name: &str) -> Option<f64> {
        let metrics =
            http_get(format!("{}/metrics", self.admin)).await.unwrap().text().await.unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    fn end(&mut self) -> (Option<i32>, String) {
        let output = end_of(&mut self.child, "command-api", PATIENCE).unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process is already stopped if the test got that far.
        drop(self.child.kill());
        drop(end_of(&mut self.child, "command-api", PATIENCE));
    }
}

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_command-api"));
    command
        .env_clear()
        .env("TOKEN_KEY", KEY)
        .env("ACCESS_TOKEN_KEYS", tokens::KEYS)
        .env("RESERVATION_KEY", KEY)
        .env("MASTER_KEY", MASTER_KEY);
    command
}

pub(crate) async fn database() -> TestDatabase {
    let fingerprint = format!("{} {}", postgres::schema_fingerprint(), keys::schema_fingerprint());
    TestDatabase::create("command_api_process", &fingerprint, |url| async move {
        postgres::migrate(&url).await?;
        Ok(keys::migrate(&url).await?)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_describes_its_metrics_and_drains_on_sigterm_without_telling_secrets() {
    let database = database().await;
    let url = database.url().replace("postgres@", "postgres:canary-password@");
    let process = Process::start(&[("EVENT_STORE_URL", &url), ("LOG", "debug")]);
    process.readiness(200).await;
    assert_eq!(process.register("canary@example.com").await, 201);
    assert_eq!(process.register("canary@example.com").await, 409);
    let metrics =
        http_get(format!("{}/metrics", process.admin)).await.unwrap().text().await.unwrap();
    for line in metrics.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(metrics.contains(&format!("# HELP {name} ")), "{name} is not described");
    }
    for series in [
        "command_duration_seconds_count{command=\"register_user\",outcome=\"done\"} 1",
        "command_duration_seconds_count{command=\"register_user\",outcome=\"refused\"} 1",
        "http_server_request_duration_seconds_count\
        {method=\"POST\",route=\"/api/v1/users\",status=\"201\"} 1",
        "eventstore_events_appended_total{type=\"user.registered\"} 1",
        "api_requests_total{version=\"1\",client=\"tests\"} 2",
    ] {
        assert!(metrics.contains(series), "{series} is not in:\n{metrics}");
    }
    assert!(!metrics.to_lowercase().contains("canary"));
    let (code, log) = process.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.to_lowercase().contains("canary") && !log.contains(KEY), "{log}");
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_for_a_store_that_is_away_and_heals_by_itself_when_it_comes_back() {
    let mut cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    postgres::migrate(&cluster.url()).await.unwrap();
    keys::migrate(&cluster.url()).await.unwrap();
    cluster.stop().await;
    let process = Process::start(&[("EVENT_STORE_URL", &cluster.url())]);
    process.readiness(503).await;
    assert_eq!(process.register("ada@example.com").await, 503);
    cluster.start_again().await;
    process.readiness(200).await;
    assert_eq!(process.register("ada@example.com").await, 201);
    cluster.kill().await;
    process.readiness(503).await;
    assert_eq!(process.register("grace@example.com").await, 503);
    cluster.start_again().await;
    process.readiness(200).await;
    assert_eq!(process.register("grace@example.com").await, 201);
    assert_eq!(
        process.register("ada@example.com").await,
        409,
        "what was acknowledged before the crash is there"
    );
    assert_eq!(process.stop().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_at_its_start_which_events_it_cannot_read_and_serves_the_rest() {
    let database = database().await;
    let store =
        PostgresStore::connect(PostgresOptions::from_url(database.url()).unwrap()).await.unwrap();
    let metadata = Metadata::new(Uuid::nil());
    let events = [("user.renamed", 7), ("letter.sent", 1)].map(|(event_type, version)| {
        NewEvent::json(event_type.parse().unwrap(), version, &json!({}), metadata.clone()).unwrap()
    });
    let stream = StreamAppend {
        stream: "letter-1".parse().unwrap(),
        expected: ExpectedVersion::Any,
        events: events.to_vec(),
    };
    store.append(Append { streams: vec![stream], ..Append::default() }).await.unwrap();
    let process = Process::start(&[("EVENT_STORE_URL", database.url())]);
    process.readiness(200).await;
    let report =
        http_get(format!("{}/readyz?verbose", process.admin)).await.unwrap().text().await.unwrap();
    assert!(report.contains("cannot read: letter.sent v1, user.renamed v7"), "{report}");
    assert_eq!(process.register("ada@example.com").await, 201);
    let (_, log) = process.stop();
    assert!(log.contains("letter.sent v1, user.renamed v7"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_are_safe_twice_and_at_once_and_make_what_serving_needs() {
    let database = TestDatabase::create("empty", "", |_| async { Ok(()) }).await;
    let migrate = |target: &str| {
        let mut command = command();
        command
            .args(["migrate", target])
            .env("EVENT_STORE_URL", database.url())
            .env("AUTH_URL", database.url());
        command.env("SUBJECT_KEYS_URL", database.url());
        command.stderr(Stdio::piped()).spawn().unwrap()
    };
    for what in ["subject-keys", "event-store"] {
        let refused = Process::start(&[("EVENT_STORE_URL", database.url())]).end();
        assert_eq!(refused.0, Some(3));
        assert!(refused.1.contains(&format!("command-api migrate {what}")), "{}", refused.1);
        assert!(end_of(&mut migrate(what), what, PATIENCE).unwrap().status.success(), "{what}");
    }
    let at_once =
        ["event-store", "event-store", "auth", "auth", "subject-keys", "subject-keys"].map(migrate);
    for mut child in at_once.into_iter().chain(["event-store", "auth", "subject-keys"].map(migrate))
    {
        let output = end_of(&mut child, "a migration", PATIENCE).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let process = Process::start(&[("EVENT_STORE_URL", database.url())]);
    process.readiness(200).await;
    assert_eq!(process.stop().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_of_a_subject_that_nothing_is_known_of_says_so_and_does_nothing() {
    let database = database().await;
    let subject = Uuid::from_u128(7).to_string();
    for _ in 0..2 {
        let mut command = command();
        command.env("EVENT_STORE_URL", database.url()).env("SUBJECT_KEYS_URL", database.url());
        let output =
            finish(command.args(["erase-subject", &subject, "--by", "ops-1", "--json"]), PATIENCE)
                .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{error}");
        assert!(
            error.contains(&format!("nothing is known of subject {subject}"))
                && output.stdout.is_empty(),
            "{error}"
        );
    }
    let store =
        PostgresStore::connect(PostgresOptions::from_url(database.url()).unwrap()).await.unwrap();
    assert_eq!(
        store.head().await.unwrap().mark.position.0,
        0,
        "neither a proof that looks like success nor an event"
    );
}

#[test]
fn a_setting_that_is_wrong_is_named_and_no_key_is_shown() {
    for (name, value, hint) in [
        ("TOKEN_KEY", "", "TOKEN_KEY"),
        ("ACCESS_TOKEN_KEYS", "c2hvcnQ=", "ACCESS_TOKEN_KEYS: line 1 of the signing keys is not"),
        ("RESERVATION_KEY", "c2hvcnQ=", "RESERVATION_KEY is not base64 of at least 32 bytes"),
        ("MASTER_KEY", "c2hvcnQ=", "MASTER_KEY"),
        ("RATE_LIMITS", "100, plaiceOrder=1", "RATE_LIMITS: there is no operation plaiceOrder"),
        (
            "V1_SUNSET_AT",
            "2027-01-01T00:00:00Z",
            "V1_DEPRECATED_AT is not set, and V1_SUNSET_AT is",
        ),
        ("V1_DEPRECATED_AT", "tomorrow", "--v1-deprecated-at"),
        ("OIDC_ISSUER", "https://id.example.com", "OIDC_AUDIENCE is not set, and OIDC_ISSUER is"),
    ] {
        let mut command = command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        let nowhere = "postgres://nobody@127.0.0.1:1/nothing";
        command.env("EVENT_STORE_URL", nowhere).env("SUBJECT_KEYS_URL", nowhere).env(name, value);
        let output = finish(&mut command, PATIENCE).unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(hint) && !error.contains("c2hvcnQ"), "{error}");
    }
}
