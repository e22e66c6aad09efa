//! Poison events: they hurt their own rows alone, and once they are fixed or skipped nothing is
//! left of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::Personal;
use domain::order::event::{OrderConfirmed, OrderEvent};
use domain::user::event::{UserEvent, UserRenamed};
use domain::value::PersonName;
use event_store::{Append, EventStore, ExpectedVersion, MemoryStore, StreamAppend};
use local_servers::{TestDatabase, test_run};
use projection::ops::account::Account;
use projection::{AnyProjection, MAX_PARKED, of};
use projection::{Runner, Standing, generation};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::operations::NOT_RECORDED;
use crate::rebuild::{fails, succeeds};
use crate::support::admin::{Admin, OPERATIONS};
use crate::support::ledger::{FIXED, Ledger, POISON, Row, Tally, adjusted, bucket, summed, traced};
use crate::support::life::{at, money, registered};
use crate::support::process::Process;
use crate::support::{
    Happening, append, ask, happening, log, postgres_store, read_model, tell, until, until_all_at,
    watch, whole_database,
};

type Rows = BTreeMap<String, Row>;

/// Only what was to be known about a product's events: which, by how much, and at which position.
type Adjustments = Vec<(Uuid, i64, i64)>;

async fn with_table(projection: &Arc<dyn AnyProjection>) -> TestDatabase {
    let database = read_model().await;
    generation::migrate(&database.url().parse().unwrap(), std::slice::from_ref(projection))
        .await
        .unwrap();
    database
}

fn runner_of(projection: &Arc<dyn AnyProjection>, store: &Arc<MemoryStore>, url: &str) -> Runner {
    let log = log(Arc::clone(store) as Arc<dyn EventStore>);
    Runner::new(log, url.parse().unwrap(), vec![Arc::clone(projection)], None, watch())
}

/// Random adjustments, of which one in a hundred is refused.
fn adjustments(random: &mut StdRng, products: u128, count: usize, before: usize) -> Adjustments {
    let mut one = |position: usize| {
        let delta =
            if random.random_ratio(1, 100) { POISON } else { random.random_range(100..1_000) };
        (Uuid::from_u128(random.random_range(0..products)), delta, i64::try_from(position).unwrap())
    };
    (before + 1..=before + count).map(&mut one).collect()
}

fn happenings(adjustments: &Adjustments) -> Vec<Happening> {
    adjustments.iter().map(|(product, delta, _)| adjusted(*product, *delta)).collect()
}

async fn rows(url: &str, table: &str) -> Rows {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(format!("SELECT * FROM {table}_g1.{table}")))
        .fetch_all(&mut connection)
        .await
        .unwrap();
    rows.into_iter().map(|row| (row.key.clone(), row)).collect()
}

/// What is marked: key, and whether later events count nevertheless.
async fn marks(url: &str) -> BTreeMap<String, bool> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let marks: Vec<(String, bool)> = sqlx::query_as("SELECT key, incomplete FROM read_model.stale")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    marks.into_iter().collect()
}

async fn account(url: &str, projection: &str) -> Account {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let mut accounts = Account::read(&mut connection, Some(projection)).await.unwrap();
    assert_eq!(accounts.len(), 1);
    accounts.remove(0)
}

async fn ask_for_retries(url: &str) {
    tell(
        url,
        "INSERT INTO read_model.retry_requests (projection, generation, key)
         SELECT DISTINCT projection, generation, key FROM read_model.parked ON CONFLICT DO NOTHING",
    )
    .await;
}

async fn runs(runner: &mut Runner, head: i64) {
    let standings = runner.run_once().await.unwrap();
    assert!(
        matches!(&standings[0].1, Standing::At(mark) if mark.position.0 == head),
        "{standings:?}"
    );
}

