//! Tampering: the verification must notice a change of every column of every table of the log, and
//! every removed or inserted row. The columns come from the catalogue, so a new one is tested or
//! listed here as an exception.

use std::time::Duration;

use event_store::postgres::{begin_epoch, verify};
use event_store::{
    Append, EventStore, ExpectedVersion, Position, PostgresStore, StreamAppend, Version,
};
use postgres_kit::Connection;
use sqlx::AssertSqlSafe;

use crate::support::{
    append_to, appended, connect, database, event, key, one, release, stream, tagged, take,
};

/// The data that the log does not determine: table, column (`*` for all), reason.
const NOT_TOLD_BY_THE_LOG: [(&str, &str, &str); 13] = [
    (
        "_sqlx_migrations",
        "*",
        "the migrations that were run: compared with the program's own at each start",
    ),
    ("leases", "*", "who leads just now"),
    ("relay_cursors", "*", "how far a target is: its event is proved against the log when used"),
    (
        "snapshots",
        "*",
        "short cuts: any may be deleted, and what is in one takes the aggregate's fold to check",
    ),
    (
        "operations",
        "*",
        "what people asked for and why; what was done is in the ledger of erasures and the epochs",
    ),
    ("log", "only_row", "its check allows one value"),
    ("epochs", "reason", "words for people"),
    ("epochs", "abandoned", "what a person said of other copies"),
    ("epochs", "created_at", "for people: the ids say which came first"),
    ("digests", "created_at", "for people"),
    ("log", "row put in", "its check and its key allow one row"),
    ("epochs", "row put in", "a person may begin as many epochs after one position as they like"),
    (
        "epochs",
        "row taken away",
        "the first of several that share what they began after leaves no other trace",
    ),
];

fn is_not_told(table: &str, column: &str) -> bool {
    NOT_TOLD_BY_THE_LOG
        .iter()
        .any(|(of, name, _)| *of == table && (*name == "*" || *name == column))
}

/// Makes a log with a row in every derived table, all of it digested. The last event is a plain one
/// that only its digest protects.
async fn fill(store: &PostgresStore) {
    let two = vec![tagged("thing.made", &["thing:1"]), event("thing.used")];
    appended(store.append(append_to(stream("a"), ExpectedVersion::NoStream, two)).await.unwrap());
    // Removing the very last digest goes unnoticed by design: the log is then like one that was
    // digested only up to the digest before.
    assert_eq!(store.digest().await.unwrap(), Position(2));
    let held = StreamAppend {
        stream: stream("a"),
        expected: ExpectedVersion::Exact(Version(2)),
        events: Vec::new(),
    };
    let mut keyed = Append {
        reservations: vec![take(1, "b"), release(2, "b")],
        idempotency: Some(key(1, 1, "{\"a\": 1}")),
        ..one("b")
    };
    keyed.streams.push(held);
    appended(store.append(keyed).await.unwrap());
    appended(store.append(one("c")).await.unwrap());
    assert_eq!(store.digest().await.unwrap(), Position(4));
}

/// Returns another value of the column's type.
fn other_value(column: &str, data_type: &str) -> String {
    match data_type {
        "bigint" | "integer" => format!("{column} + 1000"),
        "boolean" => format!("NOT {column}"),
        "text" => format!("{column} || 'x'"),
        "uuid" => "'ffffffff-ffff-7fff-bfff-ffffffffffff'".to_owned(),
        "timestamp with time zone" => format!("{column} + interval '1 us'"),
        "bytea" => format!(
            "set_byte(coalesce({column}, '\\x00'), 0, (get_byte(coalesce({column}, '\\x00'), 0) + \
                1) % 256)"
        ),
        "text[]" => format!("{column} || 'x:1'::text"),
        "bigint[]" => format!("{column} || 1::bigint"),
        "uuid[]" => format!("{column} || '{{00000000-0000-0000-0000-000000000000}}'::uuid[]"),
        "json" => format!("({column}::jsonb || '{{\"x\": 1}}')::json"),
        other => panic!("{column} is of type {other}: say here what another value of it is"),
    }
}

const LIMIT: Duration = Duration::from_secs(20);

/// Opens a connection with default planning: the check is no append.
async fn admin(url: &str) -> Connection {
    Connection::open(&url.parse().unwrap(), LIMIT, LIMIT).await.unwrap()
}

/// A column of the schema: its table, name and type, and whether it is part of a unique index.
type Column = (String, String, String, bool);

async fn columns(admin: &mut Connection) -> Vec<Column> {
    let columns = "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL),
            EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisunique AND \
            a.attnum = ANY (i.indkey))
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'event_store'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 \
        AND NOT a.attisdropped AND a.attgenerated = ''
        ORDER BY 1, a.attnum";
    sqlx::query_as(columns).fetch_all(admin).await.unwrap()
}

/// Returns the condition for the row to change; for events, the last one.
fn row_of(table: &str) -> String {
    let position = if table == "events" { "WHERE position = 4" } else { "" };
    format!("ctid = (SELECT ctid FROM event_store.{table} {position} LIMIT 1)")
}

