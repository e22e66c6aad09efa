//! Tests of the registry with a real nats-server and independent clients.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use local_servers::{NatsOptions, NatsServer, in_time, until};
use nats_kit::{
    DiscoverError, Found, NatsHandle, Registration, Registry, Standing, State, discover, register,
};
use serde_json::Value;
use service_kit::health::Health;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A process that registers itself.
struct Member {
    health: Health,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Member {
    async fn start(url: &str, name: &'static str) -> Self {
        let (health, stop) = (Health::new(), CancellationToken::new());
        let nats = NatsHandle::connect(url, name).await.unwrap();
        let registration = Registration::new(name, "1.2.3")
            .admin("127.0.0.1:9999".parse().unwrap())
            .address("127.0.0.1:8888");
        let task = tokio::spawn(register(Some(nats), registration, health.clone(), stop.clone()));
        Self { health, stop, task }
    }

    /// Whether its admin port shows it as registered.
    fn is_registered(&self) -> bool {
        self.health.report().components.get("registry").is_some_and(|one| one.ready)
    }

    async fn leave(self) {
        self.stop.cancel();
        in_time("the end of registering", self.task).await.unwrap();
    }
}

async fn server() -> NatsServer {
    NatsServer::start(NatsOptions::default()).await.unwrap()
}

async fn observer(server: &NatsServer) -> NatsHandle {
    NatsHandle::connect_now(&server.url(), "observer").await.unwrap()
}

/// Waits until these are the registered processes, and returns them.
async fn until_found(nats: &NatsHandle, names: &[&str]) -> Vec<Found> {
    let mut found = Vec::new();
    until("the expected processes are registered", async || {
        found = discover(nats).await.unwrap_or_default();
        found.iter().map(|one| &*one.name).eq(names.iter().copied())
    })
    .await;
    found
}

#[tokio::test]
async fn a_process_is_discovered_with_its_health_until_it_leaves() {
    let server = server().await;
    let nats = observer(&server).await;
    assert_eq!(discover(&nats).await.unwrap(), [], "an empty registry is an answer");

    let member = Member::start(&server.url(), "one").await;
    let other = Member::start(&server.url(), "two").await;
    let store = member.health.component("store");
    let found = until_found(&nats, &["one", "two"]).await;
    assert_eq!(found[0].version, "1.2.3");
    assert_eq!(found[0].admin(), Some("http://127.0.0.1:9999"));
    assert_eq!(found[0].address(), Some("127.0.0.1:8888"));
    assert_eq!(found[0].metadata["pid"], std::process::id().to_string());
    assert!(!found[0].metadata["host"].is_empty() && found[0].since.is_some());
    let waiting = Standing { state: State::NotReady, waiting_for: vec!["store".to_owned()] };
    assert_eq!(found[0].standing, waiting);
    assert_eq!(found[1].standing.state, State::Ready);

    store.ready();
    let found = until_found(&nats, &["one", "two"]).await;
    assert_eq!(found[0].standing.state, State::Ready);

    member.leave().await;
    until_found(&nats, &["two"]).await;
    other.leave().await;
    until_found(&nats, &[]).await;
}

#[tokio::test]
async fn any_client_asks_for_all_for_a_name_and_for_one_process() {
    let server = server().await;
    let member = Member::start(&server.url(), "one").await;
    until("it is registered", async || member.is_registered()).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let ask = async |subject: String| -> Value {
        let answer = in_time("an answer", client.request(subject, "".into())).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    };
    let id = ask("$SRV.PING".to_owned()).await["id"].as_str().unwrap().to_owned();
    for (verb, kind) in [("PING", "ping"), ("INFO", "info"), ("STATS", "stats")] {
        for subject in ["", ".one", &format!(".one.{id}")] {
            let answer = ask(format!("$SRV.{verb}{subject}")).await;
            assert_eq!(answer["type"], format!("io.nats.micro.v1.{kind}_response"), "{answer}");
            assert_eq!((&answer["name"], &answer["id"]), (&"one".into(), &(*id).into()));
        }
    }
    assert_eq!(ask(format!("health.one.{id}")).await["state"], "ready");
    member.health.drain();
    assert_eq!(ask(format!("health.one.{id}")).await["state"], "draining");
    let stats = ask("$SRV.STATS.one".to_owned()).await;
    assert_eq!(stats["endpoints"][0]["data"]["state"], "draining");
    member.leave().await;
}

#[tokio::test]
async fn without_nats_the_last_list_is_kept_and_marked_and_with_it_all_is_as_before() {
    let mut server = server().await;
    let member = Member::start(&server.url(), "one").await;
    let nats = NatsHandle::connect(&server.url(), "front").await.unwrap();
    let (registry, health, stop) = (Registry::new(), Health::new(), CancellationToken::new());
    let keeping = tokio::spawn({
        let (registry, health, stop) = (registry.clone(), health.clone(), stop.clone());
        async move { registry.keep(Some(nats), &health, stop).await }
    });
    until("the process is listed", async || registry.listing().processes.len() == 1).await;
    let before = registry.listing();
    assert!(before.is_current && before.reason.is_none());

    server.kill().await;
    until("the list is marked", async || !registry.listing().is_current).await;
    let last = registry.listing();
    assert_eq!(last.processes, before.processes);
    assert!(last.reason.is_some() && last.age_seconds.is_some());
    until("the process says it", async || !member.is_registered()).await;
    assert!(member.health.report().ready && health.report().ready, "NATS is not needed");

    server.start_again().await;
    until("the list is current", async || registry.listing().is_current).await;
    until("the process is back", async || {
        let ids = registry.listing().processes.into_iter().map(|one| one.id);
        ids.eq(before.processes.iter().map(|one| one.id.clone()))
    })
    .await;
    until("the process says it", async || member.is_registered()).await;
    stop.cancel();
    in_time("the end of looking", keeping).await.unwrap();
    member.leave().await;
}

#[tokio::test]
async fn a_process_that_starts_without_nats_registers_when_it_comes() {
    let mut server = server().await;
    let url = server.url();
    server.stop().await;
    let refused = NatsHandle::connect_now(&url, "observer").await;
    assert!(refused.is_err(), "a command says at once that nobody is there");
    let member = Member::start(&url, "one").await;
    until("the process says why", async || {
        let report = member.health.report();
        report.ready && report.components.get("registry").is_some_and(|one| !one.ready)
    })
    .await;
    server.start_again().await;
    until("it is registered", async || member.is_registered()).await;
    until_found(&observer(&server).await, &["one"]).await;
    member.leave().await;
}

#[tokio::test]
async fn a_server_that_is_silent_is_not_an_empty_registry() {
    let server = server().await;
    let nats = observer(&server).await;
    server.pause();
    let found = in_time("the deadline", discover(&nats)).await;
    server.resume();
    assert!(matches!(found, Err(DiscoverError::Silent)), "{found:?}");
}

/// The permissions of a process in `docs/operating.md`, and of the front.
#[tokio::test]
async fn the_permissions_of_the_book_are_enough() {
    let user = |name: &str, publish: &str| {
        format!(
            r#"{{ user: {name}, password: secret, permissions: {{
                publish: ["$SRV.PING.{name}.>"{publish}], subscribe: ["_INBOX.>", "$SRV.*",
                    "$SRV.*.{name}", "$SRV.*.{name}.>", "health.{name}.>"],
                allow_responses: {{ max: 1, expires: "5s" }} }} }}"#
        )
    };
    let (one, two) = (user("one", ""), user("two", r#", "$SRV.INFO", "$SRV.STATS""#));
    let config = format!("authorization {{ users: [ {one}, {two} ] }}");
    let options = NatsOptions { config: Some(config), ..NatsOptions::default() };
    let server = NatsServer::start(options).await.unwrap();
    let one = Member::start(&server.url_as("one", "secret"), "one").await;
    let two = Member::start(&server.url_as("two", "secret"), "two").await;
    until("both are registered", async || one.is_registered() && two.is_registered()).await;
    let front = NatsHandle::connect_now(&server.url_as("two", "secret"), "two").await.unwrap();
    for _ in 0..5 {
        let found = discover(&front).await.unwrap();
        let are = found.iter().map(|one| (&*one.name, one.standing.state));
        assert!(are.eq([("one", State::Ready), ("two", State::Ready)]), "{found:?}");
    }
    one.leave().await;
    two.leave().await;
}

#[tokio::test]
async fn a_process_that_may_not_register_says_so_and_stays_ready() {
    let config = "authorization { users: [ { user: me, password: secret, permissions: {
        publish: [\">\"], subscribe: [\"_INBOX.>\"] } } ] }";
    let options = NatsOptions { config: Some(config.to_owned()), ..NatsOptions::default() };
    let server = NatsServer::start(options).await.unwrap();
    let member = Member::start(&server.url_as("me", "secret"), "one").await;
    until("it says that nobody sees it", async || {
        let report = member.health.report();
        let reason = report.components.get("registry").and_then(|one| one.reason.clone());
        report.ready && reason.is_some_and(|reason| reason.contains("nobody sees"))
    })
    .await;
    member.leave().await;
}