#[tokio::test]
async fn p7_poison_events_hurt_only_their_own_rows_and_a_fix_leaves_no_trace() {
    let run = test_run();
    let mut random = StdRng::seed_from_u64(run.seed);
    let projection = of::<Ledger<0>>();
    let database = with_table(&projection).await;
    let (url, store) = (database.url(), Arc::new(MemoryStore::new()));
    let (mut all, mut unhurt) = (Rows::new(), Rows::new());
    let mut hurt = BTreeSet::new();
    let mut happened = 0;
    for _ in 0..run.count(6, 60) {
        let more = adjustments(&mut random, 300, 400, happened);
        happened += more.len();
        append(store.as_ref(), happenings(&more)).await;
        for (product, delta, position) in more {
            let key = product.to_string();
            all.insert(key.clone(), traced(&key, all.get(&key).cloned(), delta, position));
            if delta == POISON {
                hurt.insert(key.clone());
            }
            if !hurt.contains(&key) {
                unhurt.insert(key.clone(), all[&key].clone());
            }
        }
        // Another owner each time: what is parked outlives it.
        let mut runner = runner_of(&projection, &store, url);
        runs(&mut runner, i64::try_from(happened).unwrap()).await;
        runner.give_up().await;
        assert_eq!(
            rows(url, "ledger").await,
            unhurt,
            "a row is late, or one goes on without its poison; seed {}",
            run.seed
        );
        let stale: BTreeSet<String> = marks(url).await.into_keys().collect();
        assert_eq!(stale, hurt, "seed {}", run.seed);
    }
    ask_for_retries(url).await;
    let head = i64::try_from(happened).unwrap();
    let mut runner = runner_of(&projection, &store, url);
    runs(&mut runner, head).await;
    assert_eq!(rows(url, "ledger").await, unhurt, "an event that is not fixed is refused again");
    let before = account(url, "ledger").await;
    assert!(
        before.adds_up && before.parked > 0 && before.applied + before.parked == head,
        "{before:?}"
    );

    FIXED[0].store(true, Ordering::SeqCst);
    ask_for_retries(url).await;
    while !marks(url).await.is_empty() {
        runs(&mut runner, head).await;
    }
    assert_eq!(rows(url, "ledger").await, all, "seed {}", run.seed);
    let after = account(url, "ledger").await;
    assert_eq!((after.applied, after.parked, after.adds_up), (head, 0, true));
}

#[tokio::test]
async fn p7_a_fold_that_commutes_holds_back_nothing_and_takes_the_parked_event_in_late() {
    let run = test_run();
    let mut random = StdRng::seed_from_u64(run.seed);
    let projection = of::<Tally>();
    let database = with_table(&projection).await;
    let (url, store) = (database.url(), Arc::new(MemoryStore::new()));
    let happened =
        adjustments(&mut random, 300, usize::try_from(run.count(1_500, 20_000)).unwrap(), 0);
    append(store.as_ref(), happenings(&happened)).await;
    let (mut all, mut incomplete) = (Rows::new(), Rows::new());
    for (product, delta, position) in &happened {
        let key = bucket(*product);
        all.insert(key.clone(), summed(&key, all.get(&key).cloned(), *delta, *position));
        if *delta != POISON {
            incomplete.insert(
                key.clone(),
                summed(&key, incomplete.get(&key).cloned(), *delta, *position),
            );
        }
    }
    let poisoned: BTreeSet<String> = happened
        .iter()
        .filter(|(_, delta, _)| *delta == POISON)
        .map(|(product, ..)| bucket(*product))
        .collect();
    let head = i64::try_from(happened.len()).unwrap();
    let mut runner = runner_of(&projection, &store, url);
    runs(&mut runner, head).await;
    assert_eq!(rows(url, "tally").await, incomplete, "seed {}", run.seed);
    assert_eq!(marks(url).await, poisoned.into_iter().map(|key| (key, true)).collect());
    FIXED[2].store(true, Ordering::SeqCst);
    ask_for_retries(url).await;
    while !marks(url).await.is_empty() {
        runs(&mut runner, head).await;
    }
    assert_eq!(rows(url, "tally").await, all, "seed {}", run.seed);
    assert_eq!(ask::<i64>(url, "SELECT count(*) FROM read_model.parked").await, 0);
}

#[tokio::test]
async fn a_full_parked_set_stops_the_part_which_goes_on_by_itself_once_there_is_room() {
    let projection = of::<Ledger<1>>();
    let database = with_table(&projection).await;
    let (url, store) = (database.url(), Arc::new(MemoryStore::new()));
    let product = Uuid::from_u128(1);
    let deltas = std::iter::once(POISON)
        .chain((0..i64::try_from(MAX_PARKED).unwrap()).map(|number| 100 + number % 7));
    let happened: Adjustments =
        deltas.zip(1..).map(|(delta, position)| (product, delta, position)).collect();
    append(store.as_ref(), happenings(&happened)).await;
    let mut runner = runner_of(&projection, &store, url);
    let standings = runner.run_once().await.unwrap();
    let Standing::Stopped(reason) = &standings[0].1 else { panic!("{standings:?}") };
    assert!(reason.contains("event 10001") && reason.contains("which is the limit"), "{reason}");
    let kept = account(url, "ledger").await;
    assert_eq!((kept.position, kept.parked, kept.adds_up), (10_000, 10_000, true), "{kept:?}");
    FIXED[1].store(true, Ordering::SeqCst);
    ask_for_retries(url).await;
    runs(&mut runner, 10_001).await;
    while !marks(url).await.is_empty() {
        runs(&mut runner, 10_001).await;
    }
    let row = happened.iter().fold(None, |row, (product, delta, at)| {
        Some(traced(&product.to_string(), row, *delta, *at))
    });
    assert_eq!(rows(url, "ledger").await.remove(&product.to_string()), row);
}

