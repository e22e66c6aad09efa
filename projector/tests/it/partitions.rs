//! Projections split by a hash of their keys: the same rows, no matter which process projects which
//! partition, and how far each is.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use event_store::{EventStore, MemoryStore};
use local_servers::test_run;
use projection::ops::account::Account;
use projection::runner::lease::LEASE;
use projection::{AnyProjection, of};
use projection::{Runner, Standing, generation};
use projector::projections;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection, PgConnection};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use uuid::Uuid;

use crate::rebuild::{ends_with, succeeds};
use crate::support::ledger::{FIXED, Ledger, POISON, Row, adjusted, traced};
use crate::support::life::Life;
use crate::support::process::{Process, command};
use crate::support::{
    append, ask, contents, log, log_of, postgres_store, read_model, replayed, runner,
    split_projections, tell, until, watch, whole_database,
};

pub(crate) async fn begin_split(url: &str, projection: &dyn AnyProjection, partitions: i32) {
    generation::start_over(&url.parse().unwrap(), projection, Some(partitions)).await.unwrap();
}

/// Begins the projections of single rows in partitions, others than before.
async fn begin_all_split(url: &str, mut partitions: impl FnMut() -> i32) {
    for projection in projections::all()
        .iter()
        .filter(|projection| split_projections().contains(&projection.name()))
    {
        begin_split(url, projection.as_ref(), partitions()).await;
    }
}

async fn accounts(url: &str, projection: &str) -> Vec<Account> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    Account::read(&mut connection, Some(projection)).await.unwrap()
}

/// A partition in the hands of somebody who does nothing with it, until it is let go.
async fn hold(url: &str, partition: &str) -> PgConnection {
    let owner = Uuid::now_v7();
    let options: PgConnectOptions = url.parse().unwrap();
    let mut holder = options.application_name(&format!("test {owner}")).connect().await.unwrap();
    let taken = sqlx::query(
        "UPDATE read_model.leases SET owner = $2, term = term + 1, backend_pid = \
            pg_backend_pid(), expires_at = 'infinity'
         WHERE name = $1",
    );
    assert_eq!(
        taken.bind(partition).bind(owner).execute(&mut holder).await.unwrap().rows_affected(),
        1,
        "{partition}"
    );
    holder
}

async fn let_go(mut holder: PgConnection) {
    let free = "UPDATE read_model.leases SET owner = NULL, backend_pid = NULL, expires_at = \
        '-infinity' WHERE backend_pid = pg_backend_pid()";
    sqlx::query(free).execute(&mut holder).await.unwrap();
}

async fn run_once(store: &Arc<MemoryStore>, url: &str) -> Vec<(&'static str, Standing)> {
    let mut runner = runner(Arc::clone(store) as Arc<dyn EventStore>, url);
    let standings = runner.run_once().await.unwrap();
    runner.give_up().await;
    standings
}

#[tokio::test]
async fn p7_split_into_parts_that_stand_anywhere_the_rows_are_those_of_a_whole() {
    let run = test_run();
    for round in 0..run.count(4, 100) {
        let seed = run.seed.wrapping_add(round);
        let (mut life, mut random) = (Life::new(seed), StdRng::seed_from_u64(seed));
        let (database, store) = (read_model().await, log_of(Vec::new()).await);
        let url = database.url();
        begin_all_split(url, || random.random_range(2..=9)).await;
        run_once(&store, url).await;
        for _ in 0..6 {
            append(store.as_ref(), life.goes_on(random.random_range(1..80))).await;
            // One partition stays behind, so that the others stand elsewhere.
            let partition: String =
                ask(url, "SELECT name FROM read_model.leases ORDER BY random() LIMIT 1").await;
            let held = hold(url, &partition).await;
            run_once(&store, url).await;
            let_go(held).await;
        }
        let head = store.head().await.unwrap().mark;
        let standings = run_once(&store, url).await;
        assert!(
            standings.iter().all(|(_, standing)| *standing == Standing::At(head)),
            "{standings:?}"
        );
        assert_eq!(
            contents(url).await,
            replayed(Arc::clone(&store) as Arc<dyn EventStore>).await,
            "seed {seed}"
        );
        for name in split_projections() {
            let accounts = accounts(url, name).await;
            assert!(
                accounts
                    .iter()
                    .all(|account| account.adds_up && account.position == head.position.0),
                "{accounts:?}"
            );
            // Each event has one row, and so counts in one partition.
            let whole = read_model().await;
            run_once(&store, whole.url()).await;
            let applied: i64 = accounts.iter().map(|account| account.applied).sum();
            assert_eq!(
                applied,
                self::accounts(whole.url(), name).await[0].applied,
                "seed {seed}: {accounts:?}"
            );
        }
    }
}

