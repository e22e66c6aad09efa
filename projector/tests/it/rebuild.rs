//! `projector rebuild`: the next generation next to the live one, no matter what happens meanwhile.

use std::process::Output;
use std::time::Duration;

use local_servers::{TestDatabase, test_run};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::life::Life;
use crate::support::process::{Process, command, finished};
use crate::support::{
    append, ask, contents, postgres_store, projections, replayed, runner, tell, until,
    until_all_at, whole_database,
};

const LIVE: &str =
    "SELECT generation FROM read_model.generations WHERE projection = 'orders' AND live";
const BUILT: &str = "SELECT COALESCE(max(position), 0) FROM read_model.checkpoints WHERE \
    projection = 'orders' AND generation = 2";

/// How many shapes the tables of the two generations have: their indexes, constraints and columns.
const SHAPE: &str = "SELECT count(DISTINCT shape) FROM (
        SELECT (SELECT string_agg(replace(indexdef, '_g2.', '_g1.'), ';' ORDER BY indexname) FROM \
        pg_indexes WHERE schemaname LIKE '%' || n)
            || (SELECT string_agg(replace(pg_get_constraintdef(oid), '_g2.', '_g1.'), ';' ORDER \
            BY conname) FROM pg_constraint
                WHERE connamespace::regnamespace::text LIKE '%' || n)
            || (SELECT string_agg(table_name || column_name || is_nullable || data_type, ';' \
            ORDER BY table_name, ordinal_position)
                FROM information_schema.columns WHERE table_schema LIKE '%' || n) AS shape
        FROM unnest(ARRAY['\\_g1', '\\_g2']) AS n) AS shapes";

/// A log with so many events, all of them projected.
pub(crate) async fn projected(seed: u64, events: usize) -> TestDatabase {
    let database = whole_database().await;
    let store = postgres_store(database.url()).await;
    append(store.as_ref(), Life::new(seed).goes_on(events)).await;
    let mut runner = runner(store, database.url());
    runner.run_once().await.unwrap();
    runner.give_up().await;
    database
}

pub(crate) async fn projector(url: &str, arguments: &[&str]) -> Output {
    finished(command(url).args(arguments)).await
}

/// Runs it, and answers with what it said.
pub(crate) async fn succeeds(url: &str, arguments: &[&str]) -> String {
    let output = projector(url, arguments).await;
    let (said, log) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{arguments:?}: {said}{log}");
    said
}

/// Runs what cannot be done, and answers with what it said.
pub(crate) async fn fails(url: &str, arguments: &[&str]) -> String {
    ends_with(cli_kit::FAILED, url, arguments).await
}

/// Runs it, expects this exit code, and answers with what it said.
pub(crate) async fn ends_with(code: u8, url: &str, arguments: &[&str]) -> String {
    let output = projector(url, arguments).await;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(code.into()), "{arguments:?}: {said}");
    said
}

#[tokio::test]
async fn p7_a_rebuilt_generation_equals_the_live_one_and_takes_its_place() {
    let database = projected(201, 600).await;
    let (url, before) = (database.url(), contents(database.url()).await);
    for name in projections() {
        let said = succeeds(url, &["rebuild", name]).await;
        assert!(said.contains("no difference") && said.contains("generation 2"), "{said}");
    }
    assert_eq!(
        ask::<i64>(
            url,
            "SELECT count(*) FROM read_model.generations WHERE live AND generation = 2"
        )
        .await,
        i64::try_from(projections().len()).unwrap()
    );
    assert_eq!(contents(url).await, before);
    assert_eq!(ask::<i64>(url, SHAPE).await, 1, "the same indexes, constraints and columns");
    let reader = database.url_in_group("read_model_reader").await;
    assert!(ask::<i64>(&reader, "SELECT count(*) FROM read_model.orders").await > 0);
}

#[tokio::test]
async fn p7_with_hardly_any_memory_the_rows_are_the_same() {
    let database = projected(202, 600).await;
    for name in projections() {
        succeeds(database.url(), &["rebuild", name, "--memory", "0", "--throttle", "4000"]).await;
    }
    let store = postgres_store(database.url()).await;
    assert_eq!(contents(database.url()).await, replayed(store).await);
}

