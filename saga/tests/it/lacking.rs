//! Instances whose definition no process has: they are parked, keep what they are told, and resume
//! by themselves.

use std::sync::Arc;

use local_servers::until as eventually;
use saga::Definition;
use serde_json::json;

use crate::toy::{self, Mood, Moods};
use crate::world::{Shape, World};

fn with(definitions: Vec<Definition>) -> Shape {
    let moods: Moods = Arc::new(|_, part| match part {
        saga::instance::Part::Action => Mood::Later,
        saga::instance::Part::Compensation => Mood::Well,
    });
    Shape { definitions, moods, ..Shape::default() }
}

/// Has the processes look now, and one that lacks the definition for the last time.
const LOOK: &str = "UPDATE saga.work SET due_at = now(), failures = 12";

#[tokio::test]
async fn what_an_instance_is_told_while_no_process_has_its_definition_is_not_lost() {
    let world = World::new().await;
    let first = || toy::first_version(toy::PATIENT);
    let process = world.started(with(vec![first()])).await;
    world.wanted(&["a".into()]).await;
    eventually("it waits", async || world.count("saga.step_pending").await == 1).await;
    process.drain().await;
    let process = world.started(with(vec![toy::second_version()])).await;
    world.sql(LOOK).await;
    eventually("it is parked", async || world.count("saga.parked").await == 1).await;
    world.append(toy::UNWANTED, vec![json!({ "key": "a" })]).await;
    let looked = "SELECT count(*) FROM saga.work WHERE news > 0 AND driver IS NULL
        AND status = 'parked' AND due_at > now() + interval '30 s'";
    eventually("a process has looked", async || world.number(looked).await == 1).await;
    assert_eq!(world.number("SELECT count(*) FROM saga.signals").await, 1);
    process.drain().await;
    let process = world.started(with(vec![first(), toy::second_version()])).await;
    world.sql(LOOK).await;
    world.ended(1).await;
    let timeline = world.timeline("a").await;
    let parked = timeline.iter().position(|what| what.starts_with("parked")).unwrap();
    let expected = ["resumed by definition", "signal_received cancel", "compensating: not wanted"];
    assert_eq!(timeline[parked + 1..parked + 4], expected, "{timeline:#?}");
    assert!(timeline.last().unwrap().starts_with("compensated"), "{timeline:#?}");
    world.idle().await;
    process.drain().await;
}

#[tokio::test]
async fn an_instance_of_a_saga_that_no_process_knows_is_parked_and_resumes() {
    let world = World::new().await;
    let only = |name| {
        let shape = with(vec![toy::first_version(toy::PATIENT)]);
        Shape { names: vec![name], ..shape }
    };
    let process = world.started(only(toy::OTHER)).await;
    world.wanted(&["a".into()]).await;
    eventually("it waits", async || world.count("saga.step_pending").await == 1).await;
    process.drain().await;
    let process = world.started(only(toy::NAME)).await;
    world.sql("UPDATE saga.work SET due_at = now() - interval '2 min', failures = 12").await;
    eventually("it is parked", async || world.count("saga.parked").await == 1).await;
    process.drain().await;
    let process = world.started(only(toy::OTHER)).await;
    world.sql(LOOK).await;
    eventually("it resumes", async || world.count("saga.resumed").await == 1).await;
    process.drain().await;
}
