//! Bugs planted in the append function of the test's own database. Event stores on Postgres are
//! known for each of them (A1, A3, A11), and each must be caught.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use local_servers::{TestDatabase, test_run};
use sqlx::{AssertSqlSafe, PgConnection};

use super::client::Habits;
use super::process::{beside, lines};
use super::{adya, log};
use crate::history::{History, Violation, check};
use crate::support::{connect, database, plain};

/// The number of steps of each client between two checks.
const STEPS: usize = 12;
/// The number of checks after which a bug counts as not caught.
const MOST_CHECKS: usize = 60;

/// A single statement: the lock and the checks share one snapshot, which is older than the lock.
/// Positions are right, since they are drawn under the lock. [`OVERTAKEN`] looks with snapshots of
/// its own, while the statement keeps the one that it began with.
const ONE_STATEMENT: &str = "
DECLARE
    o record;
BEGIN
    WITH waited AS MATERIALIZED (SELECT event_store.overtaken()),
    locked AS MATERIALIZED (SELECT l.epoch FROM waited, event_store.log AS l FOR UPDATE OF l),
    stream AS (
        SELECT n, coalesce(p_stream_member[n], n) AS member, p_expected[n] AS expected,
               coalesce((SELECT max(e.version) FROM event_store.events AS e WHERE e.stream = \
               p_stream[n]), 0) AS actual
            FROM generate_subscripts(p_stream, 1) AS n),
    broken AS (
        SELECT c.member, c.index, min(coalesce(c.broken, (SELECT min(t.position) FROM \
        event_store.tags AS t
                                                              WHERE t.tag = c.tags AND t.position \
                                                              > c.after))) AS position
            FROM unnest(p_condition_member, p_condition_index, p_condition_after, \
            p_condition_broken, p_condition_tags)
                   AS c (member, index, after, broken, tags)
            GROUP BY c.member, c.index),
    verdict AS (
        SELECT m, s.n, s.actual, b.index, b.position,
               CASE WHEN s.n IS NOT NULL THEN 'wrong_version' WHEN b.position IS NOT NULL \
               THEN 'condition_broken' ELSE 'appended' END AS status
            FROM generate_series(1, coalesce(cardinality(p_append_id), cardinality(p_event_id))) \
            AS m
            LEFT JOIN LATERAL (SELECT * FROM stream WHERE member = m AND expected >= 0 AND \
            expected <> actual ORDER BY n LIMIT 1) AS s ON true
            LEFT JOIN LATERAL (SELECT * FROM broken WHERE member = m AND position IS NOT NULL \
            ORDER BY index LIMIT 1) AS b ON true),
    added AS (
        INSERT INTO event_store.events (position, version, event_id, recorded_at, schema_version, \
        stream, event_type, data, tags, metadata)
            SELECT nextval('event_store.mutant'), u.actual + u.nth, p_event_id[u.at], \
            clock_timestamp(), p_event_schema[u.at], p_stream[u.stream],
                   p_event_type[u.at], p_event_data[u.at]::json, \
                   string_to_array(p_event_tags[u.at], ' '), p_event_metadata[u.at]::json
                FROM locked, (SELECT at, s.n AS stream, s.actual,
                          coalesce(p_event_nth_in_stream[at], 1) AS nth
                          FROM generate_subscripts(p_event_id, 1) AS at
                          JOIN stream AS s ON s.n = coalesce(p_event_stream[at], at)
                          JOIN verdict AS v ON v.m = coalesce(p_event_member[at], at)
                              AND v.status = 'appended'
                          ORDER BY at OFFSET 0) AS u
            RETURNING position, tags),
    tagged AS (INSERT INTO event_store.tags (tag, position) SELECT unnest(a.tags), a.position \
    FROM added AS a)
    SELECT l.epoch, clock_timestamp() AS now, (SELECT min(a.position) - 1 FROM added AS a) AS head,
           (SELECT array_agg(v.status ORDER BY v.m) FROM verdict AS v) AS status, (SELECT \
           array_agg(s.actual ORDER BY s.n) FROM stream AS s) AS version,
           (SELECT array_agg(coalesce(v.position, v.actual) ORDER BY v.m) FROM verdict AS v) AS \
           number,
           (SELECT array_agg(coalesce(v.n, v.index) ORDER BY v.m) FROM verdict AS v) AS index
        INTO o FROM locked AS l;
    o_epoch := o.epoch;
    o_recorded_at := o.now;
    o_head := coalesce(o.head, (SELECT max(e.position) FROM event_store.events AS e), 0);
    o_head_event_id := (SELECT e.event_id FROM event_store.events AS e WHERE e.position = o_head);
    o_status := o.status;
    o_version := o.version;
    o_number := o.number;
    o_index := o.index;
    o_detail := array_fill(NULL::text, ARRAY[cardinality(o.status)]);
