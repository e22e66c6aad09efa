//! The whole way to a projector: a database, NATS, and a relay in this process; a writer; and what
//! happens to NATS.

use std::sync::Arc;

use event_feed::NatsHandle;
use event_feed::relay::{JetStream, JetStreamSettings, OpenStore, Relay, RelaySettings};
use event_store::postgres::WAKE_CHANNEL;
use event_store::{EventStore, PostgresOptions, PostgresStore};
use local_servers::{NatsOptions, NatsServer, TestDatabase};
use service_kit::clock;
use service_kit::health::Health;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::life::Life;
use super::{append, postgres_store, whole_database};

/// What happens to NATS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Nothing,
    /// It ends in an orderly way and comes back.
    Restart,
    /// It is killed and comes back.
    Kill,
    /// It comes back with nothing of what it stored.
    Wipe,
    /// Somebody deletes the stream.
    StreamDeleted,
}

impl Trouble {
    pub(crate) const ALL: [Self; 5] =
        [Self::Nothing, Self::Restart, Self::Kill, Self::Wipe, Self::StreamDeleted];
}

/// A log that is published.
pub(crate) struct Feed {
    // First: it ends before its servers.
    _relay: AbortOnDropHandle<()>,
    nats: NatsServer,
    pub(crate) store: Arc<PostgresStore>,
    database: TestDatabase,
}

impl Feed {
    pub(crate) async fn start() -> Self {
        let database = whole_database().await;
        let nats = NatsServer::start(NatsOptions::default()).await.unwrap();
        let store = postgres_store(database.url()).await;
        let relay = relay(database.url(), &nats.url()).await;
        Self {
            _relay: AbortOnDropHandle::new(tokio::spawn(relay.run(CancellationToken::new()))),
            nats,
            store,
            database,
        }
    }

    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    pub(crate) fn nats_url(&self) -> String {
        self.nats.url()
    }

    /// Nothing is waited for but the server: what follows begins while the others still see to it.
    pub(crate) async fn meets(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Nothing => {}
            Trouble::Restart => {
                self.nats.stop().await;
                self.nats.start_again().await;
            }
            Trouble::Kill => {
                self.nats.kill().await;
                self.nats.start_again().await;
            }
            Trouble::Wipe => {
                self.nats.stop().await;
                self.nats.wipe_store().await;
                self.nats.start_again().await;
            }
            Trouble::StreamDeleted => {
                let jetstream =
                    async_nats::jetstream::new(async_nats::connect(self.nats.url()).await.unwrap());
                super::until("the stream to be there", || async {
                    jetstream.get_stream("EVENTS").await.is_ok()
                })
                .await;
                jetstream.delete_stream("EVENTS").await.unwrap();
            }
        }
    }
}

async fn relay(database: &str, nats: &str) -> Relay<JetStream> {
    let (url, connect) = (database.to_owned(), database.parse().unwrap());
    let open_store: OpenStore = Arc::new(move || {
        let url = url.clone();
        Box::pin(async move {
            let options = PostgresOptions::from_url(&url)?
                .application_name("event-relay")
                .read_connections(2);
            Ok(Arc::new(PostgresStore::connect(options).await?) as Arc<dyn EventStore>)
        })
    });
    let nats = NatsHandle::connect(nats, "event-relay").await.unwrap();
    Relay::new(
        open_store,
        connect,
        WAKE_CHANNEL,
        JetStream::new(nats, JetStreamSettings::default()),
        clock::system(),
        &Health::new(),
        RelaySettings::default(),
    )
}

/// Appends without pause.
pub(crate) struct Writer {
    stop: CancellationToken,
    task: JoinHandle<Life>,
}

impl Writer {
    pub(crate) fn start(store: Arc<PostgresStore>, mut life: Life) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            while !stopped.is_cancelled() {
                append(store.as_ref(), life.goes_on(5)).await;
            }
            life
        });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) -> Life {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}
