//! The whole engine on a real Postgres: the log, the work tables, one or two processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_store::{EventStore as _, Filter, Position, Version};
use local_servers::until as eventually;
use saga::definition::Definition;
use saga::instance::{Decision, Status};
use saga::ops::Page;
use saga::work::Listing;
use serde_json::json;
use uuid::Uuid;

use crate::toy::{self, Mood, Moods};
use crate::world::{Shape, Stop, World, keys};

#[tokio::test]
async fn a_saga_runs_to_its_end_in_one_append_per_step() {
    let world = World::new().await;
    let process = world.started(Shape::default()).await;
    world.wanted(&["a".into()]).await;
    world.ended(1).await;
    world.check(&["a".into()]).await;
    let expected = [
        "started taking v1 a",
        "step_requested take #1",
        "step_succeeded take #1",
        "step_requested ask #1",
        "step_succeeded ask #1",
        "step_requested note #1",
        "step_succeeded note #1",
        "completed",
    ];
    assert_eq!(world.timeline("a").await, expected);
    // The shelf's events are in the appends of the steps: `take` with the request of `ask`, and
    // `ask` and `note` with the end. Appends share a time only by chance, so positions tell.
    let all = world.store.read(&Filter::All, Position::START, 100).await.unwrap();
    let types: Vec<&str> = all.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(
        types,
        [
            "saga_deployment.deployed",
            "thing.wanted",
            "saga.started",
            "saga.step_requested",
            "saga.step_succeeded",
            "saga.step_requested",
            "shelf.taken",
            "saga.step_succeeded",
            "saga.step_requested",
            "saga.step_succeeded",
            "saga.completed",
            "shelf.noted",
        ]
    );
    let cause = &all[1];
    assert!(all[2..].iter().all(|event| {
        event.metadata.correlation_id == cause.metadata.correlation_id
            && event.metadata.causation_id == Some(cause.id)
    }));
    world.idle().await;
    process.drain().await;
}

#[tokio::test]
async fn a_refused_call_undoes_the_saga_and_people_see_it_while_it_is_parked() {
    let world = World::new().await;
    let away = Arc::new(AtomicBool::new(true));
    let moods = |away: &Arc<AtomicBool>| -> Moods {
        let away = Arc::clone(away);
        Arc::new(move |call, part| match (call.key.as_str(), part) {
            ("parked", saga::instance::Part::Action) => Mood::LosesAnswer,
            ("parked", _) if away.load(Ordering::Relaxed) => Mood::Fails,
            ("parked", _) => Mood::Well,
            _ => Mood::Rejects,
        })
    };
    let shape = || Shape { moods: moods(&away), ..Shape::default() };
    let process = world.started(shape()).await;
    world.wanted(&["refused".into(), "parked".into()]).await;
    world.ended(1).await;
    let timeline = world.timeline("refused").await;
    assert_eq!(timeline.last().unwrap(), "compensated: ask failed: refused", "{timeline:#?}");
    let operations = world.operations(shape());
    let listing = Listing { status: Some("parked".into()), limit: 10, ..Listing::default() };
    eventually("it is parked", async || operations.list(&listing).await.unwrap().len() == 1).await;
    let stuck = operations.stuck(Duration::ZERO, listing).await.unwrap();
    let parked = &stuck[0];
    assert_eq!((parked.key.as_str(), parked.due_at), ("parked", None));
    assert!(parked.reason.as_deref().unwrap().contains("the compensation of ask failed"));
    let shown = operations.show(parked.id, Page::default()).await.unwrap().unwrap();
    assert_eq!((shown.instance.status, shown.next_after), (Status::Parked, None));
    assert!(operations.show(Uuid::nil(), Page::default()).await.unwrap().is_none());
    let (mut paged, mut after) = (Vec::new(), Version::NONE);
    loop {
        let page = operations.show(parked.id, Page { after, limit: 3 }).await.unwrap().unwrap();
        assert!((1..=3).contains(&page.timeline.len()), "{page:?}");
        paged.extend(page.timeline.iter().map(|entry| entry.version));
        let Some(next) = page.next_after else { break };
        after = next;
    }
    let whole: Vec<Version> = shown.timeline.iter().map(|entry| entry.version).collect();
    assert!(paged.len() > 3, "{paged:?}");
    assert_eq!(paged, whole);
    away.store(false, Ordering::Relaxed);
    operations.decide(parked.id, Decision::Resume, "somebody").await.unwrap();
    world.ended(2).await;
    world.check(&["refused".into(), "parked".into()]).await;
    world.idle().await;
    process.drain().await;
}

#[tokio::test]
async fn an_answer_in_the_log_ends_a_pending_step_and_a_late_one_is_undone() {
    let world = World::new().await;
    let moods: Moods = Arc::new(|_, part| match part {
        saga::instance::Part::Action => Mood::Later,
        saga::instance::Part::Compensation => Mood::Well,
    });
    let process = world.started(Shape { moods, ..Shape::default() }).await;
    world.wanted(&["in time".into(), "too late".into()]).await;
    eventually("both wait", async || world.count("saga.step_pending").await == 2).await;
    assert!(world.gateway.does_later("in time"));
    let answer = |key: &str| json!({ "key": key, "done": true });
    world.append(toy::ANSWERED, vec![answer("in time"), answer("in time")]).await;
    world.ended(1).await;
    world.append(toy::UNWANTED, vec![json!({ "key": "too late" })]).await;
    world.ended(2).await;
    world.idle().await;
    assert!(world.gateway.does_later("too late"));
    world.append(toy::ANSWERED, vec![answer("too late")]).await;
    world.ended(3).await;
    world.idle().await;
    world.check(&["in time".into(), "too late".into()]).await;
    process.drain().await;
}