async fn execute(admin: &mut Connection, statements: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(statements.as_str())).execute(admin).await;
    done.unwrap_or_else(|error| panic!("{statements}: {error}"));
}

/// Returns the names of a table's columns, without generated ones.
async fn stored(admin: &mut Connection, table: &str) -> String {
    let names = "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
        WHERE attrelid = ('event_store.' || $1)::regclass AND attnum > 0 AND NOT attisdropped AND \
        attgenerated = ''";
    sqlx::query_scalar(names).bind(table).fetch_one(admin).await.unwrap()
}

/// Makes one change to the log, returns whether the verification notices it, and undoes it.
async fn is_noticed(admin: &mut Connection, tables: &[&str], change: &str) -> bool {
    let before = verify(admin).await.unwrap();
    assert!(before.holds(), "before {change}: {before:#?}");
    execute(admin, change.to_owned()).await;
    let noticed = !verify(admin).await.unwrap().holds();
    for table in tables {
        let stored = stored(admin, table).await;
        execute(admin, format!("DELETE FROM event_store.{table}")).await;
        let back = format!(
            "INSERT INTO event_store.{table} ({stored}) SELECT {stored} FROM saved.{table}"
        );
        execute(admin, back).await;
    }
    noticed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_column_is_changed_and_whatever_row_is_taken_or_added_is_noticed() {
    let database = database().await;
    fill(&connect(database.url()).await).await;
    let mut admin = admin(database.url()).await;
    let columns = columns(&mut admin).await;
    let mut changes = Vec::new();
    for (table, column, data_type, _) in
        columns.iter().filter(|(table, column, ..)| !is_not_told(table, column))
    {
        let value = other_value(column, data_type);
        changes.push(format!(
            "UPDATE event_store.{table} SET {column} = {value} WHERE {}",
            row_of(table)
        ));
    }
    let mut tables: Vec<&str> = columns.iter().map(|(table, ..)| table.as_str()).collect();
    tables.dedup();
    // Disables the schema's own checks.
    execute(&mut admin, "SET session_replication_role = replica; CREATE SCHEMA saved".to_owned())
        .await;
    let checks = "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) \
        FROM pg_constraint
        WHERE connamespace = 'event_store'::regnamespace AND contype = 'c'";
    for check in sqlx::query_scalar::<_, String>(checks).fetch_all(&mut admin).await.unwrap() {
        execute(&mut admin, check).await;
    }
    for table in &tables {
        let table = *table;
        execute(&mut admin, format!("CREATE TABLE saved.{table} AS TABLE event_store.{table}"))
            .await;
        let own = || columns.iter().filter(|(of, ..)| of == table);
        let names = own().map(|(_, column, ..)| column.as_str()).collect::<Vec<_>>().join(", ");
        let values =
            own().map(
                |(_, column, data_type, unique)| {
                    if *unique { other_value(column, data_type) } else { column.clone() }
                },
            );
        if !is_not_told(table, "row taken away") {
            changes.push(format!("DELETE FROM event_store.{table} WHERE {}", row_of(table)));
        }
        if !is_not_told(table, "row put in") {
            let values = values.collect::<Vec<_>>().join(", ");
            changes.push(format!(
                "INSERT INTO event_store.{table} ({names}) SELECT {values} FROM \
                    event_store.{table} WHERE {}",
                row_of(table)
            ));
        }
    }
    assert!(changes.len() > 35, "{changes:#?}");
    let mut unnoticed = Vec::new();
    for change in changes {
        if !is_noticed(&mut admin, &tables, &change).await {
            unnoticed.push(change);
        }
    }
    assert!(unnoticed.is_empty(), "nothing was found after {unnoticed:#?}");
}

#[tokio::test]
async fn every_exception_is_of_the_schema_and_says_why() {
    let database = database().await;
    let columns = columns(&mut admin(database.url()).await).await;
    for (table, column, why) in NOT_TOLD_BY_THE_LOG {
        let known = |(of, name, ..): &Column| {
            of == table && (name == column || column == "*" || column.starts_with("row "))
        };
        assert!(columns.iter().any(known) && !why.is_empty(), "{table}.{column}");
    }
}

#[tokio::test]
async fn epochs_in_another_order_than_they_began_in_are_noticed() {
    let database = database().await;
    let store = connect(database.url()).await;
    fill(&store).await;
    let mut admin = admin(database.url()).await;
    begin_epoch(&mut admin, "a test", &[]).await.unwrap();
    let last = begin_epoch(&mut admin, "another test", &[]).await.unwrap();
    assert!(verify(&mut admin).await.unwrap().holds());
    // Neither epoch has an event or a record, so only their order can reveal this change.
    let back = "UPDATE event_store.epochs SET began_after = 3 WHERE epoch = $1";
    sqlx::query(back).bind(last.0).execute(&mut admin).await.unwrap();
    let found = verify(&mut admin).await.unwrap();
    assert!(
        found.findings.iter().any(|finding| finding.what.contains(&last.to_string())),
        "{found:#?}"
    );
}
