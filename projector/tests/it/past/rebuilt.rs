//! A rebuild makes the past again: what the live generation has of it, row for row, also of
//! subjects that were erased.

use std::time::Duration;

use projection::ops::rebuild::{Compared, End, Rebuilt, Request, rebuild};
use projection::ops::{Progress, Work};
use tokio::sync::Notify;

use super::*;

const MIB: usize = 1_024 * 1_024;

/// A rebuild with so much memory for rows.
fn request(memory: usize, resume: bool) -> Request {
    Request {
        resume,
        partitions: None,
        throttle: None,
        switch: true,
        compare: true,
        despite_differences: false,
        patience: Duration::from_secs(10),
        memory,
        reveal: true,
        operation: None,
    }
}

/// The rows that two generations of a table do not share.
async fn differences(url: &str, table: &str, (one, other): (&str, &str)) -> Vec<Value> {
    let rows = |schema: &str| format!("TABLE {schema}.{table}");
    let (one, other) = (rows(one), rows(other));
    let statement = format!(
        "SELECT to_jsonb(d) FROM (({one} EXCEPT {other}) UNION ALL ({other} EXCEPT {one})) AS d"
    );
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&mut connection).await.unwrap()
}

/// The generation with this number has the rows of the first one, and their past.
async fn equals_the_first(url: &str, projection: &dyn AnyProjection, number: i32, context: &str) {
    let name = projection.name();
    let generations = (format!("{name}_g1"), format!("{name}_g{number}"));
    for table in [name.to_owned(), format!("{name}_history")] {
        let found = differences(url, &table, (&generations.0, &generations.1)).await;
        assert!(found.is_empty(), "{context}: {table} of generation {number}: {found:?}");
    }
}

fn is_switched(rebuilt: &Rebuilt, context: &str) {
    assert!(matches!(rebuilt.end, End::Switched(_)), "{context}: {rebuilt:?}");
    let Some(Compared::Rows { differences, .. }) = &rebuilt.compared else {
        panic!("{context}: {rebuilt:?}")
    };
    assert_eq!(differences.count(), 0, "{context}: {differences}");
}

/// A life in which users are erased at moments that nobody chose, projected as it went on.
async fn lived(world: &World, seed: u64, url: &str) {
    let (mut life, mut random) = (Life::new(seed), StdRng::seed_from_u64(seed));
    let mut live = runner(Arc::clone(&world.log), url).revealing(vault(&world.keys));
    let mut erased = 0;
    for _ in 0..8 {
        for happening in life.goes_on(25) {
            append(&world.encrypted, vec![happening]).await;
        }
        if random.random_ratio(1, 2) {
            live.run_once().await.unwrap();
        }
        let users: Option<Vec<Uuid>> =
            ask(url, "SELECT array_agg(id ORDER BY id) FROM read_model.users").await;
        if let Some(users) = users {
            let user = users[random.random_range(0..users.len())];
            world.erase(user).await;
            erased += 1;
        }
    }
    live.run_once().await.unwrap();
    live.give_up().await;
    assert!(erased > 0, "seed {seed}: nobody was erased");
}

#[tokio::test]
async fn p7_a_rebuild_of_a_log_with_erasures_makes_the_rows_and_the_past_that_were_live() {
    let run = test_run();
    for round in 0..run.count(1, 30) {
        let seed = run.seed.wrapping_add(round);
        let (world, database) = (World::new(), read_model().await);
        let url = database.url();
        lived(&world, seed, url).await;
        let operations = operations(url, log(Arc::clone(&world.log)), Some(&world.keys)).await;
        for projection in with_history(url).await {
            // With hardly any memory, rows are written after each event.
            for (number, memory) in (2..).zip([64 * MIB, 0]) {
                let context = format!("seed {seed}, {memory} bytes of memory");
                let request = request(memory, false);
                let rebuilt = rebuild(&operations, &projection, &request, &Silent).await.unwrap();
                is_switched(&rebuilt, &context);
                equals_the_first(url, projection.as_ref(), number, &context).await;
            }
        }
        is_what_a_replay_makes(url, &operations, &format!("seed {seed}")).await;
    }
}

/// Says when a rebuild has reached a position.
struct Reaches {
    position: i64,
    reached: Notify,
}

impl Progress for Reaches {
    fn begins(&self, _: Work, _: Position, _: Position) {}

    fn at(&self, position: Position, _: Position) {
        if position.0 >= self.position {
            self.reached.notify_one();
        }
    }

    fn ends(&self) {}
}

#[tokio::test]
async fn p7_a_rebuild_that_ends_anywhere_is_resumed_to_the_same_past() {
    let run = test_run();
    let mut random = StdRng::seed_from_u64(run.seed);
    let (world, database) = (World::new(), read_model().await);
    let url = database.url();
    lived(&world, run.seed, url).await;
    let head = world.log.head().await.unwrap().mark.position.0;
    // Each attempt is another process's.
    let process = || operations(url, log(Arc::clone(&world.log)), Some(&world.keys));
    for projection in with_history(url).await {
        let mut resume = false;
        for _ in 0..3 {
            let operations = process().await;
            let position = random.random_range(1..head / 2);
            let reaches = Reaches { position, reached: Notify::new() };
            let request = request(0, resume);
            tokio::select! {
                biased;
                () = reaches.reached.notified() => {}
                ended = rebuild(&operations, &projection, &request, &reaches) => {
                    panic!("it has reached {position} of {head} unnoticed: {ended:?}");
                }
            }
            resume = true;
        }
        let (context, operations) = (format!("seed {}", run.seed), process().await);
        let rebuilt = rebuild(&operations, &projection, &request(MIB, true), &Silent).await;
        is_switched(&rebuilt.unwrap(), &context);
        equals_the_first(url, projection.as_ref(), 2, &context).await;
    }
}