END";

/// Draws consecutive positions without a lock, as a sequence does: nothing is held until the
/// commit.
const SEQUENCE: &str = "
CREATE FUNCTION event_store.draw(count bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    first bigint;
BEGIN
    PERFORM pg_advisory_lock(1);
    SELECT min(drawn) INTO first FROM (SELECT nextval('event_store.mutant') AS drawn FROM \
    generate_series(1, count)) AS all_drawn;
    PERFORM pg_advisory_unlock(1);
    RETURN first - 1;
END $$";

/// Waits until another append was committed, at most 20 ms. The window is held open by giving the
/// processor to the others: on a busy machine, work of any length runs in one piece and closes it.
const OVERTAKEN: &str = "
CREATE FUNCTION event_store.overtaken() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before bigint := (SELECT coalesce(max(e.position), 0) FROM event_store.events AS e);
    checks int := 0;
BEGIN
    while checks < 20
            AND before = (SELECT coalesce(max(e.position), 0) FROM event_store.events AS e) LOOP
        checks := checks + 1;
        PERFORM pg_sleep(0.001);
    END LOOP;
END $$";

const LOCK: &str = " FROM event_store.log AS l FOR UPDATE;";
const NO_LOCK: &str = " FROM event_store.log AS l;";

async fn source_of(admin: &mut PgConnection, function: &str) -> String {
    let source = sqlx::query_scalar("SELECT pg_get_functiondef(('event_store.' || $1)::regproc)");
    source.bind(function).fetch_one(admin).await.unwrap()
}

/// Replaces a text that must appear exactly once.
fn changed(source: &str, from: &str, to: &str) -> String {
    assert_eq!(
        source.matches(from).count(),
        1,
        "the append function has changed; plant the bug again: {from}"
    );
    source.replace(from, to)
}

/// A database with a changed append function.
struct Planted {
    database: TestDatabase,
    admin: PgConnection,
    source: String,
    /// The number of cuts of the append connections between two checks.
    cuts: usize,
}

impl Planted {
    async fn new() -> Self {
        let database = database().await;
        let mut admin = plain(database.url()).await;
        // Plain batches use the general function too, without an earlier lock, so only one function
        // matters.
        let mut plain = source_of(&mut admin, "append_plain_batch").await;
        for (from, to) in
            [(LOCK, NO_LOCK), ("refused := v_epoch <> ANY (p_epoch);", "refused := true;")]
        {
            plain = changed(&plain, from, to);
        }
        sqlx::raw_sql(AssertSqlSafe(plain)).execute(&mut admin).await.unwrap();
        let source = source_of(&mut admin, "append_batch").await;
        Self { database, admin, source, cuts: 0 }
    }

    fn change(&mut self, from: &str, to: &str) {
        self.source = changed(&self.source, from, to);
    }

    fn body(&mut self, body: &str) {
        let (head, _) = self.source.split_once("AS $function$").unwrap();
        self.source = format!("{head}AS $function${body}$function$");
    }

    async fn run(&mut self, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut self.admin).await.unwrap();
    }

    /// Plants the bug and runs clients until a checker finds a violation.
    async fn catch(mut self, name: &str, habits: Habits) -> Vec<Violation> {
        let source = self.source.clone();
        self.run(&source).await;
        let run = test_run();
        let record = Arc::new(Mutex::new(Vec::new()));
        let url = self.database.url();
        let (began, store) = (Instant::now(), connect(url).await);
        let mut clients = beside([url, url], habits, record.clone(), run.seed).await;
        for _ in 0..MOST_CHECKS {
            let asking = clients.into_iter().map(|mut client| {
                let mut steps = 0..STEPS;
                tokio::spawn(async move {
                    client.run(|| steps.next().is_some()).await;
                    client
                })
            });
            let asking = futures::future::join_all(asking.collect::<Vec<_>>());
            let (asked, ()) = tokio::join!(asking, cut(&mut self.admin, self.cuts));
            clients = asked.into_iter().map(Result::unwrap).collect();
            let history = History::new(log(&store).await, lines(&record.lock().unwrap()));
            let found = check(&history);
            // A bug that merely stops every append does not test the checker.
            assert!(
                !history.log.is_empty(),
                "nothing is appended: {:?}",
                history.operations.last()
            );
            if let Some(first) = found.first() {
                let (seconds, operations) =
                    (began.elapsed().as_secs_f64(), history.operations.len());
                eprintln!(
                    "seed {}: {name} caught after {seconds:.2} s, {operations} operations: \
                        {first:?}",
                    run.seed
                );
                eprintln!("adya says {:?}", adya::anomalies_if_any(&history));
                return found;
            }
        }
        panic!("seed {}: {name} was not caught in {:?}", run.seed, began.elapsed());
    }
}

