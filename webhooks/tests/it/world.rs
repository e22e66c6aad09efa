//! A log, the tables of webhooks, and processes in the test's own.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use event_feed::NatsHandle;
use event_store::encryption::{LocalMasterKeys, MemoryKeys, SubjectKeyStore, Vault};
use event_store::erasure::{EraseRequest, erase};
use event_store::postgres::{PostgresOptions, migrate, schema_fingerprint};
use event_store::{
    Append, AppendOutcome, EncryptingStore, EventStore, ExpectedVersion, Metadata, NewEvent,
    PostgresStore, StreamAppend, StreamName,
};
use local_servers::{TestDatabase, in_time, until as eventually};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use service_kit::clock;
use service_kit::health::Health;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use webhooks::ops::{Operations, Wanted};
use webhooks::reach::Reach;
use webhooks::secret::Wrapping;
use webhooks::tables::{Decision, SubscriptionRow, Tables, schema};
use webhooks::{Dispatcher, Limits, NO_CACHE, Sending};

use crate::receiver::Receiver;

/// The type of most events of these tests.
pub(crate) const LETTER: &str = "letter.sent";
/// Who decides in these tests.
pub(crate) const BY: (&str, Option<Uuid>) = ("clerk-7", None);
const MASTER: [u8; 32] = [1; 32];

/// A log, and the tables of webhooks in the same database.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) store: Arc<PostgresStore>,
    pub(crate) keys: Arc<dyn SubjectKeyStore>,
    pub(crate) limits: Limits,
    pub(crate) reach: Reach,
    changed: watch::Sender<u64>,
}

/// A dispatcher in the test's own process.
pub(crate) struct Process {
    drain: CancellationToken,
    task: JoinHandle<()>,
    pub(crate) health: Health,
}

impl Process {
    pub(crate) async fn drain(self) {
        self.drain.cancel();
        in_time("the end of the dispatcher", self.task).await.unwrap();
    }

    /// Ends it at once, like SIGKILL.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let ended = in_time("the end of the dispatcher", self.task).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()));
    }
}

/// A subscription of a test.
pub(crate) struct Subscribed {
    pub(crate) id: Uuid,
    pub(crate) secret: String,
}

pub(crate) fn master() -> LocalMasterKeys {
    LocalMasterKeys::parse(&STANDARD.encode(MASTER).into()).unwrap()
}

/// Limits with short pauses.
pub(crate) fn limits() -> Limits {
    let mut limits = Limits {
        attempt_limit: Duration::from_secs(2),
        pauses: vec![Duration::from_millis(50); 2],
        poll: Duration::from_millis(50),
        ..Limits::default()
    };
    limits.breaker.open_for = Duration::from_millis(200);
    limits
}

impl World {
    pub(crate) async fn new() -> Self {
        let fingerprint = format!("{} {}", schema_fingerprint(), schema().fingerprint());
        let database = TestDatabase::create("webhooks", &fingerprint, |url| async move {
            migrate(&url).await?;
            Ok(schema().migrate(&url.parse()?).await?)
        })
        .await;
        let options = PostgresOptions::from_url(database.url())
            .unwrap()
            .application_name("webhooks test")
            .read_connections(4);
        let store = Arc::new(PostgresStore::connect(options).await.unwrap());
        let reach = Reach::with_allowed(vec!["127.0.0.0/8".parse().unwrap()]);
        let (keys, changed) = (Arc::new(MemoryKeys::new()), watch::Sender::new(0));
        Self { database, store, keys, limits: limits(), reach, changed }
    }

    fn vault(&self) -> Arc<Vault> {
        Vault::new(Arc::clone(&self.keys), Arc::new(master()), NO_CACHE)
    }

    pub(crate) fn tables(&self) -> Tables {
        Tables::new(&self.database.url().parse().unwrap())
    }

    fn sending(&self) -> Sending {
        Sending {
            log: Arc::clone(&self.store) as _,
            tables: self.tables(),
            wrapping: Wrapping::new(master()),
            vault: Some(self.vault()),
            reach: self.reach.clone(),
            limits: self.limits.clone(),
            clock: clock::system(),
        }
    }

