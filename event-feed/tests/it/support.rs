//! A log, a broker and relays for each test, and the check of promise P5.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull, stream::Info};
use event_feed::message::{STREAM, event_ref_of};
use event_feed::relay::{
    JetStream, JetStreamSettings, OpenStore, PublishMode, Relay, RelaySettings, RelayTarget,
};
use event_feed::{FollowerSettings, NatsHandle};
use event_store::postgres::{
    PostgresOptions, PostgresStore, WAKE_CHANNEL, migrate, schema_fingerprint,
};
use event_store::{
    Append, AppendOutcome, EventStore, ExpectedVersion, Filter, Head, Metadata, NewEvent, Position,
    RecordedEvent, StreamAppend, StreamName,
};
use futures::StreamExt as _;
pub(crate) use local_servers::until as eventually;
use local_servers::{NatsOptions, NatsServer, PATIENCE, TestDatabase, end_of, in_time};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use service_kit::health::Health;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const MOST_IN_ONE_APPEND: usize = 500;

/// A separate, migrated database.
pub(crate) async fn database() -> TestDatabase {
    TestDatabase::create("event_store", &schema_fingerprint(), |url| async move {
        Ok(migrate(&url).await?)
    })
    .await
}

/// A separate log and broker.
pub(crate) struct World {
    pub(crate) store: PostgresStore,
    pub(crate) nats: NatsServer,
    pub(crate) database: TestDatabase,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(NatsOptions::default()).await
    }

    pub(crate) async fn with(options: NatsOptions) -> Self {
        let (database, nats) = tokio::join!(database(), NatsServer::start(options));
        let store = open(database.url()).await;
        Self { store, nats: nats.unwrap(), database }
    }

    /// Appends `count` small events to one stream.
    pub(crate) async fn append(&self, count: usize) -> Position {
        self.append_events((0..count).map(|n| event(&serde_json::json!({ "n": n }))).collect())
            .await
    }

    /// Appends events, in several appends if there are many.
    pub(crate) async fn append_events(&self, mut events: Vec<NewEvent>) -> Position {
        loop {
            let later = events.split_off(events.len().min(MOST_IN_ONE_APPEND));
            let position = append_to(&self.store, events).await;
            if later.is_empty() {
                return position;
            }
            events = later;
        }
    }

    pub(crate) async fn head(&self) -> Head {
        self.store.head().await.unwrap()
    }

    /// A connection with JetStream, like that of any client.
    pub(crate) async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.client().await)
    }

    pub(crate) async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.nats.url()).await.unwrap()
    }

    pub(crate) async fn handle(&self) -> NatsHandle {
        NatsHandle::connect(&self.nats.url(), "test").await.unwrap()
    }

    /// The current state of the stream, if it exists.
    pub(crate) async fn stream_info(&self) -> Option<Info> {
        let stream = self.jetstream().await.get_stream(STREAM).await.ok()?;
        Some(stream.cached_info().clone())
    }

    /// Starts a relay in this process.
    pub(crate) async fn relay(&self, settings: Settings) -> RunningRelay {
        start_relay(self.database.url(), &self.nats.url(), settings).await
    }

    /// Starts the real relay process.
    pub(crate) fn relay_process(&self) -> RelayProcess {
        let child = Command::new(env!("CARGO_BIN_EXE_event-relay"))
            .args(["run", "--admin-listen", "127.0.0.1:0", "--lease-seconds", "2"])
            .env("EVENT_STORE_URL", self.database.url())
            .env("NATS_URL", self.nats.url())
            .env("LOG", "info")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        RelayProcess { child }
    }

    /// Waits until everything is published, then checks every message (promise P5).
    pub(crate) async fn all_published(&self) {
        let head = self.head().await.mark.position;
        eventually("the stream ends at the head", || async {
            self.stream_info()
                .await
                .is_some_and(|info| info.state.last_sequence == u64::try_from(head.0).unwrap())
        })
        .await;
        self.assert_p5().await;
    }

    /// Checks that each message's sequence is the position of its event, and that none is missing
    /// between the first and the last.
    pub(crate) async fn assert_p5(&self) {
        let jetstream = self.jetstream().await;
        let stream = jetstream.get_stream(STREAM).await.unwrap();
        let state = stream.cached_info().state.clone();
        let epoch = self.head().await.epoch;
        let config =
            pull::Config { ack_policy: jetstream::consumer::AckPolicy::None, ..Default::default() };
        let consumer = stream.create_consumer(config).await.unwrap();
        let count = usize::try_from(state.messages).unwrap();
        let mut expected = state.first_sequence;
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            let mut fetch = consumer.fetch().max_messages(500).messages().await.unwrap();
            let before = ids.len();
            while let Some(message) = in_time("a message of the stream", fetch.next()).await {
                let message = message.unwrap();
                let sequence = message.info().unwrap().stream_sequence;
                let (message_epoch, mark) =
                    event_ref_of(message.headers.as_ref().expect("headers")).expect("one of ours");
                assert_eq!(sequence, expected, "P5: a sequence is missing or repeated");
                assert_eq!(
                    mark.position.0,
                    i64::try_from(sequence).unwrap(),
                    "P5: a sequence is not the position"
                );
                assert_eq!(message_epoch, epoch);
                ids.push(mark.event_id.unwrap());
                expected += 1;
            }
            assert!(ids.len() > before, "the stream gave {before} of {count} messages");
        }
        let first = Position(i64::try_from(state.first_sequence).unwrap() - 1);
        let events = read_all(&self.store, first).await;
        let stored: Vec<Uuid> = events.iter().take(count).map(|event| event.id).collect();
        assert_eq!(ids, stored, "P5: a message's id is not the one of the event at its position");
    }
}