/// A confirmed order of a user who is not there.
pub(crate) fn of_a_stranger(user_id: Uuid) -> Happening {
    let order_id = Uuid::now_v7();
    let (total, ordered_at) = (money(5, "USD"), at("1997-01-01T00:00:00Z"));
    happening(
        "order",
        order_id,
        &OrderEvent::Confirmed(OrderConfirmed {
            order_id,
            user_id,
            total,
            units: 1,
            ordered_at,
            to_fulfil: true,
        }),
    )
}

/// Who comes after all, and is renamed many times.
pub(crate) async fn comes_after_all(store: &dyn EventStore, user_id: Uuid, renamed: usize) {
    let (stream, first) = happening("user", user_id, &registered(user_id));
    let mut events = vec![first];
    for number in 0..renamed {
        let name = Personal::new(user_id, PersonName::parse(&format!("Ada {number}")).unwrap());
        events
            .push(happening("user", user_id, &UserEvent::Renamed(UserRenamed { user_id, name })).1);
    }
    for events in events.chunks(100) {
        let streams = vec![StreamAppend {
            stream: stream.clone(),
            expected: ExpectedVersion::Any,
            events: events.to_vec(),
        }];
        store.append(Append { streams, ..Append::default() }).await.unwrap();
    }
}

#[tokio::test]
async fn p6_killed_with_9_while_draining_every_held_back_event_counts_once() {
    let run = test_run();
    let mut random = StdRng::seed_from_u64(run.seed);
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let rounds = run.count(1, 60);
    for number in 0..rounds {
        let user = Uuid::from_u128(1 + u128::from(number));
        append(store.as_ref(), vec![of_a_stranger(user)]).await;
        let poison = store.head().await.unwrap().mark.position.0.to_string();
        comes_after_all(store.as_ref(), user, 2_500).await;
        let mut process = Process::start(url);
        until_all_at(url, store.head().await.unwrap().mark.position.0).await;
        succeeds(
            url,
            &["parked", "skip", "users", &poison, "--by", "Ada", "--reason", "no such user then"],
        )
        .await;
        // The moment of the kill is what is varied here; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..1_200))).await;
        process.kill_9().await;
    }
    let process = Process::start(url);
    until("all to be drained", || async {
        ask::<i64>(url, "SELECT count(*) FROM read_model.stale WHERE projection = 'users'").await
            == 0
    })
    .await;
    let said = succeeds(url, &["verify", "users"]).await;
    assert!(said.contains("no difference") && !said.contains("stale"), "seed {}: {said}", run.seed);
    assert_eq!(
        ask::<i64>(url, "SELECT min(version) FROM read_model.users").await,
        2_501,
        "seed {}",
        run.seed
    );
    let users = account(url, "users").await;
    assert_eq!(
        (users.skipped, users.parked, users.adds_up),
        (i64::try_from(rounds).unwrap(), 0, true),
        "{users:?}"
    );
    drop(process);
}

#[tokio::test]
async fn p7_a_rebuild_parks_what_the_live_one_parks_and_a_skip_holds_for_every_generation() {
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let (absent, late, fine) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    comes_after_all(store.as_ref(), fine, 3).await;
    append(store.as_ref(), vec![of_a_stranger(absent), of_a_stranger(late)]).await;
    comes_after_all(store.as_ref(), late, 5).await;
    let head = store.head().await.unwrap().mark.position.0;
    let process = Process::start(url);
    until_all_at(url, head).await;
    let said = succeeds(url, &["verify", "users"]).await;
    assert!(said.contains("no difference"), "{said}");
    succeeds(url, &["rebuild", "users"]).await;
    let parked =
        "SELECT string_agg(format('%s %s %s', key, position, cause), ';' ORDER BY key, position)
                  FROM read_model.parked WHERE projection = 'users' AND generation = ";
    let of_generation = |generation: i32| {
        let statement = format!("{parked}{generation}");
        async move {
            let mut connection = PgConnection::connect(url).await.unwrap();
            sqlx::query_scalar::<_, String>(AssertSqlSafe(statement))
                .fetch_one(&mut connection)
                .await
                .unwrap()
        }
    };
    assert_eq!(of_generation(1).await, of_generation(2).await);

    a_person_sees_what_is_parked(url, late).await;
    let position = (5 + 1).to_string();
    succeeds(
        url,
        &["parked", "skip", "users", &position, "--by", "Ada", "--reason", "was never there"],
    )
    .await;
    until("both generations to follow", || async {
        ask::<i64>(
            url,
            "SELECT count(*) FROM read_model.stale WHERE key = \
            '00000000-0000-0000-0000-000000000002'",
        )
        .await
            == 0
    })
    .await;
    for generation in ["users_g1", "users_g2"] {
        assert_eq!(rows_of_users(url, generation).await, 2, "{generation}");
    }
    succeeds(url, &["rebuild", "users"]).await;
    let said = succeeds(url, &["verify", "users"]).await;
    assert!(said.contains("2 rows and ") && said.contains("no difference"), "{said}");
    drop(process);
}

