//! Which generation queries see: never an earlier position, there and back.

use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::rebuild::{fails, projected, succeeds};
use crate::support::life::Life;
use crate::support::process::{Process, command};
use crate::support::{append, ask, contents, postgres_store, replayed, tell, until, until_all_at};

const LIVE: &str =
    "SELECT generation FROM read_model.generations WHERE projection = 'orders' AND live";

/// As the query API begins: the view first, so that a switch comes wholly before the snapshot or
/// wholly after it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE \
    read_model.orders IN ACCESS SHARE MODE";

/// What a query sees in one snapshot: the live generation's position, and the newest row of the
/// view.
async fn seen(connection: &mut PgConnection) -> (i64, i64) {
    let mut snapshot = connection.begin_with(BEGIN).await.unwrap();
    let position =
        "SELECT c.position FROM read_model.checkpoints AS c JOIN read_model.generations AS g \
            USING (projection, generation)
                    WHERE g.live AND projection = 'orders'";
    let position: i64 = sqlx::query_scalar(position).fetch_one(&mut *snapshot).await.unwrap();
    let newest: i64 =
        sqlx::query_scalar("SELECT COALESCE(max(position), 0) FROM read_model.orders")
            .fetch_one(&mut *snapshot)
            .await
            .unwrap();
    snapshot.rollback().await.unwrap();
    (position, newest)
}

#[tokio::test]
async fn i9_queries_never_see_an_earlier_position_over_switches_there_and_back() {
    let database = projected(301, 200).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let process = Process::start(url);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writing = tokio::spawn({
        let stopped = stopped.clone();
        async move {
            let mut life = Life::new(302);
            while !*stopped.borrow() {
                append(store.as_ref(), life.goes_on(5)).await;
            }
        }
    });
    let asking = tokio::spawn({
        let url = url.to_owned();
        async move {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            let (mut last, mut asked) = (0, 0);
            while !*stopped.borrow() {
                let (position, newest) = seen(&mut connection).await;
                assert!(
                    position >= last && newest <= position,
                    "{last} was seen, then {position} with a row of {newest}"
                );
                (last, asked) = (position, asked + 1);
            }
            asked
        }
    });
    succeeds(url, &["rebuild", "orders"]).await;
    succeeds(url, &["switch-back", "orders"]).await;
    assert_eq!(ask::<i32>(url, LIVE).await, 1);
    succeeds(url, &["switch-back", "orders"]).await;
    assert_eq!(ask::<i32>(url, LIVE).await, 2, "it is back where it came from");
    stop.send(true).unwrap();
    writing.await.unwrap();
    assert!(asking.await.unwrap() > 10);
    let head = ask::<i64>(url, "SELECT max(position) FROM event_store.events").await;
    until_all_at(url, head).await;
    drop(process);
    assert_eq!(contents(url).await, replayed(postgres_store(url).await).await);
}

#[tokio::test]
async fn a_rebuild_without_a_switch_is_switched_to_later_by_the_running_projectors_hands() {
    let database = projected(303, 200).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let process = Process::start(url);
    let said = succeeds(url, &["rebuild", "orders", "--no-switch"]).await;
    assert!(said.contains("--resume"), "{said}");
    assert_eq!(ask::<i32>(url, LIVE).await, 1);
    append(store.as_ref(), Life::new(304).goes_on(60)).await;
    until_all_at(url, 260).await;
    succeeds(url, &["rebuild", "orders", "--resume"]).await;
    assert_eq!(ask::<i32>(url, LIVE).await, 2);
    append(store.as_ref(), Life::new(305).goes_on(20)).await;
    until_all_at(url, 280).await;
    drop(process);
    assert_eq!(contents(url).await, replayed(store).await);
}

#[tokio::test]
async fn a_switch_back_catches_the_old_generation_up_first() {
    let database = projected(306, 200).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    assert!(fails(url, &["switch-back", "orders"]).await.contains("no earlier generation"));
    append(store.as_ref(), Life::new(307).goes_on(100)).await;
    succeeds(url, &["rebuild", "orders", "--no-compare"]).await;
    let old = "SELECT position FROM read_model.checkpoints WHERE projection = 'orders' AND \
        generation = 1";
    assert_eq!(ask::<i64>(url, old).await, 200, "no process projects it");
    succeeds(url, &["switch-back", "orders"]).await;
    assert_eq!((ask::<i32>(url, LIVE).await, ask::<i64>(url, old).await), (1, 300));
    let orders = contents(url).await["orders"].clone();
    assert_eq!(orders, replayed(store).await["orders"]);
}

#[tokio::test]
async fn a_switch_back_that_would_go_back_in_time_says_why_it_cannot() {
    let database = projected(308, 100).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    append(store.as_ref(), Life::new(309).goes_on(100)).await;
    succeeds(url, &["rebuild", "orders", "--no-compare"]).await;
    tell(
        url,
        "UPDATE read_model.generations SET fold_version = 0 WHERE projection = 'orders' AND \
        generation = 1",
    )
    .await;
    let said = fails(url, &["switch-back", "orders", "--patience", "2"]).await;
    assert!(said.contains("is at 100, behind 200") && said.contains("fold version 0"), "{said}");
    assert_eq!(ask::<i32>(url, LIVE).await, 2);
}