#[tokio::test]
async fn live_projecting_goes_on_during_a_rebuild_and_both_generations_after_it() {
    let database = projected(203, 300).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    let mut life = Life::new(204);
    let process = Process::start(url);
    let rebuilding = succeeds(url, &["rebuild", "orders", "--throttle", "300"]);
    let living = async {
        for _ in 0..10 {
            append(store.as_ref(), life.goes_on(30)).await;
            let head = ask::<i64>(url, "SELECT max(position) FROM event_store.events").await;
            until("the live generations to follow", || async {
                ask::<i64>(
                    url,
                    "SELECT min(position) FROM read_model.checkpoints WHERE generation = 1",
                )
                .await
                    >= head
            })
            .await;
        }
    };
    let (said, ()) = tokio::join!(rebuilding, living);
    assert!(said.contains("no difference"), "{said}");
    append(store.as_ref(), life.goes_on(50)).await;
    until_all_at(url, 650).await;
    drop(process);
    assert_eq!(ask::<i32>(url, LIVE).await, 2);
    let same = "SELECT NOT EXISTS (TABLE orders_g1.orders EXCEPT TABLE orders_g2.orders)";
    assert!(ask::<bool>(url, same).await);
    assert_eq!(contents(url).await, replayed(store).await);
}

#[tokio::test]
async fn p7_killed_with_9_anywhere_a_rebuild_is_resumed_to_the_same_rows() {
    let run = test_run();
    let mut random = StdRng::seed_from_u64(run.seed);
    for round in 0..run.count(4, 60) {
        let database = projected(run.seed.wrapping_add(round), 400).await;
        let url = database.url();
        let (memory, throttle) = (
            ["0", "64"][random.random_range(0..2)],
            ["300", "1000", "3000"][random.random_range(0..3)],
        );
        let mut arguments = vec!["rebuild", "orders", "--memory", memory, "--throttle", throttle];
        for _ in 0..random.random_range(1..4) {
            let mut killed = command(url).args(&arguments).spawn().unwrap();
            // The moment of the kill is what is varied here; nothing is waited for.
            tokio::time::sleep(Duration::from_millis(random.random_range(20..900))).await;
            killed.kill().await.unwrap();
            if ask::<i32>(url, LIVE).await == 2 {
                break;
            }
            if ask::<i64>(url, "SELECT count(*) FROM read_model.rebuilds WHERE phase <> 'switched'")
                .await
                == 1
            {
                arguments = vec![
                    "rebuild",
                    "orders",
                    "--resume",
                    "--memory",
                    memory,
                    "--throttle",
                    throttle,
                ];
            }
        }
        if ask::<i32>(url, LIVE).await == 1 {
            succeeds(url, &arguments[..if arguments.contains(&"--resume") { 3 } else { 2 }]).await;
        }
        assert_eq!(ask::<i32>(url, LIVE).await, 2);
        assert_eq!(
            contents(url).await,
            replayed(postgres_store(url).await).await,
            "seed {} round {round}",
            run.seed
        );
    }
}

#[tokio::test]
async fn a_rebuild_is_paused_and_resumed_and_only_one_runs() {
    let database = projected(205, 400).await;
    let url = database.url();
    let rebuilding = succeeds(url, &["rebuild", "orders", "--throttle", "40"]);
    let pausing = async {
        until("the rebuild to begin", || async {
            ask::<i64>(
                url,
                "SELECT count(*) FROM read_model.leases WHERE name = 'orders_g2/0' \
                AND owner IS NOT NULL",
            )
            .await
                == 1
        })
        .await;
        let said = fails(url, &["rebuild", "orders"]).await;
        assert!(said.contains("--resume"), "{said}");
        let said = fails(url, &["rebuild", "orders", "--resume"]).await;
        assert!(said.contains("another process"), "{said}");
        succeeds(url, &["rebuild", "orders", "--pause"]).await;
    };
    let (said, ()) = tokio::join!(rebuilding, pausing);
    assert!(said.contains("paused at position"), "{said}");
    let at: i64 = ask(url, BUILT).await;
    assert!(0 < at && at < 400, "{at}");
    assert_eq!(ask::<i32>(url, LIVE).await, 1);
    succeeds(url, &["rebuild", "orders", "--resume"]).await;
    assert_eq!(contents(url).await, replayed(postgres_store(url).await).await);
    let said = fails(url, &["rebuild", "orders", "--resume"]).await;
    assert!(said.contains("orders has no unfinished rebuild"), "{said}");
}

