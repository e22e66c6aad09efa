//! The relay under faults. After each fault, every message has the id of the event at its sequence.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, StorageType};
use event_feed::Follower;
use event_feed::message::STREAM;
use event_feed::relay::{JetStreamSettings, StreamLimits};
use event_store::postgres::migrate;
use local_servers::{ClusterOptions, NatsOptions, PostgresCluster, test_run};
use nix::sys::signal::Signal;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::recorder::Recorder;
use crate::support::{
    Settings, World, append_to, event, eventually, open, pipelined, quick, quick_follower,
    start_relay,
};

/// The pause between two appends, so that the load is steady and below the machine's capacity.
const PACE: Duration = Duration::from_millis(5);
/// A longer pause, for tests that kill relays repeatedly. The backlog must stay small enough to
/// wait for.
const SLOW_PACE: Duration = Duration::from_millis(50);

/// Appends until it is dropped.
struct Load {
    stop: Option<DropGuard>,
    task: JoinHandle<usize>,
}

impl Load {
    async fn start(world: &World) -> Self {
        Self::start_at(world, PACE).await
    }

    async fn start_at(world: &World, pace: Duration) -> Self {
        let store = open(world.database.url()).await;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut appended = 0;
            while !stopped.is_cancelled() {
                let count = 1 + appended % 40;
                append_to(
                    &store,
                    (0..count).map(|n| event(&serde_json::json!({ "n": n }))).collect(),
                )
                .await;
                appended += count;
                tokio::time::sleep(pace).await;
            }
            appended
        });
        Self { stop: Some(stop.drop_guard()), task }
    }

    async fn stop(mut self) -> usize {
        drop(self.stop.take());
        self.task.await.unwrap()
    }
}

async fn last_sequence(world: &World) -> u64 {
    world.stream_info().await.map_or(0, |info| info.state.last_sequence)
}

async fn moves(world: &World) {
    let before = last_sequence(world).await;
    eventually("publishing goes on", || async { last_sequence(world).await > before }).await;
}

#[tokio::test]
async fn p5_two_relays_at_once_publish_every_event_once() {
    let world = World::new().await;
    let load = Load::start(&world).await;
    let (first, second) = (world.relay(quick()).await, world.relay(pipelined()).await);
    let recorder = Recorder::start(&world).await;
    moves(&world).await;
    first.stop().await;
    moves(&world).await;
    let third = world.relay(quick()).await;
    second.stop().await;
    moves(&world).await;
    load.stop().await;
    world.all_published().await;
    recorder.saw_only_p5(&world).await;
    third.stop().await;
}

#[tokio::test]
async fn p5_a_frozen_leader_that_wakes_does_no_harm() {
    let world = World::new().await;
    let load = Load::start(&world).await;
    let frozen = world.relay_process();
    let recorder = Recorder::start(&world).await;
    moves(&world).await;
    let standby = world.relay(quick()).await;
    for _ in 0..2 {
        frozen.signal(Signal::SIGSTOP);
        // The standby takes over: only it can have published what was appended after the freeze.
        let head = world.head().await.mark.position;
        eventually("the standby takes over", || async {
            last_sequence(&world).await > u64::try_from(head.0).unwrap()
        })
        .await;
        frozen.signal(Signal::SIGCONT);
        moves(&world).await;
    }
    load.stop().await;
    world.all_published().await;
    standby.stop().await;
    // The relay that woke up is now a standby, and takes over in turn.
    world.append(10).await;
    world.all_published().await;
    recorder.saw_only_p5(&world).await;
}