/// A rebuild of the orders, whose switch waits for a query that has not ended.
async fn switching_behind_a_query(url: &str) -> (PgConnection, JoinHandle<String>) {
    let mut query = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM read_model.orders")
        .execute(&mut query)
        .await
        .unwrap();
    let url = url.to_owned();
    (query, tokio::spawn(async move { succeeds(&url, &["rebuild", "orders"]).await }))
}

#[tokio::test]
async fn a_switch_waits_for_a_long_query_without_holding_up_the_others() {
    let database = projected(310, 100).await;
    let url = database.url().to_owned();
    let (query, switching) = switching_behind_a_query(&url).await;
    until("the switch to wait", || async {
        ask::<bool>(
            &url,
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) \
            WHERE NOT granted AND datname = current_database())",
        )
        .await
    })
    .await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(2), seen(&mut other)).await;
    assert_eq!(asked.expect("no query waits behind the switch").0, 100);
    assert_eq!(ask::<i32>(&url, LIVE).await, 1);
    query.close().await.unwrap();
    switching.await.unwrap();
    assert_eq!(ask::<i32>(&url, LIVE).await, 2);
}

#[tokio::test]
async fn a_generation_is_dropped_unless_queries_see_it() {
    let database = projected(311, 100).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let process = Process::start(url);
    succeeds(url, &["rebuild", "orders"]).await;
    assert!(fails(url, &["drop", "orders", "2", "--yes"]).await.contains("queries see it"));
    assert!(fails(url, &["drop", "orders", "7", "--yes"]).await.contains("it does not exist"));
    succeeds(url, &["drop", "orders", "1", "--yes"]).await;
    assert_eq!(
        ask::<i64>(url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'orders_g1'").await,
        0
    );
    succeeds(url, &["rebuild", "orders", "--no-switch"]).await;
    succeeds(url, &["drop", "orders", "3", "--yes"]).await;
    let said = succeeds(url, &["rebuild", "orders", "--no-switch"]).await;
    assert!(
        said.contains("generation 4 of orders"),
        "a number is never used again, nor are its lease's terms: {said}"
    );
    succeeds(url, &["drop", "orders", "4", "--yes"]).await;
    append(store.as_ref(), Life::new(312).goes_on(30)).await;
    until_all_at(url, 130).await;
    drop(process);
    assert!(fails(url, &["switch-back", "orders"]).await.contains("no earlier generation"));
    assert_eq!(contents(url).await, replayed(store).await);
}

/// Since when the transaction runs of a switch that waits to exchange the view.
const SWITCHING: &str = "SELECT max(xact_start) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE \
    '%show_generation%'";

#[tokio::test]
async fn i8_the_live_checkpoint_stands_still_while_a_switch_is_about_to_exchange_the_view() {
    let database = projected(313, 100).await;
    let url = database.url().to_owned();
    let (query, switching) = switching_behind_a_query(&url).await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    let mut looker = PgConnection::connect(&url).await.unwrap();
    let mut since = async || {
        sqlx::query_scalar::<_, Option<DateTime<Utc>>>(SWITCHING)
            .fetch_one(&mut looker)
            .await
            .unwrap()
    };
    let deadline = Instant::now() + Duration::from_secs(45);
    // A look counts when the very same transaction waited before and after it.
    let moves = loop {
        assert!(Instant::now() < deadline, "no switch was seen to wait");
        let before = since().await;
        let mut attempt = other.begin().await.unwrap();
        let hold = "SELECT FROM read_model.checkpoints WHERE projection = 'orders' AND generation \
            = 1 FOR UPDATE NOWAIT";
        let moves = sqlx::query(hold).execute(&mut *attempt).await.is_ok();
        attempt.rollback().await.unwrap();
        if before.is_some() && before == since().await {
            break moves;
        }
    };
    query.close().await.unwrap();
    switching.await.unwrap();
    assert!(!moves, "a projector could move what queries see behind the switch's back");
}

#[tokio::test]
async fn dropping_a_generation_asks() {
    let database = projected(314, 50).await;
    let url = database.url();
    succeeds(url, &["rebuild", "orders"]).await;
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname = 'orders_g1'";
    for (answer, gone) in [("", false), ("products\n", false), ("orders\n", true)] {
        let mut child = command(url)
            .args(["drop", "orders", "1"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).await.unwrap();
        let output =
            local_servers::in_time("the command's end", child.wait_with_output()).await.unwrap();
        assert_eq!(output.status.code(), Some(if gone { 0 } else { 3 }), "{answer:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("the way back"), "{answer:?}");
        assert_eq!(ask::<i64>(url, left).await, i64::from(!gone), "{answer:?}");
    }
}
