//! The follower with a real store, a real broker and a normal relay.

use std::sync::Arc;

use event_feed::{FollowError, Follower, Mode};
use event_store::{EventRef, EventStore as _, Position, RecordedEvent};
use local_servers::{NatsOptions, in_time};
use uuid::Uuid;

use crate::support::{World, event, quick, quick_follower, read_all};

/// A follower, and all events that it returned.
struct Reader {
    follower: Follower,
    seen: Vec<RecordedEvent>,
}

impl Reader {
    async fn new(world: &World) -> Self {
        let follower = Follower::new(
            Arc::new(world.store.clone()),
            Some(world.handle().await),
            quick_follower(),
        );
        Self { follower, seen: Vec::new() }
    }

    /// Reads one batch; retries while the store is briefly away.
    async fn step(&mut self) -> Mode {
        match self.follower.next_batch(500).await {
            Ok(batch) => {
                assert!(
                    batch.head.mark.position >= self.follower.mark().position,
                    "the head is below a position that was handed out"
                );
                self.seen.extend(batch.events);
                batch.mode
            }
            Err(error) if error.is_transient() => self.follower.mode(),
            Err(error) => panic!("{error}"),
        }
    }

    async fn until_mode(&mut self, wanted: Mode) {
        let reached = async { while self.step().await != wanted {} };
        in_time(wanted.as_str(), reached).await;
    }

    async fn until(&mut self, position: Position) {
        let reached = async {
            while self.follower.mark().position < position {
                self.step().await;
            }
        };
        in_time(&format!("the follower at {position}"), reached).await;
    }

    /// Checks that the events seen are exactly the log.
    async fn assert_is_log(&self, world: &World) {
        let log = read_all(&world.store, Position::START).await;
        assert_eq!(format!("{:?}", self.seen), format!("{log:?}"));
    }
}