#[tokio::test]
async fn p5_a_relay_killed_anywhere_leaves_no_gap_and_no_repeat() {
    let world = World::new().await;
    let run = test_run();
    let mut random = rand::rngs::StdRng::seed_from_u64(run.seed);
    let load = Load::start_at(&world, SLOW_PACE).await;
    let mut recorder = None;
    for _ in 0..run.count(4, 60) {
        let mut relay = world.relay_process();
        moves(&world).await;
        if recorder.is_none() {
            recorder = Some(Recorder::start(&world).await);
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
        relay.signal(Signal::SIGKILL);
        relay.ended().await;
    }
    load.stop().await;
    let relay = world.relay(quick()).await;
    world.all_published().await;
    recorder.expect("at least one round").saw_only_p5(&world).await;
    relay.stop().await;
}

#[tokio::test]
async fn p5_the_brokers_data_deleted_under_load_comes_back_by_itself() {
    let mut world = World::new().await;
    let load = Load::start(&world).await;
    let relay = world.relay(quick()).await;
    moves(&world).await;
    let created = world.stream_info().await.unwrap().created;
    world.nats.kill().await;
    world.nats.wipe_store().await;
    world.nats.start_again().await;
    eventually("there is another stream", || async {
        world.stream_info().await.is_some_and(|info| info.created > created)
    })
    .await;
    moves(&world).await;
    load.stop().await;
    world.all_published().await;
    relay.stop().await;
}

#[tokio::test]
async fn p5_a_broker_killed_and_frozen_under_load_is_waited_for() {
    for settings in [quick(), pipelined()] {
        let mut world = World::new().await;
        let load = Load::start(&world).await;
        let relay = world.relay(settings).await;
        moves(&world).await;
        world.nats.kill().await;
        eventually("the relay is not ready", || async { !relay.health.report().ready }).await;
        world.nats.start_again().await;
        moves(&world).await;
        world.nats.pause();
        eventually("the relay is not ready", || async { !relay.health.report().ready }).await;
        world.nats.resume();
        moves(&world).await;
        load.stop().await;
        world.all_published().await;
        eventually("the relay is ready", || async { relay.health.report().ready }).await;
        relay.stop().await;
    }
}

#[tokio::test]
async fn p5_a_strangers_message_makes_the_stream_anew() {
    let world = World::new().await;
    world.append(20).await;
    let relay = world.relay(quick()).await;
    world.all_published().await;
    let created = world.stream_info().await.unwrap().created;
    world
        .jetstream()
        .await
        .publish("events.thing.happened", "stranger".into())
        .await
        .unwrap()
        .await
        .unwrap();
    // The relay notices even if it has nothing to publish.
    eventually("the stream is made anew", || async {
        world.stream_info().await.is_some_and(|info| info.created > created)
    })
    .await;
    world.all_published().await;
    // And under load, at any moment.
    let load = Load::start(&world).await;
    let jetstream = world.jetstream().await;
    for _ in 0..3 {
        let created = world.stream_info().await.unwrap().created;
        jetstream.publish("events.thing.happened", "stranger".into()).await.unwrap().await.unwrap();
        eventually("the stream is made anew", || async {
            world.stream_info().await.is_some_and(|info| info.created > created)
        })
        .await;
        moves(&world).await;
    }
    load.stop().await;
    world.all_published().await;
    relay.stop().await;
}

#[tokio::test]
async fn p5_a_strangers_stream_of_the_same_name_is_replaced() {
    let world = World::new().await;
    world.append(20).await;
    let jetstream = world.jetstream().await;
    let config = Config {
        name: STREAM.to_owned(),
        subjects: vec!["events.>".to_owned()],
        storage: StorageType::Memory,
        ..Config::default()
    };
    jetstream.create_stream(config).await.unwrap();
    jetstream.publish("events.thing.happened", "stranger".into()).await.unwrap().await.unwrap();
    let relay = world.relay(quick()).await;
    world.all_published().await;
    let info = world.stream_info().await.unwrap();
    let config = info.config;
    assert_eq!(config.storage, StorageType::File);
    assert!(
        config.deny_delete
            && config.deny_purge
            && config.allow_direct
            && config.allow_atomic_publish
    );
    assert_eq!(config.metadata.get("daybook-epoch"), Some(&world.head().await.epoch.to_string()));
    relay.stop().await;
}

#[tokio::test]
async fn p5_a_stream_whose_messages_have_all_aged_out_goes_on_where_it_was() {
    let world = World::new().await;
    world.append(30).await;
    let relay = world.relay(quick()).await;
    world.all_published().await;
    relay.stop().await;
    let info = world.stream_info().await.unwrap();
    let (jetstream, age) = (world.jetstream().await, Duration::from_millis(200));
    jetstream
        .update_stream(Config { max_age: age, duplicate_window: age, ..info.config.clone() })
        .await
        .unwrap();
    eventually("all messages age out", || async {
        world.stream_info().await.unwrap().state.messages == 0
    })
    .await;
    world.append(5).await;
    let relay = world.relay(quick()).await;
    world.all_published().await;
    let after = world.stream_info().await.unwrap();
    assert_eq!((after.created, after.state.first_sequence), (info.created, 31));
    relay.stop().await;
}

#[tokio::test]
async fn p5_an_older_copy_of_the_brokers_data_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        NatsOptions { directory: Some(folder.path().to_owned()), ..NatsOptions::default() };
    let mut world = World::with(options).await;
    world.append(100).await;
    let relay = world.relay(quick()).await;
    world.all_published().await;
    let created = world.stream_info().await.unwrap().created;
    world.nats.stop().await;
    let home = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let copy = folder.path().join("copy");
    copy_tree(&home.join("store"), &copy);
    world.nats.start_again().await;
    world.append(100).await;
    world.all_published().await;
    world.nats.kill().await;
    world.nats.wipe_store().await;
    copy_tree(&copy, &home.join("store"));
    world.nats.start_again().await;
    world.all_published().await;
    assert_eq!(
        world.stream_info().await.unwrap().created,
        created,
        "the older copy was good enough to continue from"
    );
    relay.stop().await;
}

