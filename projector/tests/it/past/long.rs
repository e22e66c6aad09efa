//! An erasure whose subject has more past rows than one transaction can blank in time.

use domain::Personal;
use domain::user::event::{UserDeactivated, UserEvent, UserRenamed};
use domain::value::PersonName;
use event_feed::{Follower, FollowerSettings};
use local_servers::{TestDatabase, in_time};
use projection::runner::MAX_BATCH;
use projection::{Runner, Standing};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::support::life::registered;
use crate::support::{Happening, ask_about, happening, tell, until};

const ADA: Uuid = Uuid::from_u128(0xada);
const BOB: Uuid = Uuid::from_u128(0xb0b);
/// How often the user is renamed. At 25 ms each, their past takes longer to blank than a
/// transaction of a batch may.
const RENAMED: usize = 220;

/// How many whole batches follow an erasure.
const BATCHES: usize = 3;

/// A disk that is slow to change a past row.
const SLOW: &str = "CREATE TRIGGER slowly BEFORE UPDATE ON users_g1.users_history
    FOR EACH ROW EXECUTE FUNCTION users_g1.slowly()";
const SLOWLY: &str = "CREATE FUNCTION users_g1.slowly() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.025); RETURN NEW; END $$";
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
    let (world, database, mut live) = with_long_past().await;
    let url = database.url();
    world.erase(ADA).await;
    let erased = world.log.head().await.unwrap().mark.position.0;
    for _ in 0..BATCHES {
        append(&world.encrypted, (0..MAX_BATCH).map(|number| renamed(BOB, number)).collect()).await;
    }
    let head = world.log.head().await.unwrap().mark.position.0;
    let drain = CancellationToken::new();
    let store = Arc::clone(&world.log);
    let follower = Follower::new(store, None, FollowerSettings::default());
    let task = tokio::spawn({
        let drain = drain.clone();
        async move { live.run(follower, drain).await }
    });
    until("the products are complete", async || at(url, "products").await == head).await;
    assert!(at(url, "users").await < erased, "the erasure has taken effect before");
    // It catches up.
    crate::support::until_all_at(url, head).await;
    assert_eq!(names(url, ADA).await, 0);
    drain.cancel();
    in_time("the end of the runner", task).await.unwrap();
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
