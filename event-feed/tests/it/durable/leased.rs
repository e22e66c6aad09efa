//! The lease of a consumer: kept while it works, left when it is lost.

use super::*;

/// Longer than the pulse of a worker may be silent.
const WHILE_PULSE: f64 = 17.0;

/// When the lease expires, in seconds from now, and its term.
async fn lease(setup: &Setup) -> (f64, i64) {
    let mut admin = PgConnection::connect(setup.world.database.url()).await.unwrap();
    let row = "SELECT extract(epoch FROM expires_at)::float8, term FROM event_store.leases
        WHERE name = 'tally'";
    sqlx::query_as(row).fetch_one(&mut admin).await.unwrap()
}

async fn tell(url: &str, statement: &'static str) {
    let mut admin = PgConnection::connect(url).await.unwrap();
    let done = sqlx::query(statement).execute(&mut admin).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{statement}");
}

#[tokio::test]
async fn an_idle_consumer_keeps_its_lease_in_one_term_and_its_pulse() {
    let setup = Setup::new().await;
    setup.world.append(5).await;
    let (health, patient) = (Health::new(), settings());
    let short = WorkerSettings { batch_limit: Duration::from_millis(500), ..patient };
    let worker = Running::start(setup.worker_with(setup.tally(), SHORT, &health, short));
    setup.handled(5).await;
    let (first, term) = lease(&setup).await;
    eventually("the lease is renewed for long", async || {
        assert!(health.report().ready, "{}", components(&health));
        lease(&setup).await.0 > first + WHILE_PULSE
    })
    .await;
    assert_eq!(lease(&setup).await.1, term);
    worker.drain().await;
}

#[tokio::test]
async fn a_consumer_that_lost_its_lease_stands_by_until_it_is_free() {
    let metrics = Telemetry::start("test", "warn").unwrap().metrics();
    let works =
        || metrics.render().lines().any(|line| line == "consumer_lag_events{consumer=\"tally\"} 0");
    let setup = Setup::new().await;
    setup.world.append(5).await;
    let worker = setup.run(setup.tally());
    setup.handled(5).await;
    eventually("it works", async || works()).await;
    let url = setup.world.database.url();
    tell(
        url,
        "UPDATE event_store.leases SET owner = gen_random_uuid(), term = term + 1,
            expires_at = now() + interval '1 hour' WHERE name = 'tally'",
    )
    .await;
    eventually("it stands by", async || !works()).await;
    let mark = setup.world.append(5).await.0;
    assert_eq!(effects(setup.own.url()).await.len(), 5);
    tell(url, "UPDATE event_store.leases SET expires_at = now() WHERE name = 'tally'").await;
    setup.handled(mark).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_consumer_whose_checkpoint_has_a_later_term_is_not_ready_until_its_own_is_later() {
    let setup = Setup::new().await;
    setup.world.append(5).await;
    setup.run(setup.tally()).drain_after(&setup, 5).await;
    tell(setup.own.url(), "UPDATE checkpoint SET term = term + 4").await;
    let health = Health::new();
    let slow = WorkerSettings { retry_first: LONG, retry_most: LONG, ..settings() };
    let worker = Running::start(setup.worker_with(setup.tally(), LONG, &health, slow));
    eventually("it says why it does not work", async || {
        components(&health).contains("the checkpoint has a later term")
    })
    .await;
    assert!(!health.report().ready);
    worker.drain().await;
    let worker = setup.run(setup.tally());
    setup.world.append(5).await;
    setup.handled(10).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_consumer_that_is_fenced_takes_its_lease_and_its_checkpoint_again() {
    let setup = Setup::new().await;
    setup.world.append(5).await;
    let worker = Running::start(setup.worker(setup.tally(), LONG, &Health::new()));
    setup.handled(5).await;
    tell(setup.own.url(), "UPDATE checkpoint SET term = term + 1").await;
    setup.world.append(5).await;
    setup.handled(10).await;
    worker.drain().await;
}

#[tokio::test]
async fn a_batch_that_takes_longer_than_the_lease_lasts_comes_again_in_smaller_pieces() {
    let setup = Setup::new().await;
    setup.world.append(32).await;
    let mut tally = setup.tally();
    tally.hangs_above = 10;
    let limited = WorkerSettings { batch: 32, batch_limit: SHORT * 3 / 2, ..settings() };
    let worker = setup.worker_with(tally, SHORT, &Health::new(), limited);
    let worker = Running::start(worker);
    setup.handled(32).await;
    worker.drain().await;
}
