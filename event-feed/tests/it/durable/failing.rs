//! A consumer whose handler or own database fails, hangs or panics.

use std::sync::atomic::Ordering;

use super::*;

#[tokio::test]
async fn a_consumer_whose_database_is_away_says_so_and_leaves_the_work_to_another_one() {
    let setup = Setup::new().await;
    setup.world.append(5).await;
    let health = Health::new();
    let nowhere = format!("postgres://127.0.0.1:{}/x", local_servers::free_port().unwrap());
    let tally = Tally::new(&nowhere);
    let seen = Arc::clone(&tally.seen);
    let slow = WorkerSettings { retry_first: LONG, retry_most: LONG, ..settings() };
    let unable = Running::start(setup.worker_with(tally, LONG, &health, slow));
    eventually("it says why it does not work", async || {
        components(&health).contains("the checkpoint cannot be loaded")
    })
    .await;
    assert!(!health.report().ready);
    let able = Running::start(setup.worker(setup.tally(), LONG, &Health::new()));
    setup.handled(5).await;
    assert_eq!(seen.takes.load(Ordering::Relaxed), 1, "it waits before it tries again");
    able.drain().await;
    unable.drain().await;
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_and_not_made_again() {
    let setup = Setup::new().await;
    setup.world.append(5).await;
    let mut tally = setup.tally();
    tally.loses_answer = true;
    let seen = Arc::clone(&tally.seen);
    let worker = Running::start(setup.worker(tally, LONG, &Health::new()));
    eventually("the first batch is committed", async || seen.calls() == [(5, None)]).await;
    setup.world.append(5).await;
    setup.handled(10).await;
    let calls = seen.calls();
    assert!(calls.iter().all(|call| call.1 != Some(Committed::Fenced)), "{calls:?}");
    worker.drain().await;
}

#[tokio::test]
async fn a_handler_that_panics_stops_the_consumer_with_a_reason_and_frees_its_lease() {
    let setup = Setup::new().await;
    setup.world.append_events(vec![event(&json!({ "please": "panic" }))]).await;
    for _ in 0..2 {
        let health = Health::new();
        let stopped = Running::start(setup.worker(setup.tally(), LONG, &health)).stopped().await;
        assert!(matches!(stopped, StopReason::Panicked), "{stopped}");
        assert!(health.report().components["tally"].needs_action, "{}", components(&health));
    }
}

/// Two consumers, the first of which hangs at the gate while it holds the lease.
async fn a_hanging_one_is_replaced(at: At) {
    let setup = Setup::new().await;
    setup.world.append(5).await;
    let (health, gate) = (Health::new(), Gate::closed(at));
    let mut tally = setup.gated(&gate);
    tally.loses_answer = at == At::TakeAgain;
    let first = Running::start(setup.worker(tally, LONG, &health));
    gate.reached().await;
    let second = Running::start(setup.worker(setup.tally(), LONG, &Health::new()));
    let last = setup.world.append(5).await.0;
    setup.handled(last).await;
    assert!(!first.task.is_finished());
    second.drain().await;
    first.drain().await;
}

#[tokio::test]
async fn a_consumer_that_waits_in_vain_for_its_checkpoint_leaves_the_work_to_another_one() {
    a_hanging_one_is_replaced(At::Take).await;
}

#[tokio::test]
async fn a_consumer_that_waits_in_vain_for_its_checkpoint_after_a_failure_leaves_the_work_too() {
    a_hanging_one_is_replaced(At::TakeAgain).await;
}

#[tokio::test]
async fn a_consumer_is_drained_while_it_looks_for_its_checkpoint_after_a_failure() {
    let setup = Setup::new().await;
    setup.world.append(5).await;
    let gate = Gate::closed(At::TakeAgain);
    let mut tally = setup.gated(&gate);
    tally.loses_answer = true;
    let first = Running::start(setup.worker(tally, LONG, &Health::new()));
    gate.reached().await;
    let began = tokio::time::Instant::now();
    first.drain().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let second = Running::start(setup.worker(setup.tally(), LONG, &Health::new()));
    let last = setup.world.append(5).await.0;
    setup.handled(last).await;
    second.drain().await;
}
