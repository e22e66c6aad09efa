//! A real streaming replica: reads go to it while it is fit, and to the primary otherwise.

use std::time::Duration;

use axum::Router;
use local_servers::{ClusterOptions, PostgresCluster, until};
use postgres_kit::PoolLimits;
use query_api::database::Pools;
use query_api::position::{self, Watcher};
use query_api::read::ALL_PROJECTIONS;
use query_api::replica::{self, Servers};
use secrecy::SecretString;
use service_kit::consistency::ConsistencyToken;
use service_kit::health::Health;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::support::{Answer, event_at, get, migrate, router, token_key};

/// A limit that no test reaches.
const ANY_LAG: Duration = Duration::from_hours(1);
const CONNECTIONS: PoolLimits = PoolLimits::of(10, 10);
const EPOCH: Uuid = Uuid::from_u128(0xe);

/// The API on a primary and its standby.
struct World {
    router: Router,
    servers: Servers,
    primary: PostgresCluster,
    standby: PostgresCluster,
    _stop: DropGuard,
}

impl World {
    async fn new(max_lag: Duration) -> Self {
        let primary = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
        migrate(primary.url()).await.unwrap();
        move_to(&primary, 10).await;
        let standby = primary.standby().await.unwrap();
        let [one, other] = [&primary, &standby]
            .map(|cluster| Pools::new(&SecretString::from(cluster.url()), CONNECTIONS).unwrap());
        let servers = Servers::with_replica(one, other);
        let (watcher, stop, health) = (Watcher::default(), CancellationToken::new(), Health::new());
        tokio::spawn(replica::watch(
            servers.clone(),
            max_lag,
            health.optional_component("replica"),
            health.pulse("following", replica::LOOK_SILENCE),
            stop.clone(),
        ));
        tokio::spawn(position::poll(
            watcher.clone(),
            servers.clone(),
            ALL_PROJECTIONS,
            health.pulse("polling", position::POLL_SILENCE),
            stop.clone(),
        ));
        let router = router(servers.clone(), watcher);
        let world = Self { router, servers, primary, standby, _stop: stop.drop_guard() };
        world.is_read_from_the_replica(true).await;
        world
    }

    async fn is_read_from_the_replica(&self, expected: bool) {
        until("reads go to the other server", async || {
            self.servers.choose().is_replica() == expected
        })
        .await;
    }

    /// Stops or resumes the replay of what the primary writes.
    async fn replay(&self, goes_on: bool) {
        if goes_on {
            return tell(&self.standby, "SELECT pg_wal_replay_resume()").await;
        }
        tell(&self.standby, "SELECT pg_wal_replay_pause()").await;
        let mut connection = PgConnection::connect(&self.standby.url()).await.unwrap();
        until("the replay is paused", async || {
            let state = sqlx::query_scalar("SELECT pg_get_wal_replay_pause_state()");
            let state: String = state.fetch_one(&mut connection).await.unwrap();
            state == "paused"
        })
        .await;
    }

    async fn users(&self, headers: &[(&str, &str)]) -> Answer {
        get(&self.router, "/api/v1/users", headers).await
    }

    /// The position that an answer shows.
    async fn position(&self) -> i64 {
        let answer = self.users(&[]).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["meta"]["position"].as_i64().unwrap()
    }
}

async fn tell(cluster: &PostgresCluster, statement: &'static str) {
    let mut connection = PgConnection::connect(&cluster.url()).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
}

/// Moves every checkpoint, as the projector would.
async fn move_to(primary: &PostgresCluster, position: i64) {
    let mut connection = PgConnection::connect(&primary.url()).await.unwrap();
    sqlx::query("UPDATE read_model.checkpoints SET epoch = $1, position = $2, event_id = $3")
        .bind(EPOCH)
        .bind(position)
        .bind(event_at(position))
        .execute(&mut connection)
        .await
        .unwrap();
}

fn token(position: i64) -> String {
    ConsistencyToken { epoch: EPOCH, position, event_id: event_at(position) }.sign(&token_key())
}

#[tokio::test]
async fn a_token_waits_for_the_replay_of_the_replica_and_then_asks_the_primary() {
    let world = World::new(ANY_LAG).await;
    world.replay(false).await;
    move_to(&world.primary, 20).await;
    assert_eq!(world.position().await, 10, "from the replica");
    let token = token(20);
    let asked = [("consistency-token", token.as_str()), ("prefer", "wait=1")];
    let answer = world.users(&asked).await;
    assert_eq!((answer.status.as_u16(), &answer.body["meta"]["position"]), (200, &20.into()));
    assert_eq!(world.position().await, 10, "only that answer came from the primary");
    // While it waits, the replica goes on.
    let asked = [("consistency-token", token.as_str()), ("prefer", "wait=10")];
    let waits = async {
        let answer = world.users(&asked).await;
        assert_eq!(answer.body["meta"]["position"], 20, "{answer:?}");
        world.position().await
    };
    let (position, ()) = tokio::join!(waits, world.replay(true));
    assert_eq!(position, 20, "the replica shows it now");
    let never = self::token(30);
    let behind = world.users(&[("consistency-token", never.as_str()), ("prefer", "wait=0")]).await;
    assert_eq!(
        (behind.status.as_u16(), behind.body["code"].as_str()),
        (503, Some("not-yet-consistent"))
    );
}

#[tokio::test]
async fn a_replica_that_lags_beyond_the_limit_is_not_read_until_it_has_caught_up() {
    let world = World::new(Duration::from_secs(1)).await;
    world.replay(false).await;
    move_to(&world.primary, 20).await;
    world.is_read_from_the_replica(false).await;
    assert_eq!(world.position().await, 20);
    world.replay(true).await;
    world.primary.wait_until_followed_by(&world.standby).await;
    world.is_read_from_the_replica(true).await;
    assert_eq!(world.position().await, 20);
}

#[tokio::test]
async fn p8_a_replica_that_is_away_costs_no_answer_and_is_read_again_when_it_is_back() {
    let mut world = World::new(ANY_LAG).await;
    assert_eq!(world.position().await, 10);
    world.standby.stop().await;
    move_to(&world.primary, 20).await;
    for _ in 0..20 {
        assert_eq!(world.position().await, 20);
    }
    world.is_read_from_the_replica(false).await;
    world.standby.start_again().await;
    world.is_read_from_the_replica(true).await;
    world.primary.wait_until_followed_by(&world.standby).await;
    assert_eq!(world.position().await, 20);
}

#[tokio::test]
async fn p8_while_the_primary_is_away_the_replica_answers_however_old_it_is() {
    let mut world = World::new(Duration::from_secs(1)).await;
    world.replay(false).await;
    move_to(&world.primary, 20).await;
    world.is_read_from_the_replica(false).await;
    world.primary.stop().await;
    world.is_read_from_the_replica(true).await;
    assert_eq!(world.position().await, 10, "as old as it is");
}