/// Starts a relay in this process between any database and any broker.
pub(crate) async fn start_relay(database: &str, nats: &str, settings: Settings) -> RunningRelay {
    start_relay_that_reads(database, database, nats, settings).await
}

/// The same, for a relay that reads the log at another address than that of its lease.
pub(crate) async fn start_relay_that_reads(
    log: &str,
    lease: &str,
    nats: &str,
    settings: Settings,
) -> RunningRelay {
    let nats = NatsHandle::connect(nats, "test").await.unwrap();
    start_relay_to(log, lease, JetStream::new(nats, settings.stream), settings.relay)
}

/// Starts a relay in this process to any target.
pub(crate) fn start_relay_to(
    log: &str,
    lease: &str,
    target: impl RelayTarget,
    settings: RelaySettings,
) -> RunningRelay {
    let url = log.to_owned();
    let connect = lease.parse().unwrap();
    let open_store: OpenStore = Arc::new(move || {
        let url = url.clone();
        Box::pin(async move {
            let options = PostgresOptions::from_url(&url)?
                .application_name("event-relay")
                .read_connections(2);
            Ok(Arc::new(PostgresStore::connect(options).await?) as Arc<dyn EventStore>)
        })
    });
    let health = Health::new();
    let clock = service_kit::clock::system();
    let relay = Relay::new(open_store, connect, WAKE_CHANNEL, target, clock, &health, settings);
    let drain = CancellationToken::new();
    let task = tokio::spawn(relay.run(drain.clone()));
    RunningRelay { health, drain, task: Some(task) }
}

pub(crate) async fn open(url: &str) -> PostgresStore {
    let options = PostgresOptions::from_url(url)
        .unwrap()
        .application_name("event-feed test")
        .read_connections(4);
    PostgresStore::connect(options).await.unwrap()
}

pub(crate) async fn append_to(store: &PostgresStore, events: Vec<NewEvent>) -> Position {
    let stream = StreamName::new("thing", Uuid::now_v7()).unwrap();
    let append = Append {
        streams: vec![StreamAppend { stream, expected: ExpectedVersion::Any, events }],
        ..Append::default()
    };
    match store.append(append).await.unwrap() {
        AppendOutcome::Appended(appended) => appended.last.position,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn read_all(store: &PostgresStore, mut after: Position) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    loop {
        let page = store.read(&Filter::All, after, 5_000).await.unwrap();
        let Some(last) = page.last() else { return events };
        after = last.position;
        events.extend(page);
    }
}

/// An event with a tag and all kinds of metadata.
pub(crate) fn event(data: &serde_json::Value) -> NewEvent {
    let metadata = Metadata {
        correlation_id: Uuid::now_v7(),
        causation_id: Some(Uuid::now_v7()),
        actor: Some("somebody ünusual".to_owned()),
        credential_id: Some(Uuid::now_v7()),
        client_id: Some("some client".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    };
    NewEvent::json("thing.happened".parse().unwrap(), 1, data, metadata)
        .unwrap()
        .tagged("thing:1".parse().unwrap())
}

/// The settings of a relay to JetStream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) relay: RelaySettings,
    pub(crate) stream: JetStreamSettings,
}

/// Short intervals, so that tests wait little.
pub(crate) fn quick() -> Settings {
    let relay = RelaySettings {
        lease_duration: Duration::from_millis(1_500),
        standby_interval: Duration::from_millis(100),
        poll_interval: Duration::from_millis(100),
        beacon_interval: Duration::from_millis(200),
        look_interval: Duration::from_millis(200),
        ..RelaySettings::default()
    };
    Settings { relay, ..Settings::default() }
}

pub(crate) fn pipelined() -> Settings {
    let stream = JetStreamSettings { publish: PublishMode::Pipelined, ..quick().stream };
    Settings { stream, ..quick() }
}

pub(crate) fn quick_follower() -> FollowerSettings {
    FollowerSettings { idle_report: Duration::from_millis(200), ..FollowerSettings::default() }
}

/// A relay in the test's process. Dropping it ends it.
pub(crate) struct RunningRelay {
    pub(crate) health: Health,
    drain: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl RunningRelay {
    /// Asks the relay to finish, and waits for its end.
    pub(crate) async fn stop(mut self) {
        self.drain.cancel();
        if let Some(task) = self.task.take() {
            in_time("the relay's end", task).await.unwrap();
        }
    }

    /// Ends the relay at once, like SIGKILL. Nothing of it continues, and its lease expires.
    pub(crate) async fn kill(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let ended = in_time("the relay's end", task).await;
            assert!(ended.is_err_and(|error| error.is_cancelled()), "it had already ended");
        }
    }

    /// Why the relay is not ready, if it is not.
    pub(crate) fn reasons(&self) -> String {
        let report = self.health.report();
        report
            .components
            .values()
            .filter_map(|fragment| fragment.reason.clone())
            .collect::<Vec<_>>()
            .join("; ")
    }
}

impl Drop for RunningRelay {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// A real `event-relay` process. Dropping it kills it.
pub(crate) struct RelayProcess {
    child: Child,
}

impl RelayProcess {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// See [`local_servers::peak_memory_kib`].
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        local_servers::peak_memory_kib(self.child.id()).unwrap()
    }

    /// Waits for the process's end, and returns its exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let mut code = None;
        eventually("the relay has ended", async || {
            let ended = self.child.try_wait().unwrap();
            code = ended.and_then(|status| status.code());
            ended.is_some()
        })
        .await;
        code
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(end_of(&mut self.child, "event-relay", PATIENCE));
    }
}
