//! How processes share the partitions: evenly, and within seconds when one comes, goes, hangs or is
//! cut off.

use std::sync::Arc;
use std::time::{Duration, Instant};

use event_store::EventStore;
use local_servers::TestDatabase;
use nix::sys::signal::Signal;
use projection::runner::lease::LEASE;
use projector::projections;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::partitions::begin_split;
use crate::rebuild::succeeds;
use crate::support::life::Life;
use crate::support::process::Process;
use crate::support::silence::Silence;
use crate::support::{
    append, ask, contents, postgres_store, replayed, until, until_all_at, whole_database,
};

/// How many partitions each live process holds.
const HOLDERS: &str = "SELECT array_agg(held ORDER BY held) FROM (
    SELECT count(l.name) AS held FROM read_model.projectors AS p
    JOIN pg_stat_activity AS a ON a.pid = p.backend_pid AND a.application_name = 'projector ' || \
    p.owner
    LEFT JOIN read_model.leases AS l ON l.owner = p.owner AND l.expires_at > clock_timestamp()
    WHERE p.expires_at > clock_timestamp() GROUP BY p.owner) AS holders";

/// A shop whose users and orders are split into four, and what has happened there.
async fn split_in_four(life: &mut Life) -> TestDatabase {
    let database = whole_database().await;
    for projection in projections::all()
        .iter()
        .filter(|projection| ["users", "orders"].contains(&projection.name()))
    {
        begin_split(database.url(), projection.as_ref(), 4).await;
    }
    append(postgres_store(database.url()).await.as_ref(), life.goes_on(200)).await;
    database
}

/// The number of all partitions: one of each projection, but four of the two of `split_in_four`.
fn partitions() -> usize {
    projections::all().len() + 2 * 3
}

/// Waits until so many live processes hold all partitions, as evenly as can be. Returns how long
/// that took.
async fn until_held(url: &str, processes: usize) -> Duration {
    let began = Instant::now();
    let (least, more) = (partitions() / processes, partitions() % processes);
    let even = (0..processes).map(|nth| least + usize::from(nth >= processes - more));
    let even: Vec<i64> = even.map(|held| i64::try_from(held).unwrap()).collect();
    until(&format!("partitions to be held as {even:?}"), || async {
        ask::<Option<Vec<i64>>>(url, HOLDERS).await.is_some_and(|held| held == even)
    })
    .await;
    began.elapsed()
}

#[tokio::test]
async fn p6_parts_move_within_seconds_when_processes_come_and_go() {
    let mut life = Life::new(601);
    let database = split_in_four(&mut life).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let _first = Process::start(url);
    until_held(url, 1).await;
    let mut second = Process::start(url);
    let came = until_held(url, 2).await;
    let shares = "SELECT array_agg(held ORDER BY held) FROM (
        SELECT count(*) AS held FROM read_model.leases WHERE name LIKE 'users%' GROUP BY owner) \
        AS holders";
    until("each generation to be shared evenly", || async {
        ask::<Vec<i64>>(url, shares).await == [2, 2]
    })
    .await;
    append(store.as_ref(), life.goes_on(100)).await;
    let mut third = Process::start(url);
    let came_too = until_held(url, 3).await;
    append(store.as_ref(), life.goes_on(100)).await;
    third.kill_9().await;
    let went = until_held(url, 2).await;
    second.signal(Signal::SIGTERM);
    assert_eq!(second.ended().await.code(), Some(0));
    let went_too = until_held(url, 1).await;
    append(store.as_ref(), life.goes_on(100)).await;
    until_all_at(url, 500).await;
    assert_eq!(contents(url).await, replayed(store).await);
    // A lease of a process that hangs is waited for; of these none is.
    for took in [came, came_too, went, went_too] {
        assert!(took < LEASE, "{came:?} {came_too:?} {went:?} {went_too:?}");
    }
}

/// The owner of the only process that there is.
const OWNER: &str = "SELECT owner FROM read_model.projectors";

