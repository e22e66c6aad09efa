//! Tests that rebuilds of a projection whose rows of a subject are found by a query follow
//! erasures.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event_store::encryption::MemoryKeys;
use event_store::erasure::{EraseRequest, erase};
use event_store::{Append, EventStore, ExpectedVersion, StreamAppend};
use event_store::{MemoryStore, Metadata, NewEvent, RecordedEvent, Registry, StreamName};
use event_store::{UpcastingLog, Vault};
use local_servers::TestDatabase;
use projection::ops::rebuild::{End, Request, rebuild};
use projection::ops::{Operations, Silent};
use projection::runner::Watch;
use projection::{Incoming, Projection, Reason, Runner, add, generation, of, row};
use serde_json::Value;
use service_kit::clock;
use service_kit::health::Health;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

const ADA: Uuid = Uuid::from_u128(1);
const BOB: Uuid = Uuid::from_u128(2);

/// Notes, each with what its writer is called.
struct Notes;

row! {
    #[derive(Debug, Clone, serde::Serialize)]
    struct Note in notes by (id: Uuid) {
        writer: Uuid,
        writer_name: Option<String>,
        changes: i64,
        position: i64,
    }
}

#[async_trait]
impl Projection for Notes {
    const NAME: &'static str = "notes";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = "CREATE TABLE notes (id uuid PRIMARY KEY, writer uuid NOT NULL,
        writer_name text, changes bigint NOT NULL, position bigint NOT NULL)";
    const INDEXES: &'static str = "";
    const PERSONAL: &'static [&'static str] = &["writer_name"];
    type Event = (Uuid, Uuid);
    type Key = Uuid;
    type Row = Note;

    fn handles() -> Vec<&'static str> {
        vec!["note.written"]
    }

    fn read(event: &RecordedEvent) -> Option<Result<(Uuid, Uuid), Reason>> {
        Some(event.decode().map_err(Into::into))
    }

    fn keys((note, _): &(Uuid, Uuid)) -> Vec<Uuid> {
        vec![*note]
    }

    fn fold(
        note: &Uuid,
        row: Option<Note>,
        incoming: &Incoming<(Uuid, Uuid)>,
    ) -> Result<Note, Reason> {
        let changes = add(row.as_ref().map_or(0, |row| row.changes), 1)?;
        let name = row.map_or(Some("Ada".to_owned()), |row| row.writer_name);
        let (writer, position) = (incoming.event.1, incoming.position.0);
        Ok(Note { id: *note, writer, writer_name: name, changes, position })
    }

    fn rows_of_subject(_: Uuid) -> Option<Vec<Uuid>> {
        None
    }

    async fn rows_of(connection: &mut PgConnection, subjects: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
        sqlx::query_scalar("SELECT id FROM notes WHERE writer = ANY($1)")
            .bind(subjects)
            .fetch_all(connection)
            .await
    }

    fn blank(row: &mut Note, erased: &Incoming<Uuid>) {
        if row.writer == erased.event {
            (row.writer_name, row.position) = (None, erased.position.0);
        }
    }
}

async fn written(store: &MemoryStore, note: u128, writer: Uuid) {
    let data = (Uuid::from_u128(note), writer);
    let metadata = Metadata::new(writer);
    let event = NewEvent::json("note.written".parse().unwrap(), 1, &data, metadata).unwrap();
    let (stream, expected) = (StreamName::new("note", data.0).unwrap(), ExpectedVersion::Any);
    let streams = vec![StreamAppend { stream, expected, events: vec![event] }];
    store.append(Append { streams, ..Append::default() }).await.unwrap();
}

async fn rows(url: &str, generation: i32) -> Vec<Value> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let statement = format!("SELECT to_jsonb(n) FROM notes_g{generation}.notes AS n ORDER BY id");
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&mut connection).await.unwrap()
}

#[tokio::test]
async fn p7_a_rebuild_finds_the_rows_of_an_erased_subject_in_its_memory_and_its_tables() {
    let (store, keys) = (Arc::new(MemoryStore::new()), MemoryKeys::new());
    for note in 1..20 {
        written(&store, note, if note % 3 == 0 { BOB } else { ADA }).await;
    }
    let request = EraseRequest { subject: ADA, by: "ops".to_owned() };
    erase(store.as_ref(), &keys, &request).await.unwrap();
    for note in (1..20).step_by(2) {
        written(&store, note, if note % 3 == 0 { BOB } else { ADA }).await;
    }
    let nothing = |_| async { Ok(()) };
    let database = TestDatabase::create("projection_kit", "empty", nothing).await;
    let (url, notes) = (database.url(), of::<Notes>());
    generation::migrate(&url.parse().unwrap(), std::slice::from_ref(&notes)).await.unwrap();
    let registry = Arc::new(Registry::new([("note.written", 1)], []).unwrap());
    let log = UpcastingLog::new(store, registry);
    let watch = Watch::new(&Health::new(), clock::system());
    let options = url.parse().unwrap();
    let mut live = Runner::new(log.clone(), options, vec![Arc::clone(&notes)], None, watch);
    live.run_once().await.unwrap();
    live.give_up().await;
    let first = rows(url, 1).await;
    let named = first.iter().filter(|row| !row["writer_name"].is_null()).count();
    assert!(named > 0 && named < first.len(), "{first:?}");

    let vault: Option<Arc<Vault>> = None;
    let operations = Operations::new(url.parse().unwrap(), log, vault).await.unwrap();
    for (generation, memory) in [(2, 64 * 1_024 * 1_024), (3, 0)] {
        let request = Request {
            resume: false,
            partitions: None,
            throttle: None,
            switch: true,
            compare: true,
            despite_differences: false,
            patience: Duration::from_secs(10),
            memory,
            reveal: true,
            operation: None,
        };
        let rebuilt = rebuild(&operations, &notes, &request, &Silent).await.unwrap();
        assert!(matches!(rebuilt.end, End::Switched(_)), "{memory} bytes: {rebuilt:?}");
        assert_eq!(rows(url, generation).await, first, "{memory} bytes");
    }
}
