//! Query plans: the hot statements use the index made for them, whatever was planned before and
//! however large the log is.

use std::collections::BTreeMap;

use event_store::postgres::append_batch;
use event_store::{
    Append, AppendCondition, EventStore, ExpectedVersion, Position, PostgresStore, StreamAppend,
    StreamName, Version,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::support::{
    append_to, connect, database, event, key, metadata, one, plain, query, release, stream, tagged,
    take,
};

async fn fill(connection: &mut PgConnection) {
    for batch in 0..6 {
        let appends = (0..500).map(|n| {
            let category = if n % 100 == 0 { "rare" } else { "thing" };
            let name = StreamName::new(category, format!("{batch}-{n}")).unwrap();
            let kind = if n % 100 == 1 { "thing.rare" } else { "thing.made" };
            append_to(
                name,
                ExpectedVersion::NoStream,
                vec![tagged(kind, &[&format!("tag:{n}"), "tag:all"])],
            )
        });
        append_batch(connection, appends.collect()).await.unwrap();
    }
    sqlx::raw_sql("ANALYZE event_store.events, event_store.tags")
        .execute(connection)
        .await
        .unwrap();
}

/// Returns the plan of a statement for these arguments, as the store's read connections make it.
async fn plan(connection: &mut PgConnection, statement: &str, arguments: &str) -> String {
    let arguments = if arguments.is_empty() { String::new() } else { format!("({arguments})") };
    let statements = format!(
        "SET plan_cache_mode = force_custom_plan; DEALLOCATE ALL; PREPARE hot AS {statement}; \
            EXPLAIN EXECUTE hot {arguments}"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(statements)).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| sqlx::Row::get::<String, _>(row, 0)).collect::<Vec<_>>().join("\n")
}

macro_rules! statement {
    ($name:literal) => {
        ($name, include_str!(concat!("../../sql/", $name, ".sql")))
    };
}

#[tokio::test]
async fn every_hot_statement_uses_its_index() {
    let database = database().await;
    let mut connection = plain(database.url()).await;
    fill(&mut connection).await;
    for ((name, statement), arguments, index) in [
        (statement!("head"), "", "events_position"),
        (statement!("continuity"), "7, gen_random_uuid()", "events_position"),
        (statement!("event_ref_at"), "7", "events_position"),
        (statement!("read_all"), "7, 500, 4194304", "events_position"),
        (statement!("read_stream"), "'thing-1-1', 0, 500, 4194304, 7", "events_stream_version"),
        (
            statement!("read_tails"),
            "'{thing-1-1,thing-1-2}', '{0,0}', 16, 32768, 7",
            "events_stream_version",
        ),
        (
            statement!("read_stream_backward"),
            "'thing-1-1', 9, 500, 4194304",
            "events_stream_version",
        ),
        (statement!("read_category"), "'rare', 0, 500, 4194304", "events_category_position"),
        (statement!("read_types"), "'{thing.rare}', 0, 500, 4194304", "events_type_position"),
        (
            statement!("read_query"),
            "'{tag:7}', '{\"\"}', '{}', 0, 500, 4194304",
            "tags_tag_position",
        ),
        (statement!("check_conditions"), "'{0}', '{tag:7}', '{\"\"}'", "tags_tag_position"),
        (statement!("read_snapshot"), "'thing-1-1', 1, gen_random_uuid()", "snapshots_pkey"),
        (statement!("repeated"), "'\\x00'", "idempotency_key"),
    ] {
        let plan = plan(&mut connection, statement, arguments).await;
        assert!(plan.contains(index), "{name} does without {index}:\n{plan}");
        for table in ["events", "tags", "idempotency"] {
            assert!(
                !plan.contains(&format!("Seq Scan on {table}")),
                "{name} reads all of {table}:\n{plan}"
            );
        }
    }
}

