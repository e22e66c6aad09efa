//! A stream with events that the log lost: the relay publishes nothing, is not ready and names the
//! command to run. The stream stays as it is until that was run (A5).

use std::collections::HashMap;

use async_nats::jetstream::stream::{Config, Info};
use event_feed::message::STREAM;
use event_store::postgres::begin_epoch;
use event_store::{Epoch, Position};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::support::{RunningRelay, World, append_to, event, eventually, open, quick};

/// A stream with this many published events, whose relay was stopped.
async fn published(count: usize) -> (World, Info) {
    let world = World::new().await;
    world.append(count).await;
    let relay = world.relay(quick()).await;
    world.all_published().await;
    relay.stop().await;
    let info = world.stream_info().await.unwrap();
    (world, info)
}

async fn admin(world: &World) -> PgConnection {
    PgConnection::connect(world.database.url()).await.unwrap()
}

/// Simulates a restored copy: the epoch is the same, and later events are gone.
async fn lose_events_after(world: &World, position: i64) {
    let mut admin = admin(world).await;
    for statement in [
        "DELETE FROM event_store.tags WHERE position > $1",
        "DELETE FROM event_store.events WHERE position > $1",
    ] {
        sqlx::query(statement).bind(position).execute(&mut admin).await.unwrap();
    }
}

/// Checks that the relay reports the loss and the command, and leaves the stream alone.
async fn stays_away(world: &World, relay: &RunningRelay, said: &[&str], before: &Info) {
    eventually("the relay says what to run", || async {
        said.iter().all(|words| relay.reasons().contains(words))
    })
    .await;
    assert!(!relay.health.report().ready);
    let after = world.stream_info().await.unwrap();
    assert_eq!(
        (after.created, after.state.last_sequence),
        (before.created, before.state.last_sequence)
    );
}

/// Checks that the same relay recreates the stream once the new epoch has begun.
async fn goes_on(world: &World, relay: RunningRelay, abandoned: &[Epoch], before: &Info) {
    let epoch = begin_epoch(&mut admin(world).await, "a test", abandoned).await.unwrap();
    eventually("there is a stream of the new epoch", || async {
        let info = world.stream_info().await;
        info.is_some_and(|info| {
            info.created > before.created
                && info.config.metadata["daybook-epoch"] == epoch.to_string()
        })
    })
    .await;
    world.append(3).await;
    world.all_published().await;
    eventually("the relay is ready", || async { relay.health.report().ready }).await;
    relay.stop().await;
}

const BEGIN: &str = "run `event-store epoch begin`";

#[tokio::test]
async fn p5_a_stream_that_is_ahead_of_its_log_waits_for_a_person() {
    let (world, before) = published(60).await;
    lose_events_after(&world, 40).await;
    let relay = world.relay(quick()).await;
    stays_away(&world, &relay, &["no event at position 60", BEGIN], &before).await;
    goes_on(&world, relay, &[], &before).await;
}

#[tokio::test]
async fn p5_a_stream_whose_events_were_replaced_in_the_log_waits_for_a_person() {
    let (world, before) = published(60).await;
    lose_events_after(&world, 40).await;
    let restored = open(world.database.url()).await;
    let others = (0..30).map(|n| event(&serde_json::json!({ "again": n }))).collect();
    assert_eq!(append_to(&restored, others).await, Position(70));
    let relay = world.relay(quick()).await;
    stays_away(&world, &relay, &["at position 60, where the stream", BEGIN], &before).await;
    goes_on(&world, relay, &[], &before).await;
}

#[tokio::test]
async fn p5_an_emptied_stream_that_is_ahead_of_its_log_waits_for_a_person() {
    let world = World::new().await;
    world.append(10).await;
    let metadata =
        HashMap::from([("daybook-epoch".to_owned(), world.head().await.epoch.to_string())]);
    let subjects = vec!["events.>".to_owned()];
    let config = Config {
        name: STREAM.to_owned(),
        subjects,
        first_sequence: Some(500),
        metadata,
        ..Config::default()
    };
    world.jetstream().await.create_stream(config).await.unwrap();
    let before = world.stream_info().await.unwrap();
    let relay = world.relay(quick()).await;
    stays_away(&world, &relay, &["no event at position 499", BEGIN], &before).await;
    goes_on(&world, relay, &[], &before).await;
}

#[tokio::test]
async fn p5_a_stream_of_an_epoch_that_the_log_never_was_in_waits_for_a_person_to_name_it() {
    let (world, before) = published(20).await;
    // Simulates a copy from before that epoch: the log has another epoch and does not know the
    // stream's.
    let mut admin = admin(&world).await;
    let unknown = Epoch(before.config.metadata["daybook-epoch"].parse().unwrap());
    let renamed = Uuid::now_v7();
    for statement in [
        "INSERT INTO event_store.epochs (epoch, began_after, reason) VALUES ($1, 0, 'as a copy \
            has it')",
        "UPDATE event_store.log SET epoch = $1",
        "DELETE FROM event_store.epochs WHERE epoch <> $1",
    ] {
        sqlx::query(statement).bind(renamed).execute(&mut admin).await.unwrap();
    }
    let world = World { store: open(world.database.url()).await, ..world };
    let relay = world.relay(quick()).await;
    let wanted = format!("run `event-store epoch begin --abandon {unknown}`");
    stays_away(&world, &relay, &["never was", &wanted], &before).await;
    goes_on(&world, relay, &[unknown], &before).await;
}

#[tokio::test]
async fn p5_the_stream_of_an_epoch_that_is_over_is_made_anew_without_anybodys_doing() {
    let (world, before) = published(20).await;
    let relay = world.relay(quick()).await;
    goes_on(&world, relay, &[], &before).await;
}

#[tokio::test]
async fn p5_when_the_right_log_is_back_the_relay_goes_on_with_the_stream_as_it_was() {
    let (world, before) = published(30).await;
    let mut admin = admin(&world).await;
    let rename = |from: Uuid, to: Uuid| {
        sqlx::query("UPDATE event_store.events SET event_id = $2 WHERE event_id = $1")
            .bind(from)
            .bind(to)
    };
    let (last, other) = (world.head().await.mark.event_id.unwrap(), Uuid::now_v7());
    rename(last, other).execute(&mut admin).await.unwrap();
    let relay = world.relay(quick()).await;
    stays_away(&world, &relay, &["at position 30", BEGIN], &before).await;
    rename(other, last).execute(&mut admin).await.unwrap();
    world.append(5).await;
    world.all_published().await;
    assert_eq!(world.stream_info().await.unwrap().created, before.created);
    relay.stop().await;
}