/// As if a process had been killed after the rows were brought up to date and before the record.
const RETRY_NOT_RECORDED: &str = "UPDATE read_model.operations
    SET state = 'running', finished_at = NULL, result = NULL, worker = gen_random_uuid()
    WHERE kind = 'parked_retry'";

#[tokio::test]
async fn parked_events_are_retried_and_skipped_as_operations_by_who_asked_for_them() {
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    append(store.as_ref(), vec![of_a_stranger(Uuid::from_u128(1))]).await;
    let process = Process::start(url);
    until_all_at(url, 1).await;
    let admin = Admin::of(&process).await;
    let path = admin.ask("parked_retry", "users", json!({})).await;
    let retried = admin.ended(&path).await;
    assert_eq!(retried["result"], json!({"rows": 1, "waiting": 0, "still_stale": 1}), "{retried}");
    let path = admin.ask("parked_skip", "users", json!({"position": 2})).await;
    let refused = admin.ended(&path).await;
    assert_eq!(refused["state"], "failed", "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("no row refuses"), "{refused}");
    let path = admin.ask("parked_skip", "users", json!({"position": 1})).await;
    let skipped = admin.ended(&path).await;
    assert_eq!((&skipped["state"], &skipped["result"]["rows"]), (&"succeeded".into(), &1.into()));
    let who = "SELECT skipped_by || ': ' || reason FROM read_model.skips";
    assert_eq!(ask::<String>(url, who).await, "clerk-7: a new index");
    until("the row to be whole", || async {
        let parked = "SELECT count(*) FROM read_model.parked WHERE projection = 'users'";
        ask::<i64>(url, parked).await == 0
    })
    .await;
    tell(url, NOT_RECORDED).await;
    let again = admin.ended(&path).await;
    assert_eq!((&again["state"], &again["attempts"]), (&"succeeded".into(), &2.into()), "{again}");
    assert_eq!(again["result"], skipped["result"], "{again}");
    tell(url, RETRY_NOT_RECORDED).await;
    let (_, listed) = admin.get(OPERATIONS).await;
    let listed = listed["data"].as_array().unwrap();
    let retry = listed.iter().find(|found| found["kind"] == "parked_retry").unwrap();
    let again = admin.ended(&format!("{OPERATIONS}/{}", retry["id"].as_str().unwrap())).await;
    assert_eq!(again["result"], json!({"rows": 0, "waiting": 0, "still_stale": 0}), "{again}");
}

/// Of the rows of the test: two in each of two generations.
async fn a_person_sees_what_is_parked(url: &str, late: Uuid) {
    let list = succeeds(url, &["parked", "list", "users"]).await;
    assert!(
        list.contains("4 events refused and 12 held back behind them, of 4 rows; 2 causes"),
        "{list}"
    );
    assert!(
        list.contains("users g1  order.confirmed  2 events of 2 rows")
            && list.contains("the row that it changes does not exist"),
        "{list}"
    );
    let shown = succeeds(
        url,
        &["parked", "show", "users", "--key", &late.to_string(), "--json", "--page-size", "3"],
    )
    .await;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["total"], shown["page"].as_array().unwrap().len()),
        (&14.into(), 3),
        "{shown}"
    );
    assert_eq!(succeeds(url, &["parked", "export", "users"]).await.lines().count(), 16);
    let retried = succeeds(url, &["parked", "retry", "users"]).await;
    assert!(retried.contains("of 4 rows 4 still lack events"), "{retried}");
    let refused =
        fails(url, &["parked", "skip", "users", "1", "--by", "Ada", "--reason", "x"]).await;
    assert!(refused.contains("no row refuses the event at position 1"), "{refused}");
}

async fn rows_of_users(url: &str, schema: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {schema}.users")))
        .fetch_one(&mut connection)
        .await
        .unwrap()
}
