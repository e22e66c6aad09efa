//! A rebuild of a paused projection is refused at once if it would wait for the live generation,
//! and only then.

use std::time::Duration;

use serde_json::json;

use crate::rebuild::{ends_with, fails, projected, succeeds};
use crate::support::admin::{Admin, OPERATIONS, asked};
use crate::support::life::Life;
use crate::support::process::Process;
use crate::support::{append, ask, postgres_store, projections, runner, tell, until};

const PAUSE_ALL: &str = "INSERT INTO read_model.pauses (projection, paused_by, reason)
    SELECT DISTINCT projection, 'clerk-7', 'a look at the rows' FROM read_model.generations";
const RESUME_ALL: &str = "DELETE FROM read_model.pauses";
const LAST: &str = "SELECT max(last) FROM read_model.generation_numbers";
const REBUILDS: &str = "SELECT count(*) FROM read_model.rebuilds";
const LEFT: &str = "SELECT count(*) FROM read_model.generations WHERE live AND generation = 1";

/// How long a comparison waits for a live generation that may still move.
const COMPARE_WAIT: Duration = Duration::from_mins(1);

/// The reason that people are told.
fn tells_all(said: &str, name: &str) -> bool {
    [
        format!("{name} is paused by clerk-7 since "),
        "(a look at the rows)".to_owned(),
        format!("projector resume {name}"),
        "--no-compare".to_owned(),
    ]
    .iter()
    .all(|words| said.contains(words))
}

#[tokio::test]
async fn a_rebuild_of_a_paused_projection_is_refused_before_it_begins() {
    let database = projected(551, 60).await;
    let url = database.url();
    let process = Process::start(url);
    let (admin, address) = (Admin::of(&process).await, process.admin());
    tell(url, PAUSE_ALL).await;
    let who = ["--by", "clerk-8", "--reason", "a new index", "--admin", &address];
    for name in projections() {
        let (status, _, problem) = admin.post(OPERATIONS, &asked("rebuild", name, json!({}))).await;
        assert_eq!((status, &problem["code"]), (409, &"operation/paused".into()), "{problem}");
        assert!(tells_all(problem["detail"].as_str().unwrap(), name), "{problem}");
        let through = ends_with(3, url, &[&["rebuild", name][..], &who].concat()).await;
        let direct = fails(url, &["rebuild", name]).await;
        assert!(tells_all(&through, name) && tells_all(&direct, name), "{through}{direct}");
    }
    let count = "SELECT count(*) FROM read_model.operations";
    assert_eq!((ask::<i64>(url, count).await, ask::<i32>(url, LAST).await), (0, 1), "none begun");
    for name in projections() {
        let path = admin.ask("rebuild", name, json!({"no_compare": true})).await;
        let done = admin.ended(&path).await;
        assert_eq!(
            (&done["state"], &done["result"]["generation"]),
            (&"succeeded".into(), &2.into())
        );
        succeeds(url, &[&["resume", name][..], &who].concat()).await;
        let path = admin.ask("rebuild", name, json!({})).await;
        assert_eq!(admin.ended(&path).await["state"], "succeeded", "{name}");
    }
}

#[tokio::test]
async fn a_rebuild_that_does_not_wait_for_the_live_generation_goes_on_while_it_is_paused() {
    let made_otherwise = [
        "UPDATE read_model.generations SET fold_version = fold_version + 1",
        "UPDATE read_model.checkpoints SET event_id = gen_random_uuid()",
        "UPDATE read_model.generations SET live = false",
    ];
    for (statement, seed) in made_otherwise.into_iter().zip(552..) {
        let database = projected(seed, 40).await;
        let (url, store) = (database.url(), postgres_store(database.url()).await);
        append(store.as_ref(), Life::new(seed).goes_on(20)).await;
        tell(url, PAUSE_ALL).await;
        for name in projections() {
            assert!(tells_all(&fails(url, &["rebuild", name]).await, name), "{name}");
        }
        tell(url, statement).await;
        for name in projections() {
            let said = succeeds(url, &["rebuild", name]).await;
            assert!(said.contains(&format!("queries see generation 2 of {name}")), "{said}");
        }
    }
}

#[tokio::test]
async fn a_rebuild_that_has_compared_is_switched_to_while_its_projection_is_paused() {
    let database = projected(556, 40).await;
    let url = database.url();
    for name in projections() {
        succeeds(url, &["rebuild", name, "--no-switch"]).await;
    }
    tell(url, PAUSE_ALL).await;
    for name in projections() {
        succeeds(url, &["rebuild", name, "--resume"]).await;
    }
    assert_eq!(ask::<i64>(url, LEFT).await, 0);
}

#[tokio::test]
async fn a_pause_ends_the_wait_of_a_rebuild_that_has_begun_and_its_work_is_kept() {
    let database = projected(557, 100).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    append(store.as_ref(), Life::new(558).goes_on(100)).await;
    let name = projections()[0];
    let pausing = async {
        until("the rebuild to begin", || async { ask::<i64>(url, REBUILDS).await == 1 }).await;
        tell(url, PAUSE_ALL).await;
    };
    let throttled = ["rebuild", name, "--throttle", "100"];
    let both = async { tokio::join!(fails(url, &throttled), pausing) };
    let (said, ()) = tokio::time::timeout(COMPARE_WAIT / 2, both).await.unwrap();
    assert!(tells_all(&said, name), "{said}");
    let said = fails(url, &["rebuild", name, "--resume"]).await;
    assert!(tells_all(&said, name), "{said}");

    tell(url, RESUME_ALL).await;
    let mut live = runner(store, url);
    live.run_once().await.unwrap();
    live.give_up().await;
    let said = succeeds(url, &["rebuild", name, "--resume"]).await;
    assert!(said.contains("no difference") && said.contains("generation 2"), "{said}");
}
