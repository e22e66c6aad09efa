//! The relay without faults.

use async_nats::jetstream::consumer::pull;
use event_feed::beacon::{BEACON_SUBJECT, Beacon};
use event_feed::message::{STREAM, decode, subjects};
use event_feed::relay::RelaySettings;
use event_store::{EventStore as _, Filter, NewEvent, Position, Registry, registry};
use futures::StreamExt as _;
use local_servers::{NatsOptions, in_time};
use nix::sys::signal::Signal;

use crate::support::{Settings, World, event, eventually, pipelined, quick, start_relay};

#[tokio::test]
async fn p5_every_event_is_published_at_the_sequence_of_its_position() {
    for settings in [quick(), pipelined()] {
        let world = World::new().await;
        world.append(700).await;
        let relay = world.relay(settings).await;
        world.all_published().await;
        for size in [1, 3, 250] {
            world.append(size).await;
        }
        world.all_published().await;
        relay.stop().await;
    }
}

#[tokio::test]
async fn a_message_decodes_to_the_event_that_the_store_reads() {
    let world = World::new().await;
    world.append(5).await;
    let relay = world.relay(quick()).await;
    world.all_published().await;
    let stream = world.jetstream().await.get_stream(STREAM).await.unwrap();
    for stored in world.store.read(&Filter::All, Position::START, 10).await.unwrap() {
        let message =
            stream.get_raw_message(u64::try_from(stored.position.0).unwrap()).await.unwrap();
        let decoded = decode(&message.subject, &message.headers, &message.payload).unwrap();
        assert_eq!(format!("{:?}", decoded.event.unwrap()), format!("{stored:?}"));
        assert_eq!(message.headers.get("ce-specversion").unwrap().as_str(), "1.0");
        assert_eq!(
            message.headers.get("traceparent").unwrap().as_str(),
            stored.metadata.traceparent.unwrap()
        );
    }
    relay.stop().await;
}

#[tokio::test]
async fn a_consumer_that_filters_by_type_still_gets_the_events_that_have_become_it() {
    let registry = Registry::new(
        [("thing.taken", 1), ("thing.put", 1)],
        [(
            ("thing.moved", 1),
            [("thing.taken", 1), ("thing.put", 1)].as_slice(),
            (|data| Ok(vec![("thing.taken", data.clone()), ("thing.put", data)]))
                as registry::Upcast,
        )],
    )
    .unwrap();
    let world = World::new().await;
    let written = ["thing.taken", "thing.moved", "thing.put", "thing.seen"];
    let events = written.map(|name| NewEvent {
        event_type: name.parse().unwrap(),
        ..event(&serde_json::json!({"n": 1}))
    });
    world.append_events(events.to_vec()).await;
    let relay = world.relay(quick()).await;
    world.all_published().await;
    let wanted = ["thing.put".parse().unwrap()];
    let consumer =
        pull::OrderedConfig { filter_subjects: subjects(&wanted, &registry), ..Default::default() };
    let stream = world.jetstream().await.get_stream(STREAM).await.unwrap();
    let messages = stream.create_consumer(consumer).await.unwrap().messages().await.unwrap();
    let got: Vec<_> = messages.take(2).map(|message| message.unwrap()).collect().await;
    let stored = got.iter().map(|message| {
        decode(&message.subject, message.headers.as_ref().unwrap(), &message.payload).unwrap()
    });
    let fragments =
        stored.flat_map(|decoded| registry.upcast(&decoded.event.unwrap()).unwrap().into_owned());
    let put = fragments
        .filter(|fragment| wanted.contains(&fragment.event_type))
        .map(|fragment| (fragment.position.0, fragment.fragment));
    assert_eq!(put.collect::<Vec<_>>(), [(2, 1), (3, 0)]);
    relay.stop().await;
}

#[tokio::test]
async fn the_head_is_told_outside_the_stream() {
    let world = World::new().await;
    world.append(2).await;
    let mut beacons = world.client().await.subscribe(BEACON_SUBJECT).await.unwrap();
    let relay = world.relay(quick()).await;
    let head = world.head().await;
    let message = in_time("a beacon", beacons.next()).await.unwrap();
    assert_eq!(serde_json::from_slice::<Beacon>(&message.payload).unwrap(), Beacon::from(head));
    relay.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_made_anew_begins_one_refill_window_below_the_head() {
    let world = World::new().await;
    world.append(50).await;
    let windowed = RelaySettings { refill_window: 10, ..quick().relay };
    let relay = world.relay(Settings { relay: windowed, ..quick() }).await;
    world.all_published().await;
    let state = world.stream_info().await.unwrap().state;
    assert_eq!((state.first_sequence, state.messages), (41, 10));
    relay.stop().await;
}

#[tokio::test]
async fn p5_events_too_large_for_the_broker_go_as_stubs() {
    let world =
        World::with(NatsOptions { max_payload: Some(4_096), ..NatsOptions::default() }).await;
    let text = |length: usize| serde_json::json!({ "text": "x".repeat(length) });
    let events = [10, 100_000, 10, 3_000, 500_000].map(|length| event(&text(length)));
    world.append_events(events.into()).await;
    let relay = world.relay(quick()).await;
    world.all_published().await;
    let stream = world.jetstream().await.get_stream(STREAM).await.unwrap();
    let mut stubs = Vec::new();
    for sequence in 1..=5 {
        let message = stream.get_raw_message(sequence).await.unwrap();
        stubs.push(
            decode(&message.subject, &message.headers, &message.payload).unwrap().event.is_none(),
        );
    }
    assert_eq!(stubs, [false, true, false, false, true]);
    relay.stop().await;
}

#[tokio::test]
async fn a_broker_too_narrow_for_any_stub_is_refused_with_the_reason() {
    let world =
        World::with(NatsOptions { max_payload: Some(1_024), ..NatsOptions::default() }).await;
    world.append(1).await;
    let relay = world.relay(quick()).await;
    eventually("the relay says why it is not ready", || async {
        relay.reasons().contains("max_payload is 1024")
    })
    .await;
    relay.stop().await;
}

#[tokio::test]
async fn the_process_finishes_and_gives_its_lease_up_on_sigterm() {
    let world = World::new().await;
    world.append(100).await;
    let mut first = world.relay_process();
    world.all_published().await;
    first.signal(Signal::SIGTERM);
    assert_eq!(first.ended().await, Some(0));
    let (owner,): (Option<uuid::Uuid>,) = sqlx::query_as("SELECT owner FROM event_store.leases")
        .fetch_one(&pool(&world).await)
        .await
        .unwrap();
    assert_eq!(owner, None);
}

async fn pool(world: &World) -> sqlx::PgPool {
    sqlx::PgPool::connect(world.database.url()).await.unwrap()
}

#[tokio::test]
async fn an_older_nats_server_is_refused_with_the_reason() {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let old_server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let info = serde_json::json!({
            "server_id": "OLD", "version": "2.11.9", "host": "127.0.0.1", "port": 4222,
            "headers": true, "max_payload": 1_048_576, "proto": 1,
        });
        write.write_all(format!("INFO {info}\r\n").as_bytes()).await.unwrap();
        let mut lines = BufReader::new(read).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.starts_with("PING") {
                write.write_all(b"PONG\r\n").await.unwrap();
            }
        }
    });
    let relay =
        start_relay(world.database.url(), &format!("nats://127.0.0.1:{port}"), quick()).await;
    eventually("the relay says why it is not ready", || async {
        relay.reasons().contains("2.11.9 is older than 2.12")
    })
    .await;
    relay.stop().await;
    old_server.abort();
}