#[tokio::test]
async fn a_difference_stops_the_switch_until_a_person_decides() {
    let database = projected(206, 300).await;
    let url = database.url();
    tell(
        url,
        "UPDATE orders_g1.orders SET units = units + 1 WHERE id = (SELECT \
        min(id::text)::uuid FROM orders_g1.orders)",
    )
    .await;
    let said = ends_with(cli_kit::NOT_IN_ORDER, url, &["rebuild", "orders"]).await;
    assert!(said.contains("1 different") && said.contains("\"units\""), "{said}");
    assert_eq!(ask::<i32>(url, LIVE).await, 1);
    succeeds(url, &["rebuild", "orders", "--resume", "--despite-differences"]).await;
    assert_eq!(ask::<i32>(url, LIVE).await, 2);
    assert_eq!(contents(url).await, replayed(postgres_store(url).await).await);
}

#[tokio::test]
async fn a_changed_projection_says_what_to_run_and_old_programs_keep_the_old_generation() {
    let database = projected(207, 200).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    // As if an older program had made it.
    tell(url, "UPDATE read_model.generations SET fold_version = 0 WHERE projection = 'orders'")
        .await;
    tell(url, "UPDATE read_model.generations SET tables = 'others' WHERE projection = 'products'")
        .await;
    let standings = runner(postgres_store(url).await, url).run_once().await.unwrap();
    for name in ["orders", "products"] {
        let standing = format!(
            "{:?}",
            standings.iter().find(|(projection, _)| *projection == name).unwrap().1
        );
        assert!(standing.contains(&format!("projector rebuild {name}")), "{standing}");
    }
    append(store.as_ref(), Life::new(208).goes_on(40)).await;
    // The old program does not run: nothing to compare with at the same position.
    for name in ["orders", "products"] {
        succeeds(url, &["rebuild", name, "--no-compare"]).await;
    }
    let mut runner = runner(postgres_store(url).await, url);
    runner.run_once().await.unwrap();
    runner.give_up().await;
    let old = "SELECT position FROM read_model.checkpoints WHERE projection = 'orders' AND \
        generation = 1";
    assert_eq!(ask::<i64>(url, old).await, 200, "only the program that made it may move it");
    assert_eq!(contents(url).await, replayed(store).await);
}

#[tokio::test]
async fn rows_of_another_history_are_rebuilt_beside_the_old_ones_which_queries_see_until_then() {
    let database = projected(210, 200).await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    // As if the log had been another one up to the checkpoint.
    tell(
        url,
        "UPDATE read_model.checkpoints SET event_id = gen_random_uuid() WHERE projection = \
        'orders'",
    )
    .await;
    append(store.as_ref(), Life::new(211).goes_on(40)).await;
    let standings = runner(postgres_store(url).await, url).run_once().await.unwrap();
    let standing = format!(
        "{:?}",
        standings.iter().find(|(projection, _)| *projection == "orders").unwrap().1
    );
    assert!(standing.contains("`projector rebuild orders`"), "{standing}");
    let said = succeeds(url, &["rebuild", "orders"]).await;
    assert!(
        said.contains("not compared: the live generation 1 was made from another history"),
        "{said}"
    );
    let mut runner = runner(postgres_store(url).await, url);
    runner.run_once().await.unwrap();
    runner.give_up().await;
    assert_eq!(ask::<i32>(url, LIVE).await, 2);
    assert_eq!(contents(url).await, replayed(store).await);
}

#[tokio::test]
async fn a_dry_run_says_what_a_rebuild_would_take_and_changes_nothing() {
    let database = projected(209, 300).await;
    let (url, before) = (database.url(), contents(database.url()).await);
    let said = succeeds(url, &["rebuild", "orders", "--dry-run"]).await;
    assert!(said.contains("300 events: about 1 s") && said.contains("disk: about 1 MiB"), "{said}");
    assert_eq!(
        ask::<i64>(url, "SELECT count(*) FROM read_model.generations WHERE projection = 'orders'")
            .await,
        1
    );
    assert_eq!(contents(url).await, before);
}
