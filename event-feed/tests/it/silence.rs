//! Silent servers, one kind of connection after another. Publishing continues where it can, the
//! process reports where it cannot, no metric shows an unknown value, and everything recovers soon
//! after.

use std::time::Duration;

use event_feed::relay::RelaySettings;
use event_store::postgres::migrate;
use local_servers::{
    ClusterOptions, NatsOptions, NatsServer, PostgresCluster, Stopped, until_within,
};
use service_kit::telemetry::{Metrics, Telemetry};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::{
    RunningRelay, Settings, World, append_to, event, open, quick, start_relay,
    start_relay_that_reads,
};

/// How soon a process must report that it cannot work, or continue with other connections.
const NOTICED: Duration = Duration::from_secs(10);
/// How soon everything must work again after the silence.
const HEALED: Duration = Duration::from_secs(5);
/// The extra time that a loaded machine may take.
const SLACK: Duration = Duration::from_secs(2);

/// Waits until `what` holds, at most this long plus [`SLACK`].
async fn within(limit: Duration, what: &str, holds: impl AsyncFnMut() -> bool) {
    until_within(limit + SLACK, what, holds).await;
}

/// Stops the backends of the connections with this name.
async fn stop(world: &World, application_name: &str) -> Stopped {
    let mut admin = PgConnection::connect(world.database.url()).await.unwrap();
    let ask = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND \
        application_name = $1";
    Stopped::stop(
        sqlx::query_scalar::<_, i32>(ask)
            .bind(application_name)
            .fetch_all(&mut admin)
            .await
            .unwrap(),
    )
}

async fn is_all_published(world: &World) -> bool {
    let head = u64::try_from(world.head().await.mark.position.0).unwrap();
    world.stream_info().await.is_some_and(|info| info.state.last_sequence == head)
}

fn ready(relay: &RunningRelay) -> bool {
    relay.health.report().ready
}

/// Appends until `stopped` connections were replaced. What was appended while they were stopped is
/// published.
async fn publishing_goes_on(world: &World, relay: &RunningRelay) {
    world.append(20).await;
    within(NOTICED, "publishing goes on beside the stopped backends", async || {
        is_all_published(world).await
    })
    .await;
    within(HEALED, "the process is ready", async || ready(relay)).await;
    world.append(20).await;
    within(HEALED, "publishing goes on at its pace", async || is_all_published(world).await).await;
}