/// Makes appends for every statement of the function: a plain one, one with all features, one
/// refused for each reason, and repeats.
async fn every_kind_of_append(store: &PostgresStore, round: u8) {
    let name = format!("every-{round}");
    let made = append_to(
        stream(&name),
        ExpectedVersion::NoStream,
        vec![tagged("thing.made", &["seat:1"])],
    );
    let everything = |value: u8, after| Append {
        streams: vec![
            StreamAppend {
                stream: stream(&name),
                expected: ExpectedVersion::StreamExists,
                events: vec![event("thing.used")],
            },
            StreamAppend {
                stream: stream("other"),
                expected: ExpectedVersion::Any,
                events: vec![event("thing.used")],
            },
        ],
        conditions: vec![AppendCondition { query: query(&["thing.made"], &["seat:1"]), after }],
        reservations: vec![take(value, &name), release(value.wrapping_add(100), &name)],
        idempotency: Some(key(value, value, "1")),
        epoch: None,
        subjects: Vec::new(),
    };
    store.append(made.clone()).await.unwrap();
    let head = store.head().await.unwrap().mark.position;
    let full = everything(round, head);
    for append in [
        made.clone(),                        // sent again
        full.clone(),                        // everything
        full,                                // sent again, with a key
        everything(round, head),             // repeated under its key
        everything(round + 50, Position(0)), // the condition is broken
        Append { reservations: vec![take(round, "thief")], ..one(&name) },
        append_to(stream(&name), ExpectedVersion::Exact(Version(99)), vec![event("thing.used")]),
        Append {
            streams: vec![StreamAppend::closing(stream(&name), ExpectedVersion::Any, metadata())],
            ..Append::default()
        },
        one(&name), // closed
    ] {
        store.append(append).await.unwrap();
    }
}

/// Returns the number of sequential scans of each table of the log, and the number of entries read
/// from each index.
async fn reads(admin: &mut PgConnection) -> (BTreeMap<String, i64>, BTreeMap<String, i64>) {
    let scans = "SELECT relname::text, seq_scan FROM pg_stat_user_tables
        WHERE schemaname = 'event_store' AND relname IN ('events', 'tags', 'reservations', \
        'idempotency')";
    let entries = "SELECT indexrelname::text, idx_tup_read FROM pg_stat_user_indexes WHERE \
        schemaname = 'event_store'";
    let scans = sqlx::query_as::<_, (String, i64)>(scans).fetch_all(&mut *admin).await.unwrap();
    let entries = sqlx::query_as::<_, (String, i64)>(entries).fetch_all(admin).await.unwrap();
    (scans.into_iter().collect(), entries.into_iter().collect())
}

/// The store's connection plans the function's statements while the tables are empty, and keeps
/// those plans.
#[tokio::test]
async fn every_statement_of_the_append_reaches_its_rows_by_an_index_even_after_growth() {
    /// The maximum number of entries of one index that a round may read, out of thousands.
    const FEW: i64 = 200;
    let database = database().await;
    let store = connect(database.url()).await;
    every_kind_of_append(&store, 1).await;
    let mut filler = plain(database.url()).await;
    fill(&mut filler).await;
    filler.close().await.unwrap();
    let mut admin = plain(database.url()).await;
    gone(&mut admin, "application_name = ''").await;
    let before = reads(&mut admin).await;
    every_kind_of_append(&store, 2).await;
    drop(store);
    gone(&mut admin, "application_name <> ''").await;
    let after = reads(&mut admin).await;
    assert_eq!(after.0, before.0, "a table was read from end to end");
    for (index, entries) in &after.1 {
        let passed = entries - before.1[index];
        assert!(passed < FEW, "{passed} entries of {index} were passed");
    }
    for index in [
        "events_position",
        "events_stream_version",
        "events_event_id",
        "tags_tag_position",
        "reservations_scope_hash",
        "idempotency_key",
    ] {
        assert!(after.1[index] > before.1[index], "{index} was not used");
    }
}

/// Waits until no other connection of that kind exists: a backend reports all its statistics when
/// it ends.
async fn gone(admin: &mut PgConnection, kind: &str) {
    let others = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND \
            backend_type = 'client backend'
             AND pid <> pg_backend_pid() AND {kind}"
    );
    while sqlx::query_scalar::<_, i64>(AssertSqlSafe(others.clone()))
        .fetch_one(&mut *admin)
        .await
        .unwrap()
        > 0
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
