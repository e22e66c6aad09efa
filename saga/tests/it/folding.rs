//! The fold of the log: programs that know different sagas take turns, tables are lost, and no
//! start and no signal is missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_feed::consumer::{StopReason, WorkerSettings};
use event_store::Position;
use event_store::postgres::begin_epoch;
use local_servers::until as eventually;
use saga::instance::{Decision, Part};
use saga::work::Listing;
use saga::{Begin, id};
use serde_json::json;

use crate::toy::{self, Mood, Moods};
use crate::world::{Shape, World};

fn both() -> Shape {
    Shape { names: vec![toy::NAME, toy::OTHER], ..Shape::default() }
}

#[tokio::test]
async fn what_starts_a_saga_while_an_old_program_folds_is_not_missed() {
    let world = World::new().await;
    let mut old = world.started(Shape::default()).await;
    for (round, key) in (1..).zip(["a", "b"]) {
        // The new program says where its saga begins, and stands by.
        let new = world.started(both()).await;
        world.wanted(&[key.into()]).await;
        world.ended(2 * round - 1).await;
        old.drain().await;
        world.ended(2 * round).await;
        world.idle().await;
        assert_eq!(world.count("saga.started").await, 2 * round);
        assert_eq!(world.gateway.calls(), 2 * round as u64, "a call was repeated");
        // The old program comes back.
        old = world.start(Shape::default());
        new.drain().await;
        eventually("it is ready", async || old.health.report().ready).await;
    }
    old.drain().await;
}

#[tokio::test]
async fn a_saga_that_begins_below_the_checkpoint_is_folded_from_there() {
    let world = World::new().await;
    let process = world.started(Shape::default()).await;
    world.wanted(&["a".into()]).await;
    world.ended(1).await;
    world.idle().await;
    process.drain().await;
    let process = world.started(Shape { begin: Begin::After(Position::START), ..both() }).await;
    world.ended(2).await;
    world.idle().await;
    assert_eq!(world.gateway.calls(), 2);
    process.drain().await;
}

#[tokio::test]
async fn a_saga_that_a_late_success_revived_is_found_when_the_log_is_folded_again() {
    let world = World::new().await;
    let away = Arc::new(AtomicBool::new(false));
    let moods: Moods = {
        let away = Arc::clone(&away);
        Arc::new(move |_, part| match part {
            Part::Action => Mood::Later,
            Part::Compensation if away.load(Ordering::Relaxed) => Mood::Fails,
            Part::Compensation => Mood::Well,
        })
    };
    let shape = || Shape { moods: Arc::clone(&moods), ..Shape::default() };
    let process = world.started(shape()).await;
    world.wanted(&["late".into()]).await;
    eventually("it waits", async || world.count("saga.step_pending").await == 1).await;
    world.append(toy::UNWANTED, vec![json!({ "key": "late" })]).await;
    world.ended(1).await;
    world.idle().await;
    away.store(true, Ordering::Relaxed);
    // Its end and its revival are in different batches.
    let batch = WorkerSettings::default().batch;
    world.append("thing.other", vec![json!({}); batch]).await;
    assert!(world.gateway.does_later("late"));
    world.append(toy::ANSWERED, vec![json!({ "key": "late", "done": true })]).await;
    eventually("it is parked", async || world.count("saga.parked").await == 1).await;
    process.drain().await;
    world.sql("TRUNCATE saga.checkpoints, saga.work, saga.signals, saga.drivers").await;
    let process = world.started(shape()).await;
    let operations = world.operations(shape());
    let parked = Listing { status: Some("parked".into()), limit: 10, ..Listing::default() };
    let found = async || operations.list(&parked).await.unwrap().len() == 1;
    eventually("it is found", found).await;
    process.drain().await;
}

#[tokio::test]
async fn people_have_the_log_folded_again_and_rows_of_before_are_gone() {
    let world = World::new().await;
    let moods: Moods = Arc::new(|_, _| Mood::Later);
    let shape = || Shape { moods: Arc::clone(&moods), ..Shape::default() };
    let process = world.started(shape()).await;
    world.wanted(&["a".into()]).await;
    eventually("it waits", async || world.count("saga.step_pending").await == 1).await;
    // As after a restore: one row is lost, and another is of an instance that the log lacks.
    world.sql("UPDATE saga.work SET id = gen_random_uuid(), due_at = NULL, driver = NULL").await;
    let operations = world.operations(shape());
    operations.fold_again().await.unwrap();
    let all = Listing { limit: 10, ..Listing::default() };
    eventually("only the real one is there", async || {
        let listed = operations.list(&all).await.unwrap();
        listed.len() == 1
            && listed[0].key == "a"
            && listed[0].status == "running"
            && operations.state(listed[0].id).await.unwrap().is_some()
    })
    .await;
    process.drain().await;
}

#[tokio::test]
async fn a_new_epoch_before_the_checkpoint_has_the_log_folded_again_without_help() {
    let world = World::new().await;
    let process = world.started(Shape::default()).await;
    world.wanted(&["a".into()]).await;
    world.ended(1).await;
    world.idle().await;
    process.drain().await;
    // The end of the log that the checkpoint has seen is lost, and other events took its place.
    world.wanted(&["b".into()]).await;
    world
        .sql("UPDATE saga.checkpoints SET position = position + 1, event_id = gen_random_uuid()")
        .await;
    let stopped = world.start(Shape::default()).stopped_by_itself().await;
    assert!(matches!(stopped, StopReason::OtherHistory { .. }), "{stopped:?}");
    let mut connection = world.connection().await;
    begin_epoch(&mut connection, "restored", &[]).await.unwrap();
    let process = world.started(Shape::default()).await;
    world.ended(2).await;
    world.idle().await;
    assert_eq!(world.gateway.calls(), 2, "a call was repeated");
    process.drain().await;
}

#[tokio::test]
async fn an_event_that_the_fold_cannot_take_stops_no_instance_that_has_begun() {
    for (what, data) in [
        // Of a version that nobody knows.
        ("saga_deployment.deployed", json!({})),
        (toy::WANTED, json!({ "key": "a", "panics": true })),
    ] {
        let world = World::new().await;
        let moods: Moods = Arc::new(|_, part| match part {
            Part::Action => Mood::Later,
            Part::Compensation => Mood::Well,
        });
        let shape = || Shape { moods: Arc::clone(&moods), ..Shape::default() };
        let process = world.started(shape()).await;
        world.wanted(&["begun".into()]).await;
        eventually("it waits", async || world.count("saga.step_pending").await == 1).await;
        world.append_version(what, 9, vec![data]).await;
        let needs_action = async || {
            let report = process.health.report();
            !report.ready && report.components["sagas"].needs_action
        };
        eventually("health says that a person must act", needs_action).await;
        let operations = world.operations(shape());
        let begun = id::of_instance(toy::NAME, "begun");
        let give_up = Decision::GiveUp { reason: "hopeless".into() };
        operations.decide(begun, give_up, "somebody").await.unwrap();
        world.ended(1).await;
        let reason = process.stopped().await;
        let expected = matches!(reason, StopReason::Unreadable(_) | StopReason::Panicked);
        assert!(expected, "{reason:?}");
    }
}