/// Repeatedly ends the append connections, so that answers are lost and appends are sent again.
async fn cut(admin: &mut PgConnection, times: usize) {
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'CALL%'";
    for _ in 0..times {
        sqlx::query(end).execute(&mut *admin).await.unwrap();
    }
}

fn named(found: &[Violation], invariants: &[&str]) {
    let some = found.iter().any(|violation| invariants.contains(&violation.invariant));
    assert!(some, "found something other than {invariants:?}: {found:#?}");
}

const ALL: Habits = Habits { keys: true, conditions_only: false };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_in_one_statement_is_caught() {
    let mut planted = Planted::new().await;
    planted.run("CREATE SEQUENCE event_store.mutant").await;
    planted.run(OVERTAKEN).await;
    planted.body(ONE_STATEMENT);
    let found = planted.catch("one statement", Habits { keys: false, conditions_only: true }).await;
    named(&found, &["I1", "I4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_from_a_sequence_are_caught() {
    let mut planted = Planted::new().await;
    planted.run("CREATE SEQUENCE event_store.mutant").await;
    planted.run(SEQUENCE).await;
    planted.change(LOCK, NO_LOCK);
    let after_the_look = "    members := cardinality(p_append_id);";
    planted.change(
        after_the_look,
        &format!("o_head := event_store.draw(cardinality(p_event_id));\n{after_the_look}"),
    );
    let found = planted.catch("a sequence", ALL).await;
    named(&found, &["I1", "I3", "I6"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_checked_before_the_lock_are_caught() {
    let mut planted = Planted::new().await;
    planted.run(OVERTAKEN).await;
    let lock = "PERFORM FROM event_store.log FOR UPDATE;";
    planted.change(LOCK, &format!("{NO_LOCK} IF p_condition_member IS NULL THEN {lock} END IF;"));
    let after = "    -- The reservations.\n";
    planted.change(
        after,
        &format!(
            "IF p_condition_member IS NOT NULL THEN
                 PERFORM event_store.overtaken();
                 {lock}
                 SELECT coalesce(max(e.position), 0) INTO o_head FROM event_store.events AS e;
                 o_version := ARRAY(SELECT coalesce((SELECT max(e.version) FROM \
                 event_store.events AS e WHERE e.stream = p_stream[n]), 0)
                     FROM generate_subscripts(p_stream, 1) AS n ORDER BY n);
             END IF;\n{after}"
        ),
    );
    let found =
        planted.catch("check before lock", Habits { keys: false, conditions_only: true }).await;
    named(&found, &["I4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_recognises_nothing_sent_again_is_caught() {
    let mut planted = Planted::new().await;
    planted.change(
        "EXISTS (SELECT FROM event_store.events AS e WHERE e.event_id = ANY (p_event_id))",
        "false",
    );
    planted.change(
        "    IF p_key IS NOT NULL THEN\n        FOR r IN\n",
        "    IF false THEN\n        FOR r IN\n",
    );
    planted.run("ALTER TABLE event_store.events DROP CONSTRAINT events_event_id").await;
    planted.run("ALTER TABLE event_store.idempotency DROP CONSTRAINT idempotency_key").await;
    planted.cuts = 3;
    let found = planted.catch("no dedupe", ALL).await;
    named(&found, &["I2", "I5", "I12"]);
}
