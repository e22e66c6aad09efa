//! The runner: what stops, what goes on, who may write.

use std::sync::Arc;
use std::time::Duration;

use domain::order::event::{OrderConfirmed, OrderEvent};
use event_feed::{Follower, FollowerSettings};
use event_store::{EventStore, MemoryStore};
use projection::ops::status::Status;
use projection::runner::Watch;
use projection::{Runner, Standing};
use serde_json::json;
use service_kit::clock;
use service_kit::health::Health;
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::life::{Life, at, money, registered};
use crate::support::{
    append, ask, contents, happening, happening_of, log, log_of, read_model, replayed, runner,
    tell, until_all_at, watch,
};

fn standing(standings: &[(&str, Standing)], name: &str) -> Standing {
    standings.iter().find(|(projection, _)| *projection == name).unwrap().1.clone()
}

async fn status(url: &str, store: &dyn EventStore) -> Status {
    let mut connection = PgConnection::connect(url).await.unwrap();
    Status::read(&mut connection, Some(store), clock::system().now()).await.unwrap()
}

#[tokio::test]
async fn an_unknown_version_stops_only_the_projection_that_handles_its_type_and_says_so() {
    let (user, product) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let store = log_of(vec![
        happening("user", user, &registered(user)),
        happening_of(
            "product",
            product,
            "product.repriced",
            99,
            &json!({"from": "the future"}),
            Vec::new(),
        ),
        happening("user", Uuid::from_u128(3), &registered(Uuid::from_u128(3))),
    ])
    .await;
    let database = read_model().await;
    let head = store.head().await.unwrap().mark;
    for _ in 0..2 {
        let health = Health::new();
        let mut runner = Runner::new(
            log(Arc::clone(&store) as Arc<dyn EventStore>),
            database.url().parse().unwrap(),
            projector::projections::all(),
            None,
            Watch::new(&health, clock::system()),
        );
        let standings = runner.run_once().await.unwrap();
        let Standing::Stopped(reason) = standing(&standings, "products") else {
            panic!("{standings:?}")
        };
        assert!(
            reason.contains("event 2 (product.repriced)") && reason.contains("version 99"),
            "{reason}"
        );
        for projection in projector::projections::all() {
            let (name, handles) = (projection.name(), projection.handles());
            let is_stopped = matches!(standing(&standings, name), Standing::Stopped(_));
            assert_eq!(is_stopped, handles.contains(&"product.repriced"), "{name}");
            assert!(is_stopped || standing(&standings, name) == Standing::At(head), "{name}");
        }
        let status = status(database.url(), store.as_ref()).await;
        let products =
            status.projections.iter().find(|partition| partition.projection == "products").unwrap();
        assert_eq!(
            (products.mode.as_str(), products.position, products.lag_events),
            ("stopped", 1, 2)
        );
        assert_eq!(products.stopped_by.as_ref(), Some(&reason));
        runner.give_up().await;
    }
}

#[tokio::test]
async fn an_event_that_makes_no_sense_for_a_row_is_parked_and_everything_else_goes_on() {
    let (user, stranger, order_id) = (Uuid::from_u128(1), Uuid::from_u128(9), Uuid::from_u128(5));
    let confirmed = OrderConfirmed {
        order_id,
        user_id: stranger,
        total: money(5, "USD"),
        units: 1,
        ordered_at: at("1997-01-01T00:00:00Z"),
        to_fulfil: true,
    };
    let store = log_of(vec![
        happening("user", user, &registered(user)),
        happening("order", order_id, &OrderEvent::Confirmed(confirmed)),
        happening("user", Uuid::from_u128(3), &registered(Uuid::from_u128(3))),
    ])
    .await;
    let database = read_model().await;
    let head = store.head().await.unwrap().mark;
    let standings =
        runner(Arc::clone(&store) as Arc<dyn EventStore>, database.url()).run_once().await.unwrap();
    assert!(standings.iter().all(|(_, standing)| *standing == Standing::At(head)), "{standings:?}");
    let rows = contents(database.url()).await;
    assert_eq!(rows["users"].as_array().unwrap().len(), 2, "both before and after");
    let cause: String = ask(
        database.url(),
        "SELECT format('%s %s %s', projection, position, cause) FROM read_model.parked JOIN \
            read_model.stale USING (projection, key)
         WHERE projection = 'users'",
    )
    .await;
    assert_eq!(cause, "users 2 the row that it changes does not exist");
    let status = status(database.url(), store.as_ref()).await;
    let parked = |name: &str| status.projections.iter().find(|of| of.projection == name);
    assert_eq!(parked("users").map(|of| of.parked), Some(1), "{status:?}");
    assert_eq!(parked("daily_sales").map(|of| of.parked), Some(0), "{status:?}");
    assert_eq!(rows["daily_sales"][0]["revenue_minor"], 5, "the others go on");
}

#[tokio::test]
async fn i8_an_owner_with_an_older_term_changes_nothing_though_its_connection_lives() {
    let mut life = Life::new(3);
    let store = log_of(life.goes_on(50)).await;
    let database = read_model().await;
    let mut zombie = runner(Arc::clone(&store) as Arc<dyn EventStore>, database.url());
    zombie.run_once().await.unwrap();
    let before = contents(database.url()).await;
    tell(
        database.url(),
        "UPDATE read_model.leases SET owner = gen_random_uuid(), term = term + \
        1, expires_at = 'infinity', backend_pid = pg_backend_pid()",
    )
    .await;
    tell(database.url(), "UPDATE read_model.checkpoints SET term = term + 1").await;
    append(store.as_ref(), life.goes_on(20)).await;
    let standings = zombie.run_once().await.unwrap();
    assert!(standings.iter().all(|(_, standing)| *standing == Standing::Waiting), "{standings:?}");
    assert_eq!(contents(database.url()).await, before);
}

