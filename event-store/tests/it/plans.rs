//! The hot statements reach their rows by the index that was made for them, whatever was planned before and however large the log is.

use event_store::postgres::append_batch;
use event_store::{ExpectedVersion, StreamName};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::support::{append_to, database, plain, tagged};

async fn fill(connection: &mut PgConnection) {
    for batch in 0..6 {
        let appends = (0..500).map(|n| {
            let category = if n % 100 == 0 { "rare" } else { "thing" };
            let name = StreamName::new(category, format!("{batch}-{n}")).unwrap();
            let kind = if n % 100 == 1 { "thing.rare" } else { "thing.made" };
            append_to(name, ExpectedVersion::NoStream, vec![tagged(kind, &[&format!("tag:{n}"), "tag:all"])])
        });
        append_batch(connection, appends.collect()).await.unwrap();
    }
    sqlx::raw_sql("ANALYZE event_store.events, event_store.tags").execute(connection).await.unwrap();
}

/// The plan of a statement for these arguments, as the store's connections for reads make it.
async fn plan(connection: &mut PgConnection, statement: &str, arguments: &str) -> String {
    let arguments = if arguments.is_empty() { String::new() } else { format!("({arguments})") };
    let statements = format!(
        "SET plan_cache_mode = force_custom_plan; DEALLOCATE ALL; PREPARE hot AS {statement}; EXPLAIN EXECUTE hot {arguments}"
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
        (statement!("continuity"), "7", "events_position"),
        (statement!("mark_at"), "7", "events_position"),
        (statement!("read_all"), "7, 500", "events_position"),
        (statement!("read_stream"), "'thing-1-1', 0, 500", "events_stream_version"),
        (statement!("read_stream_backward"), "'thing-1-1', 9, 500", "events_stream_version"),
        (statement!("read_category"), "'rare', 0, 500", "events_category_position"),
        (statement!("read_types"), "'{thing.rare}', 0, 500", "events_type_position"),
        (statement!("read_query"), "'{tag:7}', '{\"\"}', '{}', 0, 500", "tags_tag_position"),
        (statement!("check_conditions"), "'{0}', '{tag:7}', '{\"\"}'", "tags_tag_position"),
        (statement!("read_snapshot"), "'thing-1-1', 1, gen_random_uuid()", "snapshots_pkey"),
        (statement!("repeated"), "'\\x00'", "idempotency_key"),
    ] {
        let plan = plan(&mut connection, statement, arguments).await;
        assert!(plan.contains(index), "{name} does without {index}:\n{plan}");
        for table in ["events", "tags", "idempotency"] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{name} reads all of {table}:\n{plan}");
        }
    }
}