async fn world_and_relay(settings: Settings) -> (World, RunningRelay) {
    let world = World::new().await;
    let relay = world.relay(settings).await;
    world.append(20).await;
    world.all_published().await;
    (world, relay)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_read_connections_that_are_silent_are_left_behind() {
    let (world, relay) = world_and_relay(quick()).await;
    let stopped = stop(&world, "event-relay").await;
    publishing_goes_on(&world, &relay).await;
    drop(stopped);
    world.all_published().await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_lease_connection_that_is_silent_is_left_behind() {
    // As by default, the lease lasts longer than the limit of a statement.
    let lasting = RelaySettings { lease_duration: Duration::from_secs(4), ..quick().relay };
    let (world, relay) = world_and_relay(Settings { relay: lasting, ..quick() }).await;
    let stopped = stop(&world, "event-relay lease").await;
    publishing_goes_on(&world, &relay).await;
    let mut admin = PgConnection::connect(world.database.url()).await.unwrap();
    let term = async |admin: &mut PgConnection| -> i64 {
        sqlx::query_scalar("SELECT term FROM event_store.leases").fetch_one(admin).await.unwrap()
    };
    within(NOTICED, "the lease is taken over a new connection", async || {
        term(&mut admin).await != 1
    })
    .await;
    publishing_goes_on(&world, &relay).await;
    drop(stopped);
    world.all_published().await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_listening_connection_that_is_silent_costs_the_poll_interval() {
    let (world, relay) = world_and_relay(quick()).await;
    let stopped = stop(&world, "event-relay wake").await;
    for _ in 0..10 {
        world.append(1).await;
        within(quick().relay.poll_interval, "it polls", async || is_all_published(&world).await)
            .await;
    }
    assert!(ready(&relay), "{}", relay.reasons());
    drop(stopped);
    world.all_published().await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_leader_that_cannot_read_any_more_gives_the_lease_to_one_who_can() {
    let world = World::new().await;
    let (lease, nats) = (world.database.url(), world.nats.url());
    let readers = world.database.url_in_group("event_store_relay").await;
    let first = start_relay_that_reads(&readers, lease, &nats, quick()).await;
    world.append(20).await;
    world.all_published().await;
    let second = start_relay_that_reads(lease, lease, &nats, quick()).await;
    // The first relay's lease is still renewed, but its read connections get no answers.
    let role = readers.parse::<PgConnectOptions>().unwrap().get_username().to_owned();
    let mut admin = PgConnection::connect(lease).await.unwrap();
    // Only in this database, because other tests use the role in theirs. It does not affect
    // superusers.
    let closed = format!("ALTER DATABASE \"{}\" CONNECTION LIMIT 0", world.database.name());
    sqlx::raw_sql(AssertSqlSafe(closed)).execute(&mut admin).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND \
        datname = current_database()";
    sqlx::query(end).bind(&role).execute(&mut admin).await.unwrap();
    world.append(20).await;
    within(NOTICED, "the second one publishes", async || is_all_published(&world).await).await;
    within(HEALED, "and is ready", async || ready(&second)).await;
    first.stop().await;
    second.stop().await;
    world.all_published().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_standby_says_that_the_broker_is_silent_though_its_connection_stands() {
    let (world, leader) = world_and_relay(quick()).await;
    let standby = world.relay(quick()).await;
    within(HEALED, "the stand-by is ready", async || ready(&standby)).await;
    world.nats.pause();
    // The client drops the connection after ten seconds at the earliest.
    within(HEALED, "the stand-by is not ready", async || !ready(&standby)).await;
    world.nats.resume();
    within(HEALED, "both are ready", async || ready(&leader) && ready(&standby)).await;
    world.append(20).await;
    world.all_published().await;
    leader.stop().await;
    standby.stop().await;
}

/// Reads a gauge of the target; `None` while its value is unknown.
fn gauge(metrics: &Metrics, name: &str) -> Option<f64> {
    let (text, start) = (metrics.render(), format!("{name}{{target=\"nats\"}}"));
    text.lines().find_map(|line| line.strip_prefix(&start)?.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_silent_servers_make_the_relay_not_ready_and_its_figures_right_or_unknown() {
    let metrics = Telemetry::start("test", "warn").unwrap().metrics();
    let (cluster, mut nats) = tokio::join!(
        PostgresCluster::start(ClusterOptions::default()),
        NatsServer::start(NatsOptions::default())
    );
    let (cluster, nats) = (cluster.unwrap(), nats.as_mut().unwrap());
    migrate(&cluster.url()).await.unwrap();
    let store = open(&cluster.url()).await;
    let append = async |count: usize| {
        append_to(&store, (0..count).map(|n| event(&serde_json::json!({ "n": n }))).collect())
            .await;
    };
    let relay = start_relay(&cluster.url(), &nats.url(), quick()).await;
    append(10).await;
    let figure = |name: &str| gauge(&metrics, name);
    let all_is_well = async || {
        ready(&relay)
            && figure("relay_leader") == Some(1.0)
            && figure("relay_lag_events") == Some(0.0)
    };
    within(NOTICED, "all is published", async || {
        all_is_well().await && figure("relay_position") == Some(10.0)
    })
    .await;

    nats.pause();
    append(50).await;
    within(NOTICED, "not ready without NATS", async || !ready(&relay)).await;
    within(HEALED, "the lag is told", async || figure("relay_lag_events") == Some(50.0)).await;
    let age = figure("relay_lag_seconds");
    within(HEALED, "and grows older", async || {
        figure("relay_lag_seconds") > age && age > Some(0.0)
    })
    .await;
    nats.resume();
    within(HEALED, "well again after NATS", all_is_well).await;

    cluster.pause();
    within(NOTICED, "not ready without Postgres", async || !ready(&relay)).await;
    let unknown = async || {
        figure("relay_leader") == Some(0.0)
            && figure("relay_lag_events").is_none()
            && figure("relay_lag_seconds").is_none()
    };
    within(NOTICED, "nobody knows the lag", unknown).await;
    cluster.resume();
    within(HEALED, "well again after Postgres", all_is_well).await;
    assert_eq!(figure("relay_position"), Some(60.0));
    relay.stop().await;
}
