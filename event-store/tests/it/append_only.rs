//! The rights of each role: the log can only be added to, and only through the procedure (A11).

use event_store::postgres::operations::{self, Added, Kind, Request, Turn};
use event_store::{EventStore, Position, StoreError};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::{appended, check_dense, connect, database, one, options, plain, sqlstate};

const TABLES: [&str; 7] =
    ["events", "tags", "reservations", "idempotency", "epochs", "log", "digests"];
const DENIED: &str = "42501";

fn attempts(table: &str) -> [String; 5] {
    [
        format!(
            "INSERT INTO event_store.{table} ({0}) SELECT {0} FROM event_store.{table}",
            first_column(table)
        ),
        format!("UPDATE event_store.{table} SET {} = DEFAULT", first_column(table)),
        format!("DELETE FROM event_store.{table}"),
        format!("TRUNCATE event_store.{table}"),
        format!("SELECT 1 FROM event_store.{table} FOR UPDATE"),
    ]
}

fn first_column(table: &str) -> &'static str {
    match table {
        "events" => "position",
        "tags" => "tag",
        "reservations" => "scope",
        "idempotency" => "key",
        "epochs" => "epoch",
        "log" => "only_row",
        _ => "last_position",
    }
}

#[tokio::test]
async fn no_role_writes_to_the_log_but_through_the_procedure() {
    let database = database().await;
    for group in ["event_store_appender", "event_store_reader", "event_store_relay"] {
        let mut connection = plain(&database.url_in_group(group).await).await;
        for statement in TABLES.iter().flat_map(|table| attempts(table)) {
            let error = sqlx::raw_sql(AssertSqlSafe(statement.clone()))
                .execute(&mut connection)
                .await
                .unwrap_err();
            assert_eq!(sqlstate(&error), DENIED, "{group}: {statement}");
        }
    }
}

#[tokio::test]
async fn an_appender_appends_and_reads() {
    let database = database().await;
    let store = connect(&database.url_in_group("event_store_appender").await).await;
    appended(store.append(one("a")).await.unwrap());
    assert_eq!(check_dense(&store).await, Position(1));
}

#[tokio::test]
async fn a_reader_and_the_relay_read_and_do_not_append() {
    let database = database().await;
    appended(connect(database.url()).await.append(one("a")).await.unwrap());
    for group in ["event_store_reader", "event_store_relay"] {
        let store = connect(&database.url_in_group(group).await).await;
        assert_eq!(check_dense(&store).await, Position(1), "{group}");
        let error = store.append(one("a")).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Unusable(_) | StoreError::Database(_)),
            "{group}: {error:?}"
        );
    }
    assert_eq!(check_dense(&connect(database.url()).await).await, Position(1));
}

#[tokio::test]
async fn only_the_relay_holds_a_lease_and_moves_a_cursor() {
    let database = database().await;
    let statements = [
        "INSERT INTO event_store.leases (name) VALUES ('relay') ON CONFLICT (name) DO UPDATE SET \
            term = leases.term + 1",
        "INSERT INTO event_store.relay_cursors (target, epoch, position, term) VALUES ('file', \
            gen_random_uuid(), 0, 1) ON CONFLICT (target) DO UPDATE SET term = excluded.term",
    ];
    let mut relay = plain(&database.url_in_group("event_store_relay").await).await;
    for statement in statements {
        sqlx::query(statement).execute(&mut relay).await.unwrap();
    }
    for group in ["event_store_appender", "event_store_reader"] {
        let mut other = plain(&database.url_in_group(group).await).await;
        for statement in statements {
            let error = sqlx::query(statement).execute(&mut other).await.unwrap_err();
            assert_eq!(sqlstate(&error), DENIED, "{group}: {statement}");
        }
    }
}

#[tokio::test]
async fn an_appender_begins_an_epoch_only_by_an_operation_that_names_who_and_why() {
    let database = database().await;
    let url = database.url_in_group("event_store_appender").await;
    let mut record = operations::connect(&options(&url)).await.unwrap();
    let session = Uuid::from_u128(7);
    let asked = (("ops-7", Some(session)), "a standby was promoted");
    let replaces = connect(database.url()).await.head().await.unwrap().epoch;
    let request = Request::BeginEpoch { replaces, abandoned: Vec::new() };
    let added = operations::add(&mut record, &request, asked).await;
    let Added::Queued(operation) = added.unwrap() else { panic!("it is the first one") };
    assert_eq!(operation.requested_with, Some(session));
    let mut appender = plain(&url).await;
    for statement in [
        "UPDATE event_store.operations SET requested_by = 'somebody else'",
        "UPDATE event_store.operations SET requested_with = NULL",
        "UPDATE event_store.operations SET reason = 'another'",
        "UPDATE event_store.operations SET arguments = '{}'",
        "UPDATE event_store.operations SET requested_at = now()",
        "DELETE FROM event_store.operations",
        "TRUNCATE event_store.operations",
        "SELECT event_store.begin_epoch('without an operation', '{}')",
    ] {
        let error = sqlx::query(statement).execute(&mut appender).await.unwrap_err();
        assert_eq!(sqlstate(&error), DENIED, "{statement}");
    }
    for group in ["event_store_reader", "event_store_relay"] {
        let mut other = plain(&database.url_in_group(group).await).await;
        for statement in [
            "SELECT FROM event_store.operations",
            "SELECT event_store.begin_epoch_by_operation(gen_random_uuid())",
        ] {
            let error = sqlx::query(statement).execute(&mut other).await.unwrap_err();
            assert_eq!(sqlstate(&error), DENIED, "{group}: {statement}");
        }
    }
    let turn = Turn::take(&options(&url), Kind::BeginEpoch).await.unwrap();
    let begun = turn.unwrap().begin_epoch(operation.id).await.unwrap();
    let head = connect(database.url()).await.head().await.unwrap();
    assert_eq!(begun, Some(head.epoch));
    for statement in [
        "UPDATE event_store.operations SET state = 'queued', finished_at = NULL",
        "UPDATE event_store.operations SET result = NULL",
    ] {
        let error = sqlx::query(statement).execute(&mut appender).await.unwrap_err();
        assert_eq!(sqlstate(&error), "P0001", "{statement}: {error}");
    }
}

#[tokio::test]
async fn p1_p2_the_tables_themselves_refuse_a_second_event_at_a_position_or_a_version() {
    let database = database().await;
    appended(connect(database.url()).await.append(one("a")).await.unwrap());
    let mut superuser = plain(database.url()).await;
    for (position, version, constraint) in [
        (1, 2, "events_position"),
        (2, 1, "events_stream_version"),
        (0, 2, "events_versions_from_1"),
        (2, 0, "events_versions_from_1"),
    ] {
        let insert = sqlx::query(
            "INSERT INTO event_store.events SELECT $1, $2, gen_random_uuid(), recorded_at, \
                schema_version, stream, event_type, data, tags,
                 metadata FROM event_store.events",
        );
        let error = insert.bind(position).bind(version).execute(&mut superuser).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().constraint(), Some(constraint));
    }
}