#[tokio::test]
async fn a_follower_catches_up_from_the_store_and_goes_on_live_by_itself() {
    let world = World::new().await;
    let relay = world.relay(quick()).await;
    world.append(3_000).await;
    let mut reader = Reader::new(&world).await;
    assert_eq!(reader.step().await, Mode::CatchingUp);
    reader.until_mode(Mode::Live).await;
    for _ in 0..20 {
        let position = world.append(3).await;
        reader.until(position).await;
    }
    assert_eq!(reader.follower.mode(), Mode::Live);
    reader.assert_is_log(&world).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_follower_without_a_broker_follows_the_store() {
    let world = World::new().await;
    let mut reader = Reader {
        follower: Follower::new(Arc::new(world.store.clone()), None, quick_follower()),
        seen: Vec::new(),
    };
    for _ in 0..5 {
        let position = world.append(40).await;
        reader.until(position).await;
    }
    reader.until_mode(Mode::Polling).await;
    reader.assert_is_log(&world).await;
}

#[tokio::test]
async fn a_follower_goes_on_while_the_broker_is_away_and_is_live_again_after() {
    let mut world = World::new().await;
    let relay = world.relay(quick()).await;
    world.append(10).await;
    let mut reader = Reader::new(&world).await;
    reader.until_mode(Mode::Live).await;
    world.nats.kill().await;
    for _ in 0..3 {
        let position = world.append(50).await;
        reader.until(position).await;
    }
    reader.until_mode(Mode::Polling).await;
    world.nats.start_again().await;
    reader.until_mode(Mode::Live).await;
    let position = world.append(5).await;
    reader.until(position).await;
    reader.assert_is_log(&world).await;
    relay.stop().await;
}

#[tokio::test]
async fn relay_and_follower_start_while_the_broker_is_away_and_find_it_later() {
    let mut world = World::new().await;
    world.nats.stop().await;
    let relay = world.relay(quick()).await;
    let mut reader = Reader::new(&world).await;
    let position = world.append(10).await;
    reader.until(position).await;
    reader.until_mode(Mode::Polling).await;
    assert!(!relay.health.report().ready);
    world.nats.start_again().await;
    reader.until_mode(Mode::Live).await;
    world.append(10).await;
    world.all_published().await;
    relay.stop().await;
}

#[tokio::test]
async fn a_follower_goes_on_while_the_broker_is_frozen() {
    let world = World::new().await;
    let relay = world.relay(quick()).await;
    world.append(10).await;
    let mut reader = Reader::new(&world).await;
    reader.until_mode(Mode::Live).await;
    world.nats.pause();
    let position = world.append(50).await;
    reader.until(position).await;
    world.nats.resume();
    reader.until_mode(Mode::Live).await;
    reader.assert_is_log(&world).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_follower_goes_on_while_no_relay_runs() {
    let world = World::new().await;
    let relay = world.relay(quick()).await;
    world.append(10).await;
    let mut reader = Reader::new(&world).await;
    reader.until_mode(Mode::Live).await;
    relay.stop().await;
    let position = world.append(50).await;
    reader.until(position).await;
    reader.assert_is_log(&world).await;
}

#[tokio::test]
async fn a_follower_survives_the_loss_of_the_brokers_data_under_load() {
    let mut world = World::new().await;
    let relay = world.relay(quick()).await;
    world.append(10).await;
    let mut reader = Reader::new(&world).await;
    reader.until_mode(Mode::Live).await;
    for round in 0..4 {
        if round == 2 {
            world.nats.kill().await;
            world.nats.wipe_store().await;
            world.nats.start_again().await;
        }
        let position = world.append(200).await;
        reader.until(position).await;
    }
    reader.until_mode(Mode::Live).await;
    reader.assert_is_log(&world).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_follower_reads_what_came_as_a_stub_from_the_store() {
    let world =
        World::with(NatsOptions { max_payload: Some(4_096), ..NatsOptions::default() }).await;
    let relay = world.relay(quick()).await;
    world.append(1).await;
    let mut reader = Reader::new(&world).await;
    reader.until_mode(Mode::Live).await;
    let large = serde_json::json!({ "text": "x".repeat(200_000) });
    let position = world.append_events(vec![event(&large), event(&large)]).await;
    reader.until(position).await;
    let position = world.append(3).await;
    reader.until(position).await;
    reader.assert_is_log(&world).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_follower_that_was_not_asked_for_long_misses_nothing() {
    let world = World::new().await;
    let relay = world.relay(quick()).await;
    world.append(1).await;
    let mut reader = Reader::new(&world).await;
    reader.until_mode(Mode::Live).await;
    for _ in 0..10 {
        world.append(500).await;
    }
    let large = serde_json::json!({ "text": "x".repeat(300_000) });
    for _ in 0..3 {
        world.append_events((0..12).map(|_| event(&large)).collect()).await;
    }
    world.all_published().await;
    let head = world.head().await.mark.position;
    reader.until(head).await;
    reader.assert_is_log(&world).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_checkpoint_of_another_history_is_an_error_and_not_a_guess() {
    let world = World::new().await;
    world.append(10).await;
    let mut follower = Follower::new(Arc::new(world.store.clone()), None, quick_follower());
    let stranger = EventRef { position: Position(5), event_id: Some(Uuid::now_v7()) };
    let beyond = EventRef { position: Position(11), event_id: Some(Uuid::now_v7()) };
    for checkpoint in [stranger, beyond] {
        follower.seek(checkpoint);
        let error = follower.next_batch(10).await.unwrap_err();
        assert!(
            matches!(&error, FollowError::OtherHistory { checkpoint: c, .. } if *c == checkpoint),
            "{error}"
        );
        assert!(!error.is_transient());
    }
    let real = world.store.event_ref_at(Position(5)).await.unwrap().unwrap();
    follower.seek(real);
    let batch = follower.next_batch(10).await.unwrap();
    assert_eq!(batch.events.first().map(|event| event.position), Some(Position(6)));
}