#[tokio::test]
async fn p5_a_stream_that_may_hold_little_discards_the_oldest_only() {
    let world = World::new().await;
    let limits = StreamLimits { max_messages: 100, max_bytes: -1, replicas: 1 };
    let stream = JetStreamSettings { limits, ..quick().stream };
    let relay = world.relay(Settings { stream, ..quick() }).await;
    world.append(1_200).await;
    world.all_published().await;
    assert_eq!(world.stream_info().await.unwrap().state.first_sequence, 1_101);
    relay.stop().await;
}

#[tokio::test]
async fn the_leaders_connections_may_be_cut_at_any_time() {
    let world = World::new().await;
    let load = Load::start(&world).await;
    let relay = world.relay(quick()).await;
    let admin = sqlx::PgPool::connect(world.database.url()).await.unwrap();
    for _ in 0..5 {
        moves(&world).await;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = \
            current_database() AND application_name LIKE 'event-relay%'",
        )
        .execute(&admin)
        .await
        .unwrap();
    }
    moves(&world).await;
    load.stop().await;
    world.all_published().await;
    relay.stop().await;
}

#[tokio::test]
async fn relay_and_follower_wait_for_postgres_and_go_on() {
    let world = World::new().await;
    let mut cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    migrate(&cluster.url()).await.unwrap();
    let store = open(&cluster.url()).await;
    let relay = start_relay(&cluster.url(), &world.nats.url(), quick()).await;
    let mut follower =
        Follower::new(Arc::new(store.clone()), Some(world.handle().await), quick_follower());
    let mut seen = 0;
    for round in 0..3 {
        let events = (0..50).map(|n| event(&serde_json::json!({ "n": n }))).collect();
        let position = append_to(&store, events).await;
        while follower.mark().position < position {
            match follower.next_batch(100).await {
                Ok(batch) => seen += batch.events.len(),
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
        }
        let sequence = u64::try_from(position.0).unwrap();
        eventually("all is published", || async { last_sequence(&world).await == sequence }).await;
        if round == 0 {
            cluster.stop().await;
        } else {
            cluster.kill().await;
        }
        eventually("the relay is not ready", || async { !relay.health.report().ready }).await;
        cluster.start_again().await;
        eventually("the relay is ready", || async { relay.health.report().ready }).await;
        eventually("the store answers", || async { store.ready().await.is_ok() }).await;
    }
    assert_eq!(seen, 150);
    relay.stop().await;
}

fn copy_tree(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
