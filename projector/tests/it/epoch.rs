//! The log in a new epoch, or with another history: checkpoints follow the one and stop at the
//! other, and go on without a restart (A5).

use std::sync::Arc;
use std::time::Duration;

use event_feed::{Follower, FollowerSettings};
use event_store::postgres::begin_epoch;
use event_store::{Epoch, EventStore};
use projection::{Runner, Standing};
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::life::Life;
use crate::support::{
    append, ask, contents, postgres_store, replayed, runner, until, until_all_at, whole_database,
};

/// A log with so many events and the read model that was worked out from it.
async fn projected(events: usize) -> (local_servers::TestDatabase, Life) {
    let database = whole_database().await;
    let mut life = Life::new(17);
    let store = postgres_store(database.url()).await;
    append(store.as_ref(), life.goes_on(events)).await;
    let mut runner = runner(store, database.url());
    runner.run_once().await.unwrap();
    runner.give_up().await;
    (database, life)
}

async fn admin(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn lose_events_after(url: &str, position: i64) {
    for table in [
        "DELETE FROM event_store.tags WHERE position > $1",
        "DELETE FROM event_store.events WHERE position > $1",
    ] {
        sqlx::query(table).bind(position).execute(&mut admin(url).await).await.unwrap();
    }
}

async fn epochs_of_checkpoints(url: &str) -> Vec<Epoch> {
    let epochs = sqlx::query_scalar::<_, Uuid>("SELECT DISTINCT epoch FROM read_model.checkpoints");
    epochs.fetch_all(&mut admin(url).await).await.unwrap().into_iter().map(Epoch).collect()
}

/// Every projection is stopped, and each says all of this.
async fn all_stopped(runner: &mut Runner, said: &[&str]) {
    for (name, standing) in runner.run_once().await.unwrap() {
        let Standing::Stopped(reason) = standing else { panic!("{name}: {standing:?}") };
        assert!(said.iter().all(|words| reason.contains(words)), "{reason}");
        assert!(reason.contains(&format!("`projector start-over {name}`")), "{reason}");
    }
}

#[tokio::test]
async fn every_checkpoint_follows_a_new_epoch_without_waiting_for_an_event() {
    let (database, mut life) = projected(20).await;
    let store = postgres_store(database.url()).await;
    let mut runner = runner(Arc::clone(&store) as Arc<dyn EventStore>, database.url());
    let settings = FollowerSettings {
        poll_interval: Duration::from_millis(20),
        ..FollowerSettings::default()
    };
    let follower = Follower::new(Arc::clone(&store) as Arc<dyn EventStore>, None, settings);
    let drain = CancellationToken::new();
    let running = drain.clone();
    let task = tokio::spawn(async move { runner.run(follower, running).await });
    let old = store.head().await.unwrap().epoch;
    assert_eq!(epochs_of_checkpoints(database.url()).await, [old]);
    let new = begin_epoch(&mut admin(database.url()).await, "a test", &[]).await.unwrap();
    until("every checkpoint in the new epoch", || async {
        epochs_of_checkpoints(database.url()).await == [new]
    })
    .await;
    append(store.as_ref(), life.goes_on(10)).await;
    until_all_at(database.url(), 30).await;
    drain.cancel();
    task.await.unwrap();
    assert_eq!(contents(database.url()).await, replayed(store).await);
}

#[tokio::test]
async fn an_epoch_that_began_while_no_projector_ran_is_followed_when_one_starts() {
    let (database, _) = projected(20).await;
    let new = begin_epoch(&mut admin(database.url()).await, "a test", &[]).await.unwrap();
    let store = postgres_store(database.url()).await;
    runner(store, database.url()).run_once().await.unwrap();
    assert_eq!(epochs_of_checkpoints(database.url()).await, [new]);
    assert_eq!(
        ask::<i64>(database.url(), "SELECT min(position) FROM read_model.checkpoints").await,
        20
    );
}

#[tokio::test]
async fn after_lost_commits_each_step_is_named_and_the_same_process_goes_on() {
    let (database, _) = projected(40).await;
    let url = database.url();
    lose_events_after(url, 30).await;
    let store = postgres_store(url).await;
    let mut runner = runner(Arc::clone(&store) as Arc<dyn EventStore>, url);
    let before = contents(url).await;
    all_stopped(&mut runner, &["position 40", "run `event-store epoch begin`"]).await;
    // Nobody has done anything yet, and the log has grown past the checkpoints with other events.
    append(store.as_ref(), Life::new(18).goes_on(20)).await;
    all_stopped(&mut runner, &["position 40", "run `event-store epoch begin`"]).await;

    begin_epoch(&mut admin(url).await, "commits were lost", &[]).await.unwrap();
    all_stopped(&mut runner, &["has another history"]).await;
    let told: i64 = ask(
        url,
        "SELECT count(*) FROM read_model.checkpoints WHERE stopped_by LIKE '%has another history%'",
    )
    .await;
    assert_eq!(
        told,
        i64::try_from(projector::projections::all().len()).unwrap(),
        "status shows what must be done now"
    );
    assert_eq!(contents(url).await, before, "nothing was touched");

    for projection in projector::projections::all() {
        projection::generation::start_over(&url.parse().unwrap(), projection.as_ref(), None)
            .await
            .unwrap();
    }
    let head = store.head().await.unwrap().mark;
    let standings = runner.run_once().await.unwrap();
    assert!(standings.iter().all(|(_, standing)| *standing == Standing::At(head)), "{standings:?}");
    assert_eq!(contents(url).await, replayed(store).await);
}

#[tokio::test]
async fn a_copy_from_before_the_epoch_of_a_checkpoint_is_named_with_that_epoch() {
    let (database, _) = projected(40).await;
    let url = database.url();
    let unknown = epochs_of_checkpoints(url).await[0];
    lose_events_after(url, 30).await;
    for statement in [
        "INSERT INTO event_store.epochs (epoch, began_after, reason) VALUES ($1, 0, 'as a copy \
            has it')",
        "UPDATE event_store.log SET epoch = $1",
        "DELETE FROM event_store.epochs WHERE epoch <> $1",
    ] {
        sqlx::query(statement)
            .bind(Uuid::from_u128(7))
            .execute(&mut admin(url).await)
            .await
            .unwrap();
    }
    let mut runner = runner(postgres_store(url).await, url);
    all_stopped(&mut runner, &[&format!("run `event-store epoch begin --abandon {unknown}`")])
        .await;
    begin_epoch(&mut admin(url).await, "the copy goes on", &[unknown]).await.unwrap();
    all_stopped(&mut runner, &["has another history"]).await;
}

#[tokio::test]
async fn once_the_right_log_is_back_the_same_process_goes_on_where_it_was() {
    let (database, mut life) = projected(20).await;
    let url = database.url();
    let rename = async |from: Uuid, to: Uuid| {
        let rename = sqlx::query("UPDATE event_store.events SET event_id = $2 WHERE event_id = $1")
            .bind(from)
            .bind(to);
        rename.execute(&mut admin(url).await).await.unwrap();
    };
    let (last, other) = (
        postgres_store(url).await.head().await.unwrap().mark.event_id.unwrap(),
        Uuid::from_u128(7),
    );
    rename(last, other).await;
    let mut runner = runner(postgres_store(url).await, url);
    all_stopped(&mut runner, &["position 20"]).await;
    rename(other, last).await;
    let store = postgres_store(url).await;
    append(store.as_ref(), life.goes_on(10)).await;
    let head = store.head().await.unwrap().mark;
    let standings = runner.run_once().await.unwrap();
    assert!(standings.iter().all(|(_, standing)| *standing == Standing::At(head)), "{standings:?}");
    let generations: i32 = ask(url, "SELECT max(generation) FROM read_model.generations").await;
    assert_eq!(generations, 1);
    assert_eq!(contents(url).await, replayed(store).await);
}
