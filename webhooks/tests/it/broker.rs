//! With a broker, events arrive sooner; without it, they arrive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_feed::NatsHandle;
use event_feed::relay::{JetStream, JetStreamSettings, OpenStore, Relay, RelaySettings};
use event_store::postgres::{PostgresOptions, WAKE_CHANNEL};
use event_store::{EventStore, PostgresStore};
use local_servers::{NatsOptions, NatsServer, in_time};
use service_kit::clock;
use service_kit::health::Health;
use tokio_util::sync::CancellationToken;

use crate::receiver::Receiver;
use crate::world::{LETTER, World};

/// Far longer than an event may take over the broker.
const NEVER: Duration = Duration::from_secs(45);

fn relay(world: &World, nats: NatsHandle, health: &Health) -> Relay<JetStream> {
    let url = world.database.url().to_owned();
    let connect = url.parse().unwrap();
    let open: OpenStore = Arc::new(move || {
        let url = url.clone();
        Box::pin(async move {
            let options = PostgresOptions::from_url(&url)?.read_connections(2);
            Ok(Arc::new(PostgresStore::connect(options).await?) as Arc<dyn EventStore>)
        })
    });
    let target = JetStream::new(nats, JetStreamSettings::default());
    let settings = RelaySettings::default();
    Relay::new(open, connect, WAKE_CHANNEL, target, clock::system(), health, settings)
}

#[tokio::test]
async fn a_process_with_a_broker_sends_without_polling() {
    let (mut world, receiver) = (World::new().await, Receiver::new().await);
    let server = NatsServer::start(NatsOptions::default()).await.unwrap();
    let handle = async || NatsHandle::connect(&server.url(), "test").await.unwrap();
    let (health, drain) = (Health::new(), CancellationToken::new());
    let relaying = relay(&world, handle().await, &health).run(drain.clone());
    let relaying = tokio::spawn(relaying);
    world.limits.poll = NEVER;
    let subscribed = world.subscribe(&receiver).await;
    let process = world.start_live(handle().await);
    // The first event may come before the process reads live.
    let last = world.append(LETTER, 1).await;
    world.sent(subscribed.id, last).await;
    let began = Instant::now();
    let last = world.append(LETTER, 5).await;
    world.sent(subscribed.id, last).await;
    assert!(began.elapsed() < NEVER / 2, "{:?}", began.elapsed());
    process.drain().await;
    drain.cancel();
    in_time("the end of the relay", relaying).await.unwrap();
}