#[tokio::test]
async fn p7_poison_in_a_part_hurts_its_own_rows_and_is_drained_by_its_owner() {
    let run = test_run();
    let mut random = StdRng::seed_from_u64(run.seed);
    let projection = of::<Ledger<3>>();
    let (database, store) = (read_model().await, Arc::new(MemoryStore::new()));
    let url = database.url();
    generation::migrate(&url.parse().unwrap(), std::slice::from_ref(&projection)).await.unwrap();
    begin_split(url, projection.as_ref(), 5).await;
    let log = log(Arc::clone(&store) as Arc<dyn EventStore>);
    let mut runner =
        Runner::new(log, url.parse().unwrap(), vec![Arc::clone(&projection)], None, watch());
    let (mut all, mut unhurt) = (BTreeMap::<String, Row>::new(), BTreeMap::<String, Row>::new());
    let mut poisoned = std::collections::BTreeSet::new();
    let count = i64::try_from(run.count(2_000, 20_000)).unwrap();
    for position in 1..=count {
        let product = Uuid::from_u128(random.random_range(0..300));
        let delta =
            if random.random_ratio(1, 100) { POISON } else { random.random_range(100..1_000) };
        append(store.as_ref(), vec![adjusted(product, delta)]).await;
        let key = product.to_string();
        all.insert(key.clone(), traced(&key, all.get(&key).cloned(), delta, position));
        if delta == POISON {
            poisoned.insert(key.clone());
        }
        if !poisoned.contains(&key) {
            unhurt.insert(key.clone(), traced(&key, unhurt.get(&key).cloned(), delta, position));
        }
        if random.random_ratio(1, 300) {
            runner.run_once().await.unwrap();
        }
    }
    runner.run_once().await.unwrap();
    assert_eq!(rows(url).await, unhurt, "seed {}", run.seed);
    let parked = accounts(url, "ledger").await;
    assert_eq!(
        (parked.len(), parked.iter().all(|account| account.adds_up)),
        (5, true),
        "{parked:?}"
    );
    let (of_partitions, of_keys) = (
        "SELECT count(*) FROM read_model.parked WHERE partition = read_model.partition_of(key, 5)",
        "SELECT count(*) FROM read_model.parked",
    );
    assert_eq!(ask::<i64>(url, of_partitions).await, ask::<i64>(url, of_keys).await);
    FIXED[3].store(true, Ordering::SeqCst);
    tell(
        url,
        "INSERT INTO read_model.retry_requests SELECT DISTINCT projection, generation, key \
        FROM read_model.parked",
    )
    .await;
    while ask::<i64>(url, "SELECT count(*) FROM read_model.stale").await > 0 {
        runner.run_once().await.unwrap();
    }
    assert_eq!(rows(url).await, all, "seed {}", run.seed);
    let drained = accounts(url, "ledger").await;
    assert_eq!(drained.iter().map(|account| account.applied).sum::<i64>(), count, "{drained:?}");
}

async fn rows(url: &str) -> BTreeMap<String, Row> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let rows: Vec<Row> =
        sqlx::query_as("SELECT * FROM read_model.ledger").fetch_all(&mut connection).await.unwrap();
    rows.into_iter().map(|row| (row.key.clone(), row)).collect()
}

#[tokio::test]
async fn p7_a_rebuild_splits_and_joins_and_verify_compares_each_part_where_it_stands() {
    let run = test_run();
    let (database, mut life) = (whole_database().await, Life::new(run.seed));
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    append(store.as_ref(), life.goes_on(400)).await;
    project(url).await;
    let said = succeeds(url, &["rebuild", "users", "--partitions", "4"]).await;
    assert!(said.contains("no difference"), "{said}");
    let same = "SELECT NOT EXISTS (TABLE users_g1.users EXCEPT TABLE users_g2.users)";
    assert!(ask::<bool>(url, same).await);
    project(url).await;

    let behind = hold(url, "users_g2/2").await;
    append(store.as_ref(), life.goes_on(200)).await;
    project(url).await;
    let positions = "SELECT array_agg(position ORDER BY partition) FROM read_model.checkpoints \
        WHERE projection = 'users' AND generation = 2";
    assert_eq!(ask::<Vec<i64>>(url, positions).await, [600, 600, 400, 600]);
    for arguments in [
        &["verify", "users"][..],
        &["verify", "users", "--sample", "50%"],
        &["verify", "users", "--memory", "0"],
    ] {
        let said = succeeds(url, arguments).await;
        assert!(said.contains("at position 600") && said.contains("no difference"), "{said}");
    }
    let accounts = accounts(url, "users").await;
    assert!(accounts.iter().all(|account| account.adds_up), "{accounts:?}");
    let status: serde_json::Value =
        serde_json::from_str(&succeeds(url, &["status", "--json"]).await).unwrap();
    let lags: Vec<_> = status["projections"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|partition| partition["projection"] == "users")
        .collect();
    assert_eq!(
        (lags.len(), &lags[2]["partition"], &lags[2]["lag_events"]),
        (4, &2.into(), &200.into()),
        "{status}"
    );
    let said = succeeds(url, &["status"]).await;
    assert!(said.contains("users g2/2") && said.contains("daily_sales g1 "), "{said}");

    succeeds(url, &["rebuild", "users", "--partitions", "1", "--no-compare"]).await;
    let_go(behind).await;
    // Nobody projects it: it is brought to one position first, and then to the head.
    append(store.as_ref(), life.goes_on(100)).await;
    succeeds(url, &["switch-back", "users"]).await;
    assert_eq!(ask::<Vec<i64>>(url, positions).await, [700; 4]);
    project(url).await;
    assert_eq!(contents(url).await, replayed(store).await, "seed {}", run.seed);
    assert!(succeeds(url, &["verify", "users"]).await.contains("no difference"));
    let said = succeeds(url, &["rebuild", "users"]).await;
    assert!(said.contains("no difference"), "{said}");
    let partitions =
        "SELECT partitions FROM read_model.generations WHERE projection = 'users' AND live";
    assert_eq!(ask::<i32>(url, partitions).await, 4, "unchanged by default");
}