    /// Starts a process that polls.
    pub(crate) fn start(&self) -> Process {
        self.start_with(|dispatcher| dispatcher)
    }

    /// Starts a process with this broker.
    pub(crate) fn start_live(&self, nats: NatsHandle) -> Process {
        self.start_with(|dispatcher| dispatcher.live(nats))
    }

    fn start_with(&self, with: impl FnOnce(Dispatcher) -> Dispatcher) -> Process {
        let (health, drain) = (Health::new(), CancellationToken::new());
        let connect = self.database.url().parse().unwrap();
        let dispatcher =
            Dispatcher::new(self.sending(), &connect, &health, self.changed.subscribe());
        let dispatcher = with(dispatcher);
        let task = tokio::spawn(dispatcher.run(drain.clone()));
        Process { drain, task, health }
    }

    pub(crate) fn operations(&self) -> Operations {
        Operations::new(self.sending(), self.changed.clone())
    }

    /// Subscribes a receiver to [`LETTER`] from the begin of the log.
    pub(crate) async fn subscribe(&self, receiver: &Receiver) -> Subscribed {
        self.subscribe_as(receiver, false).await
    }

    pub(crate) async fn subscribe_as(&self, receiver: &Receiver, personal: bool) -> Subscribed {
        let wanted = Wanted {
            name: "Letters".to_owned(),
            url: receiver.url(),
            types: vec![LETTER.to_owned()],
            personal,
            after: Some(0),
        };
        let (id, secret) = self.operations().create(wanted, BY).await.unwrap();
        Subscribed { id, secret: secret.expose_secret().to_owned() }
    }

    pub(crate) async fn decide(&self, id: Uuid, decision: Decision) {
        self.operations().decide(id, decision, BY).await.unwrap();
    }

    pub(crate) async fn row(&self, id: Uuid) -> SubscriptionRow {
        self.tables().subscription(id).await.unwrap().unwrap()
    }

    /// Waits until nothing waits and the subscription has sent the log up to a position.
    pub(crate) async fn sent(&self, id: Uuid, position: i64) {
        eventually("everything is sent", async || {
            let row = self.row(id).await;
            row.waiting == 0 && row.parked == 0 && row.position >= position
        })
        .await;
    }

    /// Waits until the subscription is paused, and returns why.
    pub(crate) async fn paused(&self, id: Uuid) -> String {
        eventually("it is paused", async || self.row(id).await.paused_for.is_some()).await;
        self.row(id).await.paused_for.unwrap()
    }

    /// Appends events of a type with numbers, and returns the position of the last one.
    pub(crate) async fn append(&self, what: &str, count: usize) -> i64 {
        let mut last = 0;
        for number in 0..count {
            last = self.append_data(what, &json!({ "n": number })).await;
        }
        last
    }

    /// Appends one event, with its personal fields encrypted.
    pub(crate) async fn append_data(&self, what: &str, data: &Value) -> i64 {
        let metadata =
            Metadata { actor: Some("user:canary".to_owned()), ..Metadata::new(Uuid::now_v7()) };
        let event = NewEvent::json(what.parse().unwrap(), 1, data, metadata).unwrap();
        let stream = StreamName::new("letter", Uuid::now_v7()).unwrap();
        let append = StreamAppend { stream, expected: ExpectedVersion::Any, events: vec![event] };
        let append = Append { streams: vec![append], ..Append::default() };
        let store = EncryptingStore::new(Arc::clone(&self.store) as _, self.vault());
        let outcome = store.append(append).await.unwrap();
        assert!(matches!(outcome, AppendOutcome::Appended(_)), "{outcome:?}");
        self.store.head().await.unwrap().mark.position.0
    }

    pub(crate) async fn erase(&self, subject: Uuid) {
        let request = EraseRequest { subject, by: "ops-7".to_owned() };
        erase(self.store.as_ref(), self.keys.as_ref(), &request).await.unwrap();
    }

    /// The number that a query returns.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let mut connection = PgConnection::connect(self.database.url()).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }

    /// Runs a statement.
    pub(crate) async fn sql(&self, sql: &'static str) {
        let mut connection = PgConnection::connect(self.database.url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }
}