#[tokio::test]
async fn e1_a_part_owner_frozen_in_mid_transaction_is_replaced_and_changes_nothing_later() {
    let mut life = Life::new(602);
    let database = split_in_four(&mut life).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let first = Process::start(url);
    until_held(url, 1).await;
    let owner: Uuid = ask(url, OWNER).await;
    let second = Process::start(url);
    until_held(url, 2).await;
    until_all_at(url, 200).await;
    let of_first = |what: &str| {
        format!(
            "SELECT {what} FROM read_model.leases WHERE owner = '{owner}' AND name LIKE 'users%'"
        )
    };
    let partition: String = one(url, of_first("min(name)")).await;
    let backends = |state: &str| {
        format!(
            "SELECT count(*) FROM pg_stat_activity AS a JOIN read_model.leases AS l ON \
                l.backend_pid = a.pid
             WHERE l.name = '{partition}' AND a.application_name = 'projector {owner}' AND {state}"
        )
    };

    let mut other = PgConnection::connect(url).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    sqlx::query("SELECT FROM read_model.users FOR UPDATE").execute(&mut *lock).await.unwrap();
    append(store.as_ref(), life.goes_on(400)).await;
    until("the partition to be in mid-transaction", || async {
        one::<i64>(url, backends("wait_event_type = 'Lock'")).await == 1
    })
    .await;
    first.signal(Signal::SIGSTOP);
    let of_partition =
        |what: &str| format!("SELECT {what} FROM read_model.leases WHERE name = '{partition}'");
    let expires: f64 = one(url, of_partition("extract(epoch FROM expires_at)::float8")).await;
    let term: i64 = one(url, of_partition("term")).await;
    lock.rollback().await.unwrap();
    until("its backend to hold its locks for a frozen client", || async {
        one::<i64>(url, backends("state = 'idle in transaction'")).await == 1
    })
    .await;

    until("the other process to take over", || async {
        one::<i64>(url, of_partition("term")).await > term
    })
    .await;
    let taken = one::<f64>(url, of_partition("extract(epoch FROM expires_at)::float8")).await
        - LEASE.as_secs_f64();
    assert!(taken - expires <= 1.0, "taken {} s after it became free", taken - expires);
    until_held(url, 1).await;
    until_all_at(url, 600).await;
    let after = contents(url).await;
    assert_eq!(after, replayed(Arc::clone(&store) as Arc<dyn EventStore>).await);

    first.signal(Signal::SIGCONT);
    until_held(url, 2).await;
    assert_eq!(contents(url).await, after, "it changed nothing");
    assert!(succeeds(url, &["verify", "users"]).await.contains("no difference"));
    append(store.as_ref(), life.goes_on(100)).await;
    until_all_at(url, 700).await;
    assert_eq!(contents(url).await, replayed(store).await, "it projects its share again");
    for process in [&first, &second] {
        until("each to tell figures of its own partitions alone", || async {
            let told = process.get("/metrics").await.matches("\nprojection_lag_events{").count();
            (partitions() / 2..=partitions().div_ceil(2)).contains(&told)
        })
        .await;
    }
}

/// Asks with a statement that names what was found before.
async fn one<T>(url: &str, statement: String) -> T
where
    T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
{
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn p6_parts_of_a_process_that_is_cut_off_from_the_rows_or_from_the_log_move_to_the_others() {
    let mut life = Life::new(603);
    let database = split_in_four(&mut life).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let (to_rows, to_log) = (Silence::before(url).await, Silence::before(url).await);
    let _first = Process::start(url);
    until_held(url, 1).await;
    let _second = Process::start_with(url, &[("READ_MODEL_URL", to_rows.url())]);
    until_held(url, 2).await;
    to_rows.falls();
    let from_rows = until_held(url, 1).await;
    append(store.as_ref(), life.goes_on(100)).await;
    until_all_at(url, 300).await;
    to_rows.ends();
    until_held(url, 2).await;

    let _third = Process::start_with(url, &[("EVENT_STORE_URL", to_log.url())]);
    until_held(url, 3).await;
    to_log.falls();
    append(store.as_ref(), life.goes_on(100)).await;
    let from_log = until_held(url, 2).await;
    until_all_at(url, 400).await;
    assert!(from_rows < LEASE * 2 && from_log < LEASE * 2, "{from_rows:?} {from_log:?}");
    assert_eq!(contents(url).await, replayed(store).await);
}

#[tokio::test]
async fn p6_a_process_cut_off_from_the_log_leaves_its_parts_to_others_until_it_is_back() {
    let mut life = Life::new(604);
    let database = split_in_four(&mut life).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let to_log = Silence::before(url).await;
    let _first = Process::start(url);
    let _second = Process::start_with(url, &[("EVENT_STORE_URL", to_log.url())]);
    until_held(url, 2).await;
    to_log.breaks();
    append(store.as_ref(), life.goes_on(100)).await;
    let left = until_held(url, 1).await;
    assert!(left < LEASE, "it gives its leases up at once, but these are left: {left:?}");
    until_all_at(url, 300).await;
    to_log.mends();
    until_held(url, 2).await;
    append(store.as_ref(), life.goes_on(100)).await;
    until_all_at(url, 400).await;
    assert_eq!(contents(url).await, replayed(store).await);
}

#[tokio::test]
async fn p7_rebuilt_into_other_parts_under_load_while_processes_come_and_go_every_row_is_right() {
    let mut life = Life::new(606);
    let database = split_in_four(&mut life).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let _first = Process::start(url);
    let mut second = Process::start(url);
    until_held(url, 2).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let living = tokio::spawn(async move {
        let mut head = 200;
        while !*stopped.borrow() {
            append(store.as_ref(), life.goes_on(20)).await;
            head += 20;
        }
        (store, head)
    });
    for partitions in ["3", "1", "5"] {
        let said = succeeds(url, &["rebuild", "users", "--partitions", partitions]).await;
        assert!(said.contains("no difference"), "{partitions}: {said}");
        second.kill_9().await;
        assert!(succeeds(url, &["verify", "users"]).await.contains("no difference"));
        second = Process::start(url);
    }
    stop.send(true).unwrap();
    let (store, head) = living.await.unwrap();
    until_all_at(url, head).await;
    assert_eq!(contents(url).await, replayed(store).await);
    for name in ["users", "orders"] {
        assert!(succeeds(url, &["verify", name]).await.contains("no difference"), "{name}");
    }
}
