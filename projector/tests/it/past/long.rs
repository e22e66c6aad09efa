//! An erasure whose subject has more past rows than one transaction can blank in time.

use std::time::Duration;

use domain::Personal;
use domain::user::event::{UserDeactivated, UserEvent, UserRenamed};
use domain::value::PersonName;
use event_feed::{Follower, FollowerSettings};
use local_servers::{TestDatabase, in_time, until_within};
use projection::runner::MAX_BATCH;
use projection::{Runner, Standing};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::support::life::registered;
use crate::support::{Happening, ask_about, happening, tell, until, until_all_at};

const ADA: Uuid = Uuid::from_u128(0xada);
const BOB: Uuid = Uuid::from_u128(0xb0b);
/// How often the user is renamed. At 25 ms each, their past takes longer to blank than a
/// transaction of a batch may.
const RENAMED: usize = 220;

/// How many whole batches follow an erasure.
const BATCHES: usize = 3;

/// How long another process may take to own a partition that was given up, and a partition to pass
/// events that do not concern it. A lease that nobody gave up lasts longer, and so does a round of
/// an erasure whose disk does not answer.
const SOON: Duration = Duration::from_secs(2);

/// A disk that is slow to change a past row, and changes none while somebody holds the lock.
const SLOW: &str = "CREATE TRIGGER slowly BEFORE UPDATE ON users_g1.users_history
    FOR EACH ROW EXECUTE FUNCTION users_g1.slowly()";
const SLOWLY: &str = "CREATE FUNCTION users_g1.slowly() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN
        PERFORM pg_sleep(0.025);
        PERFORM pg_advisory_xact_lock_shared(1);
        RETURN NEW;
    END $$";
/// Whether the erasure has been waiting for the disk for longer than a round of it begins pieces.
const IS_HELD: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'
        AND query_start < now() - interval '0.3 s')";
const NAMES: &str = "SELECT count(*) FROM read_model.users_history WHERE id = $1::uuid
    AND (name IS NOT NULL OR email IS NOT NULL)";
const PARKED: &str = "SELECT array_agg(position ORDER BY position) FROM read_model.parked";

fn renamed(user_id: Uuid, number: usize) -> Happening {
    let name = PersonName::parse(&format!("Ada {number}")).unwrap();
    let name = Personal::new(user_id, name);
    happening("user", user_id, &UserEvent::Renamed(UserRenamed { user_id, name }))
}

/// A world with a user who was renamed very often, and another one, projected to a slow disk.
async fn with_long_past() -> (World, TestDatabase, Runner) {
    let (world, database) = (World::new(), read_model().await);
    let users = [ADA, BOB].map(|user| happening("user", user, &registered(user)));
    append(&world.encrypted, users.into()).await;
    append(&world.encrypted, (0..RENAMED).map(|number| renamed(ADA, number)).collect()).await;
    let mut live = runner(Arc::clone(&world.log), database.url()).revealing(vault(&world.keys));
    live.run_once().await.unwrap();
    tell(database.url(), SLOWLY).await;
    tell(database.url(), SLOW).await;
    (world, database, live)
}

/// A runner at work, until it is cancelled.
fn running(world: &World, mut live: Runner) -> (CancellationToken, JoinHandle<()>) {
    let (drain, store) = (CancellationToken::new(), Arc::clone(&world.log));
    let follower = Follower::new(store, None, FollowerSettings::default());
    let of_task = drain.clone();
    (drain, tokio::spawn(async move { live.run(follower, of_task).await }))
}

/// Holds the disk in the middle of a round of the erasure.
async fn hold(url: &str, whole: i64) -> PgConnection {
    until("the first piece", async || names(url, ADA).await < whole).await;
    let mut disk = PgConnection::connect(url).await.unwrap();
    sqlx::query("SELECT pg_advisory_lock(1)").execute(&mut disk).await.unwrap();
    until("a round that waits for the disk", async || ask(url, IS_HELD).await).await;
    disk
}

/// The position of a projection.
async fn at(url: &str, projection: &str) -> i64 {
    let position = "SELECT position FROM read_model.checkpoints WHERE projection = $1";
    ask_about(url, position, projection).await
}

async fn names(url: &str, user: Uuid) -> i64 {
    ask_about(url, NAMES, &user.to_string()).await
}

#[tokio::test]
async fn p7_an_erasure_with_a_long_past_takes_effect_and_the_others_go_on() {
    let (world, database, mut live) = with_long_past().await;
    let url = database.url();
    world.erase(ADA).await;
    append(&world.encrypted, vec![renamed(BOB, 1)]).await;
    let standings = live.run_once().await.unwrap();
    let head = world.log.head().await.unwrap().mark;
    assert!(standings.iter().all(|(_, standing)| *standing == Standing::At(head)), "{standings:?}");
    assert_eq!((names(url, ADA).await, names(url, BOB).await), (0, 2));
    tell(url, "DROP TRIGGER slowly ON users_g1.users_history").await;
    let operations = operations(url, log(Arc::clone(&world.log)), Some(&world.keys)).await;
    is_what_a_replay_makes(url, &operations, "a long past").await;
}

