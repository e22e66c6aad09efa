//! Who drives an instance: a row that a process owns is driven, whatever was lost on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use event_store::Metadata;
use local_servers::until as eventually;
use saga::sagas::Begun;
use saga::{Start, id};
use serde_json::json;
use service_kit::clock::{self, FixedClock};
use uuid::Uuid;

use crate::toy::{self, Mood, Moods};
use crate::world::{Shape, World, keys};

/// How soon work that is due begins, whatever others do.
const PROMPT: Duration = Duration::from_secs(10);

/// Adds a row for an instance that is due and that `driver` owns.
async fn owned(world: &World, key: &str, driver: Option<Uuid>) {
    let start = Start { key: key.into(), data: json!({ "key": key }) };
    let origin = Metadata::new(Uuid::now_v7());
    let begun = serde_json::to_value(Begun { saga: toy::NAME.into(), start, origin }).unwrap();
    sqlx::query(
        "INSERT INTO saga.work (id, saga, begun, due_at, driver, moved_at)
        VALUES ($1, $2, $3, now(), $4, now())",
    )
    .bind(id::of_instance(toy::NAME, key))
    .bind(toy::NAME)
    .bind(begun)
    .bind(driver)
    .execute(&mut world.connection().await)
    .await
    .unwrap();
}

async fn driver_of(world: &World) -> Uuid {
    let drivers = sqlx::query_scalar("SELECT id FROM saga.drivers");
    drivers.fetch_one(&mut world.connection().await).await.unwrap()
}

#[tokio::test]
async fn a_row_that_its_driver_does_not_know_is_driven_all_the_same() {
    let world = World::new().await;
    let process = world.started(Shape::default()).await;
    owned(&world, "stray", Some(driver_of(&world).await)).await;
    world.ended(1).await;
    world.idle().await;
    process.drain().await;
}

#[tokio::test]
async fn a_claim_that_fails_in_the_middle_takes_nothing() {
    let world = World::new().await;
    let process = world.started(Shape::default()).await;
    world.sql("ALTER TABLE saga.signals RENAME TO hidden").await;
    owned(&world, "a", None).await;
    eventually("the claim fails", async || !process.health.report().ready).await;
    world.sql("ALTER TABLE saga.hidden RENAME TO signals").await;
    world.ended(1).await;
    world.idle().await;
    process.drain().await;
}

#[tokio::test]
async fn what_others_hold_locked_does_not_hold_up_the_work() {
    let world = World::new().await;
    world.started(Shape::default()).await.drain().await;
    let dead = Uuid::from_u128(7);
    let mut holder = world.connection().await;
    let locks = "INSERT INTO saga.drivers (id, backend_pid, expires_at)
            VALUES ('00000000-0000-0000-0000-000000000007', 0, '-infinity');
        BEGIN;
        SELECT FROM saga.drivers FOR UPDATE;
        SELECT FROM saga.checkpoints FOR UPDATE";
    sqlx::raw_sql(locks).execute(&mut holder).await.unwrap();
    owned(&world, "of the dead", Some(dead)).await;
    owned(&world, "due", None).await;
    let process = world.start(Shape::default());
    let ended = tokio::time::timeout(PROMPT, world.ended(1)).await;
    ended.expect("the work of others goes on");
    sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.unwrap();
    world.ended(2).await;
    world.idle().await;
    process.drain().await;
}

#[tokio::test]
async fn a_process_whose_clock_is_wrong_drives_nothing_and_says_so() {
    let world = World::new().await;
    let drove = Arc::new(AtomicBool::new(false));
    let moods: Moods = {
        let drove = Arc::clone(&drove);
        Arc::new(move |_, _| {
            drove.store(true, Ordering::Relaxed);
            Mood::Well
        })
    };
    let ahead = FixedClock::at(clock::system().now() + TimeDelta::hours(1));
    let wrong = world.start_at(ahead, Shape { moods, ..Shape::default() });
    let says_so = async || {
        let report = wrong.health.report();
        let reason = report.components.get("sagas at work").and_then(|it| it.reason.clone());
        !report.ready && reason.is_some_and(|reason| reason.contains("clock"))
    };
    eventually("health says so", says_so).await;
    let follows = async || wrong.health.report().components["sagas"].ready;
    eventually("it folds the log", follows).await;
    let right = world.started(Shape::default()).await;
    world.wanted(&keys(20)).await;
    world.ended(20).await;
    world.idle().await;
    assert!(!drove.load(Ordering::Relaxed));
    wrong.drain().await;
    right.drain().await;
}