#[tokio::test]
async fn p6_two_runners_at_once_and_a_change_of_hands_fold_every_event_once() {
    let mut life = Life::new(11);
    let store = log_of(life.goes_on(50)).await;
    let database = read_model().await;
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = Vec::new();
    for drain in [&first, &second] {
        let mut runner = runner(Arc::clone(&store) as Arc<dyn EventStore>, database.url());
        let follower = Follower::new(Arc::clone(&store) as Arc<dyn EventStore>, None, fast());
        let drain = drain.clone();
        tasks.push(tokio::spawn(async move { runner.run(follower, drain).await }));
    }
    until_all_at(database.url(), 50).await;
    append(store.as_ref(), life.goes_on(300)).await;
    until_all_at(database.url(), 350).await;
    first.cancel();
    append(store.as_ref(), life.goes_on(300)).await;
    until_all_at(database.url(), 650).await;
    second.cancel();
    for task in tasks {
        task.await.unwrap();
    }
    let held: i64 =
        ask(database.url(), "SELECT count(*) FROM read_model.leases WHERE owner IS NOT NULL").await;
    assert_eq!(held, 0, "leases are given up at the end");
    assert_eq!(contents(database.url()).await, replayed(store).await);
}

#[tokio::test]
async fn another_history_stops_every_projection_and_the_command_that_it_names_goes_on() {
    let database = read_model().await;
    let old = log_of(Life::new(1).goes_on(40)).await;
    let mut before = runner(old, database.url());
    before.run_once().await.unwrap();
    before.give_up().await;
    let kept = contents(database.url()).await;
    let restored: Arc<MemoryStore> = log_of(Life::new(2).goes_on(60)).await;
    let standings = runner(Arc::clone(&restored) as Arc<dyn EventStore>, database.url())
        .run_once()
        .await
        .unwrap();
    for (name, standing) in standings {
        let Standing::Stopped(reason) = standing else { panic!("{name}: {standing:?}") };
        assert!(
            reason.contains("position 40")
                && reason.contains(&format!("projector start-over {name}")),
            "{reason}"
        );
    }
    assert_eq!(contents(database.url()).await, kept, "nothing was touched");
    for projection in projector::projections::all() {
        projection::generation::start_over(
            &database.url().parse().unwrap(),
            projection.as_ref(),
            None,
        )
        .await
        .unwrap();
    }
    runner(Arc::clone(&restored) as Arc<dyn EventStore>, database.url()).run_once().await.unwrap();
    assert_eq!(contents(database.url()).await, replayed(restored).await);
}

#[tokio::test]
async fn a_generation_of_another_fold_version_is_left_alone_and_the_command_to_run_is_named() {
    let database = read_model().await;
    tell(
        database.url(),
        "UPDATE read_model.generations SET fold_version = 7 WHERE projection = 'orders'",
    )
    .await;
    let store = log_of(Life::new(4).goes_on(30)).await;
    let mut runner = runner(Arc::clone(&store) as Arc<dyn EventStore>, database.url());
    let standings = runner.run_once().await.unwrap();
    let Standing::Stopped(reason) = standing(&standings, "orders") else { panic!("{standings:?}") };
    assert!(
        reason.contains("version 7") && reason.contains("projector rebuild orders"),
        "{reason}"
    );
    let rows = contents(database.url()).await;
    assert_eq!(
        (&rows["checkpoints"]["orders"][1], &rows["checkpoints"]["users"][1]),
        (&json!(0), &json!(30))
    );

    let orders = projector::projections::all()
        .into_iter()
        .find(|projection| projection.name() == "orders")
        .unwrap();
    projection::generation::start_over(&database.url().parse().unwrap(), orders.as_ref(), None)
        .await
        .unwrap();
    runner.run_once().await.unwrap();
    assert_eq!(contents(database.url()).await, replayed(store).await, "the same runner goes on");
}

#[tokio::test]
async fn a_process_with_a_stopped_projection_is_not_ready() {
    let database = read_model().await;
    let product = Uuid::from_u128(2);
    let store =
        log_of(vec![happening_of("product", product, "product.added", 2, &json!({}), Vec::new())])
            .await as Arc<dyn EventStore>;
    let health = Health::new();
    let watch = Watch::new(&health, clock::system());
    let mut runner = Runner::new(
        log(Arc::clone(&store)),
        database.url().parse().unwrap(),
        projector::projections::all(),
        None,
        watch,
    );
    let drain = CancellationToken::new();
    let (task, follower) = (drain.clone(), Follower::new(store, None, fast()));
    let task = tokio::spawn(async move { runner.run(follower, task).await });
    crate::support::until("the projections to be reported", || async {
        health.report().components["projections"]
            .reason
            .as_ref()
            .is_some_and(|reason| reason.contains("products is stopped"))
    })
    .await;
    assert!(!health.report().ready);
    drain.cancel();
    task.await.unwrap();
}

fn fast() -> FollowerSettings {
    FollowerSettings {
        idle_report: Duration::from_millis(100),
        poll_interval: Duration::from_millis(20),
        ..FollowerSettings::default()
    }
}

#[tokio::test]
async fn nothing_is_announced_without_nats_and_nothing_is_missed() {
    let database = read_model().await;
    let mut life = Life::new(21);
    let store = log_of(life.goes_on(10)).await;
    let mut runner = Runner::new(
        log(Arc::clone(&store) as Arc<dyn EventStore>),
        database.url().parse().unwrap(),
        projector::projections::all(),
        None,
        watch(),
    );
    for _ in 0..3 {
        append(store.as_ref(), life.goes_on(10)).await;
        runner.run_once().await.unwrap();
    }
    assert_eq!(contents(database.url()).await, replayed(store).await);
}