#[tokio::test]
async fn while_a_long_past_is_blanked_the_other_projections_of_the_process_go_on() {
    let (world, database, live) = with_long_past().await;
    let url = database.url();
    world.erase(ADA).await;
    let erased = world.log.head().await.unwrap().mark.position.0;
    for _ in 0..BATCHES {
        append(&world.encrypted, (0..MAX_BATCH).map(|number| renamed(BOB, number)).collect()).await;
    }
    let head = world.log.head().await.unwrap().mark.position.0;
    let (drain, task) = running(&world, live);
    until("the products are complete", async || at(url, "products").await == head).await;
    assert!(at(url, "users").await < erased, "the erasure has taken effect before");
    // It catches up.
    until_all_at(url, head).await;
    assert_eq!(names(url, ADA).await, 0);
    drain.cancel();
    in_time("the end of the runner", task).await.unwrap();
}

#[tokio::test]
async fn partitions_pass_what_does_not_concern_them_without_waiting_for_the_erasure() {
    let (world, database, live) = with_long_past().await;
    let url = database.url();
    let whole = names(url, ADA).await;
    world.erase(ADA).await;
    let (drain, task) = running(&world, live);
    let mut disk = hold(url, whole).await;
    append(&world.encrypted, vec![renamed(BOB, 1)]).await;
    let head = world.log.head().await.unwrap().mark.position.0;
    // One round ends, and the next one waits.
    let one = "SELECT pg_advisory_unlock(1); SELECT pg_advisory_lock(1)";
    sqlx::raw_sql(one).execute(&mut disk).await.unwrap();
    let left = names(url, ADA).await;
    until_within(SOON, "the products pass", async || at(url, "products").await == head).await;
    assert_eq!(names(url, ADA).await, left, "the round has ended before");
    disk.close().await.unwrap();
    until_all_at(url, head).await;
    drain.cancel();
    in_time("the end of the runner", task).await.unwrap();
}

#[tokio::test]
async fn a_runner_that_ends_while_it_erases_gives_its_partitions_up() {
    let (world, database, live) = with_long_past().await;
    let url = database.url();
    let whole = names(url, ADA).await;
    world.erase(ADA).await;
    let head = world.log.head().await.unwrap().mark;
    let (drain, task) = running(&world, live);
    let disk = hold(url, whole).await;
    drain.cancel();
    disk.close().await.unwrap();
    in_time("the end of the runner", task).await.unwrap();
    tell(url, "DROP TRIGGER slowly ON users_g1.users_history").await;
    let mut other = runner(Arc::clone(&world.log), url).revealing(vault(&world.keys));
    until_within(SOON, "another process owns everything", async || {
        let standings = other.run_once().await.unwrap();
        standings.iter().all(|(_, standing)| *standing == Standing::At(head))
    })
    .await;
    assert_eq!(names(url, ADA).await, 0);
}

#[tokio::test]
async fn p7_a_parked_erasure_with_a_long_past_takes_effect_when_it_is_tried_again() {
    let (world, database, mut live) = with_long_past().await;
    let url = database.url();
    let last = "ALTER TABLE users_g1.users ADD CONSTRAINT users_active CHECK (status = 'active')";
    tell(url, last).await;
    let left = UserEvent::Deactivated(UserDeactivated { user_id: ADA });
    append(&world.encrypted, vec![happening("user", ADA, &left)]).await;
    world.erase(ADA).await;
    live.run_once().await.unwrap();
    let head = world.log.head().await.unwrap().mark.position.0;
    assert_eq!(ask::<Vec<i64>>(url, PARKED).await, [head - 1, head]);
    assert_eq!(names(url, ADA).await, 0, "it is blanked at once");
    tell(url, "ALTER TABLE users_g1.users DROP CONSTRAINT users_active").await;
    let again = "INSERT INTO read_model.retry_requests SELECT projection, generation, key
        FROM read_model.stale";
    tell(url, again).await;
    let retried = Box::pin(async {
        while ask::<Option<Vec<i64>>>(url, PARKED).await.is_some() {
            live.run_once().await.unwrap();
        }
    });
    in_time("the retry of the erasure", retried).await;
    tell(url, "DROP TRIGGER slowly ON users_g1.users_history").await;
    let operations = operations(url, log(Arc::clone(&world.log)), Some(&world.keys)).await;
    is_what_a_replay_makes(url, &operations, "a long past").await;
}
