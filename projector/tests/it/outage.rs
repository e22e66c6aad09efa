//! Servers that go away and come back.

use std::sync::Arc;

use event_feed::{Follower, FollowerSettings, NatsHandle};
use event_store::EventStore;
use futures::StreamExt as _;
use local_servers::{ClusterOptions, NatsOptions, NatsServer, PostgresCluster, in_time};
use nix::sys::signal::Signal;
use projection::Runner;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::erasure::World;
use crate::support::life::Life;
use crate::support::process::Process;
use crate::support::{
    append, ask, contents, log, log_of, postgres_store, read_model, replayed, runner, until_all_at,
    vault, watch, whole_database,
};

#[tokio::test]
async fn the_process_waits_while_postgres_is_away_and_goes_on() {
    let mut cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    let url = cluster.url();
    event_store::postgres::migrate(&url).await.unwrap();
    event_store::postgres::keys::migrate(&url).await.unwrap();
    projector::migrate(&url).await.unwrap();
    let mut life = Life::new(61);
    let store = postgres_store(&url).await;
    append(store.as_ref(), life.goes_on(50)).await;
    let mut process = Process::start(&url);
    until_all_at(&url, 50).await;

    cluster.stop().await;
    cluster.start_again().await;
    let store = postgres_store(&url).await;
    append(store.as_ref(), life.goes_on(50)).await;
    until_all_at(&url, 100).await;

    cluster.kill().await;
    let mut late = Process::start(&url);
    cluster.start_again().await;
    let store = postgres_store(&url).await;
    append(store.as_ref(), life.goes_on(50)).await;
    until_all_at(&url, 150).await;
    assert!(process.is_running() && late.is_running());
    assert_eq!(contents(&url).await, replayed(store).await);
}

#[tokio::test]
async fn every_checkpoint_is_announced_while_nats_is_there_and_nothing_stops_while_it_is_not() {
    let mut nats = NatsServer::start(NatsOptions::default()).await.unwrap();
    let database = read_model().await;
    let mut life = Life::new(71);
    let store = log_of(life.goes_on(20)).await;
    let handle = NatsHandle::connect(&nats.url(), "projector").await.unwrap();
    let listener = async_nats::connect(nats.url()).await.unwrap();
    let mut heard = listener.subscribe("checkpoints.*").await.unwrap();
    listener.flush().await.unwrap();
    crate::support::until("the connection to NATS", || async { handle.is_connected() }).await;
    let mut runner = Runner::new(
        log(Arc::clone(&store) as Arc<dyn EventStore>),
        database.url().parse().unwrap(),
        projector::projections::all(),
        Some(handle.clone()),
        watch(),
    );
    let drain = CancellationToken::new();
    let follower = Follower::new(
        Arc::clone(&store) as Arc<dyn EventStore>,
        Some(handle),
        FollowerSettings::default(),
    );
    let running = drain.clone();
    let task = tokio::spawn(async move { runner.run(follower, running).await });

    let head = store.head().await.unwrap();
    let mut told = std::collections::BTreeSet::new();
    while told.len() < projector::projections::all().len() {
        let message = in_time("an announcement", heard.next()).await.unwrap();
        let body: Value = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(
            message.subject.as_str(),
            format!("checkpoints.{}", body["projection"].as_str().unwrap())
        );
        assert_eq!(
            (&body["epoch"], &body["generation"], &body["partition"]),
            (&head.epoch.0.to_string().into(), &1.into(), &0.into())
        );
        if body["position"] == 20 {
            assert_eq!(body["event_id"], head.mark.event_id.unwrap().to_string());
            told.insert(body["projection"].as_str().unwrap().to_owned());
        }
    }
    nats.stop().await;
    append(store.as_ref(), life.goes_on(30)).await;
    until_all_at(database.url(), 50).await;
    drain.cancel();
    task.await.unwrap();
    assert_eq!(contents(database.url()).await, replayed(store).await);
}

/// A read model on a server that writes its log to disk for nothing but a commit that waits.
async fn lazy_read_model() -> PostgresCluster {
    let settings = vec![("wal_writer_delay".to_owned(), "10s".to_owned())];
    let cluster = PostgresCluster::start(ClusterOptions { settings, ..ClusterOptions::default() })
        .await
        .unwrap();
    projector::migrate(&cluster.url()).await.unwrap();
    cluster
}

#[tokio::test]
async fn i8_what_a_crash_takes_back_is_folded_again_to_the_same_rows() {
    /// Seldom a renewed lease flushes the log just before the crash; then nothing is taken back.
    const MOST: usize = 20;
    let log = whole_database().await;
    let store = postgres_store(log.url()).await;
    let mut cluster = lazy_read_model().await;
    let url = cluster.url();
    let mut life = Life::new(62);
    let mut process = Process::start_with(log.url(), &[("READ_MODEL_URL", &url)]);
    let (mut head, mut taken_back, mut rounds) = (0, 0, 0);
    // Both kinds of batches: of rows, and of events that most projections only pass over.
    while rounds < 4 || taken_back < 2 {
        assert!(rounds < MOST, "only {taken_back} of {rounds} crashes took something back");
        let events = if rounds % 2 == 0 { 30 } else { 1 };
        append(store.as_ref(), life.goes_on(events)).await;
        head += i64::try_from(events).unwrap();
        until_all_at(&url, head).await;
        process.signal(Signal::SIGSTOP);
        cluster.kill().await;
        cluster.start_again().await;
        let least: i64 = ask(&url, "SELECT min(position) FROM read_model.checkpoints").await;
        assert!(least <= head);
        taken_back += usize::from(least < head);
        process.signal(Signal::SIGCONT);
        // Nothing new comes: the process finds by itself that it is further than its rows.
        until_all_at(&url, head).await;
        rounds += 1;
    }
    assert!(process.is_running());
    assert_eq!(contents(&url).await, replayed(store).await);
}

#[tokio::test]
async fn i8_a_value_that_was_seen_blanked_stays_so_after_a_crash() {
    let mut cluster = lazy_read_model().await;
    let url = cluster.url();
    let (world, mut life) = (World::new(), Life::new(62));
    for round in 0..3 {
        for happening in life.goes_on(30) {
            append(&world.encrypted, vec![happening]).await;
        }
        let mut runner = runner(Arc::clone(&world.log), &url).revealing(vault(&world.keys));
        runner.run_once().await.unwrap();
        let rows = contents(&url).await;
        let named = rows["users"].as_array().unwrap().iter().find(|user| !user["name"].is_null());
        world.erase(named.unwrap()["id"].as_str().unwrap().parse().unwrap()).await;
        runner.run_once().await.unwrap();
        let seen = contents(&url).await;
        assert_ne!(seen["users"], rows["users"], "round {round}");
        cluster.kill().await;
        cluster.start_again().await;
        assert_eq!(contents(&url).await["users"], seen["users"], "round {round}");
    }
}