#[tokio::test]
async fn a_process_killed_at_any_point_repeats_no_effect() {
    for point in
        ["inside", "before the call", "after the call", "before the undoing", "after the undoing"]
    {
        let world = World::new().await;
        let moods = || -> Moods {
            let refuses_undone = point.ends_with("undoing");
            Arc::new(move |_, part| match part {
                saga::instance::Part::Action if refuses_undone => Mood::LosesAnswer,
                _ => Mood::Well,
            })
        };
        let stop = Stop::at(point);
        let shape = Shape { moods: moods(), points: stop.clone(), ..Shape::default() };
        let process = world.started(shape).await;
        world.wanted(&["a".into()]).await;
        stop.reached().await;
        process.kill().await;
        let process = world.started(Shape { moods: moods(), ..Shape::default() }).await;
        world.ended(1).await;
        world.check(&["a".into()]).await;
        world.idle().await;
        process.drain().await;
    }
}

#[tokio::test]
async fn without_its_tables_the_engine_folds_the_log_again_and_repeats_nothing() {
    let world = World::new().await;
    let moods: Moods = Arc::new(|call, part| match (call.key.as_str(), part) {
        ("k0", saga::instance::Part::Action) => Mood::Later,
        _ => Mood::Well,
    });
    let shape = || Shape { moods: Arc::clone(&moods), ..Shape::default() };
    let process = world.started(shape()).await;
    let keys = keys(60);
    world.wanted(&keys).await;
    world.ended(59).await;
    eventually("one waits", async || world.count("saga.step_pending").await == 1).await;
    process.drain().await;
    let calls = world.gateway.calls();
    let tables = "TRUNCATE saga.checkpoints, saga.work, saga.signals, saga.drivers";
    sqlx::raw_sql(tables).execute(&mut world.connection().await).await.unwrap();
    let process = world.started(shape()).await;
    eventually("only the one that waits is left", async || world.rows().await == 1).await;
    assert_eq!(world.gateway.calls(), calls, "a call was repeated");
    assert!(world.gateway.does_later("k0"));
    world.append(toy::ANSWERED, vec![json!({ "key": "k0", "done": true })]).await;
    world.ended(60).await;
    world.check(&keys).await;
    assert_eq!(world.gateway.calls(), calls);
    process.drain().await;
}

#[tokio::test]
async fn events_before_the_first_deployment_and_imported_ones_start_nothing() {
    let world = World::new().await;
    world.wanted(&["before".into()]).await;
    let process = world.started(Shape::default()).await;
    let imported = json!({ "key": "imported", "imported": true });
    world.append(toy::WANTED, vec![imported, json!({ "key": "after" })]).await;
    world.ended(1).await;
    process.drain().await;
    // A later start begins at the same place.
    let tables = "TRUNCATE saga.checkpoints, saga.work";
    sqlx::raw_sql(tables).execute(&mut world.connection().await).await.unwrap();
    let process = world.started(Shape::default()).await;
    world.wanted(&["later".into()]).await;
    world.ended(2).await;
    world.check(&["after".into(), "later".into()]).await;
    world.idle().await;
    process.drain().await;
}

#[tokio::test]
async fn two_processes_share_the_work_and_one_takes_over_when_the_other_dies() {
    let world = World::new().await;
    let moods: Moods = Arc::new(|call, part| match (call.attempt, part) {
        (1, saga::instance::Part::Action) if call.key.ends_with('3') => Mood::LosesAnswer,
        (_, saga::instance::Part::Action) if call.key.ends_with('7') => Mood::Rejects,
        _ => Mood::Well,
    });
    let shape = || Shape { moods: Arc::clone(&moods), ..Shape::default() };
    let one = world.started(shape()).await;
    let two = world.started(shape()).await;
    let keys = keys(300);
    world.wanted(&keys[..150]).await;
    world.ended(20).await;
    one.kill().await;
    world.wanted(&keys[150..]).await;
    world.ended(300).await;
    world.check(&keys).await;
    world.idle().await;
    two.drain().await;
}

#[tokio::test]
async fn a_thousand_instances_keep_their_steps_while_the_definition_changes() {
    let world = World::new().await;
    let moods: Moods = Arc::new(|_, part| match part {
        saga::instance::Part::Action => Mood::Later,
        saga::instance::Part::Compensation => Mood::Well,
    });
    let with = |definitions: Vec<Definition>| Shape {
        definitions,
        moods: Arc::clone(&moods),
        ..Shape::default()
    };
    let process = world.started(with(vec![toy::first_version(toy::PATIENT)])).await;
    let keys = keys(1_000);
    world.wanted(&keys).await;
    eventually("all wait", async || world.count("saga.step_pending").await == 1_000).await;
    process.drain().await;
    let both = vec![toy::first_version(toy::PATIENT), toy::second_version()];
    let process = world.started(with(both)).await;
    world.wanted(&["new".into()]).await;
    eventually("the new one waits", async || world.count("saga.step_pending").await == 1_001).await;
    let mut all = keys.clone();
    all.push("new".into());
    for key in &all {
        assert!(world.gateway.does_later(key));
    }
    let answers = all.iter().map(|key| json!({ "key": key, "done": true })).collect();
    world.append(toy::ANSWERED, answers).await;
    world.ended(1_001).await;
    world.check(&all).await;
    assert_eq!(world.timeline("k0").await[0], "started taking v1 k0");
    assert_eq!(world.timeline("new").await[0], "started taking v2 new");
    world.idle().await;
    process.drain().await;
}