/// Everything that is free, as far as the log goes.
async fn project(url: &str) {
    let mut runner = runner(postgres_store(url).await, url);
    runner.run_once().await.unwrap();
    runner.give_up().await;
}

#[tokio::test]
async fn a_split_that_would_mean_something_else_is_refused_and_says_why() {
    let database = whole_database().await;
    let url = database.url();
    let said =
        ends_with(cli_kit::USAGE, url, &["rebuild", "daily_sales", "--partitions", "2"]).await;
    assert!(
        said.contains("daily_sales cannot be split into 2 partitions: its rows are sums"),
        "{said}"
    );
    for partitions in ["0", "65"] {
        let said =
            ends_with(cli_kit::USAGE, url, &["rebuild", "users", "--partitions", partitions]).await;
        assert!(
            said.contains(&format!(
                "users cannot be split into {partitions} partitions: 1 to 64 are possible"
            )),
            "{said}"
        );
    }
    let said = ends_with(
        cli_kit::USAGE,
        url,
        &["start-over", "daily_sales", "--yes", "--partitions", "3"],
    )
    .await;
    assert!(said.contains("cannot be split"), "{said}");
    let made = ask::<i64>(url, "SELECT count(*) FROM read_model.generations").await;
    assert_eq!(made, i64::try_from(projections::all().len()).unwrap(), "a generation was started");
}

/// The lines of `status --watch --json` up to the first of which this is true.
async fn watched(url: &str, is_it: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let mut command = command(url);
    command.args(["status", "--watch", "--json", "--interval", "0.1"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reading = async {
        loop {
            let status: serde_json::Value =
                serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
            if is_it(&status) {
                return status;
            }
        }
    };
    local_servers::in_time("such a line of the status", reading).await
}

#[tokio::test]
async fn what_people_look_with_sees_every_partition() {
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    begin_all_split(url, || 3).await;
    append(store.as_ref(), Life::new(605).goes_on(300)).await;
    let settings = [("VERIFY_EVERY", "1"), ("VERIFY_RATE", "100000")];
    let process = Process::start_with(url, &settings);
    let all = projections::all().len() + 2 * split_projections().len();
    let status = watched(url, |status| {
        let partitions = status["projections"].as_array().unwrap();
        partitions.len() == all && partitions.iter().all(|partition| partition["position"] == 300)
    })
    .await;
    let users: Vec<_> = status["projections"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|partition| partition["projection"] == "users")
        .collect();
    let numbers: Vec<_> = users
        .iter()
        .map(|partition| {
            (partition["partition"].as_i64().unwrap(), partition["partitions"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(numbers, [(0, 3), (1, 3), (2, 3)], "{status}");
    assert!(
        users
            .iter()
            .map(|partition| partition["heartbeat_seconds"].as_f64().unwrap())
            .all(|seconds| seconds < LEASE.as_secs_f64()),
        "{status}"
    );

    // A wrong row of the last partition raises the alarm, and is explained.
    let differing = "projection_differing_rows{projection=\"orders\"}";
    until("a first verification", || async { process.metric(differing).await == Some(0.0) }).await;
    let key: String = ask(
        url,
        "SELECT id::text FROM read_model.orders WHERE read_model.partition_of(id::text, \
            3) = 2 ORDER BY id LIMIT 1",
    )
    .await;
    let wrong =
        format!("UPDATE orders_g2.orders SET total_minor = total_minor + 1 WHERE id = '{key}'");
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query(AssertSqlSafe(wrong)).execute(&mut connection).await.unwrap();
    until("the alarm", || async { process.metric(differing).await == Some(1.0) }).await;
    let said = ends_with(cli_kit::NOT_IN_ORDER, url, &["verify", "orders"]).await;
    assert!(said.contains("1 different") && said.contains(&key), "{said}");
    let said = succeeds(url, &["explain", "orders", &key]).await;
    assert!(said.contains("order.placed"), "{said}");
    let said = succeeds(url, &["account", "orders"]).await;
    assert!(said.contains("orders g2/2") && !said.contains("NO"), "{said}");
}
