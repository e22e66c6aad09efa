//! A read model of its own for each test, a log of a shop's random life, and what the read tables then hold.

use std::sync::Arc;

use domain::DomainEvent;
use event_store::{
    Append, EventStore, ExpectedVersion, Filter, MemoryStore, Metadata, NewEvent, Position, RecordedEvent, StreamAppend,
    StreamName, Tag,
};
use local_servers::TestDatabase;
use projector::runner::Watch;
use projector::{Runner, Standing};
use serde_json::Value;
use service_kit::clock;
use service_kit::health::Health;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

pub(crate) mod life;

/// A migrated read model.
pub(crate) async fn read_model() -> TestDatabase {
    TestDatabase::create(
        "projector_read_model",
        &projector::schema_fingerprint(),
        |url| async move { projector::migrate(&url).await },
    )
    .await
}

pub(crate) fn watch() -> Watch {
    Watch::new(&Health::new(), clock::system())
}

pub(crate) async fn runner(store: Arc<dyn EventStore>, url: &str) -> Runner {
    Runner::new(store, url.parse().unwrap(), projector::projections::all(), None, watch()).await.unwrap()
}

/// One event for the log: its stream, and itself with its tags.
pub(crate) type Happening = (StreamName, NewEvent);

pub(crate) fn happening(category: &str, id: Uuid, event: &impl DomainEvent) -> Happening {
    happening_of(category, id, event.event_type(), event.schema_version(), event, event.tags())
}

pub(crate) fn happening_of(
    category: &str,
    id: Uuid,
    event_type: &str,
    version: i32,
    data: &impl serde::Serialize,
    tags: Vec<(&'static str, Uuid)>,
) -> Happening {
    let metadata = Metadata { correlation_id: id, causation_id: None, actor: None, traceparent: None };
    let mut event = NewEvent::json(event_type.parse().unwrap(), version, data, metadata).unwrap();
    event.tags = tags.into_iter().map(|(key, value)| Tag::new(key, value).unwrap()).collect();
    (StreamName::new(category, id).unwrap(), event)
}

pub(crate) async fn append(store: &dyn EventStore, happenings: Vec<Happening>) {
    for (stream, event) in happenings {
        let streams = vec![StreamAppend { stream, expected: ExpectedVersion::Any, events: vec![event] }];
        store.append(Append { streams, ..Append::default() }).await.unwrap();
    }
}

/// A log in memory in which all this has happened.
pub(crate) async fn log_of(happenings: Vec<Happening>) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    append(store.as_ref(), happenings).await;
    store
}

pub(crate) async fn everything(store: &dyn EventStore) -> Vec<RecordedEvent> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    loop {
        let after = events.last().map_or(Position::START, |event| event.position);
        let page = store.read(&Filter::All, after, 1_000).await.unwrap();
        if page.is_empty() {
            return events;
        }
        events.extend(page);
    }
}

/// Every row of every read table and where the checkpoints are, in one snapshot.
pub(crate) async fn contents(url: &str) -> Value {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(include_str!("support/contents.sql")).fetch_one(&mut connection).await.unwrap()
}

/// What the rows are when a fresh read model folds the whole log.
pub(crate) async fn refolded(store: Arc<dyn EventStore>) -> Value {
    let database = read_model().await;
    let head = store.head().await.unwrap().mark;
    let standings = runner(store, database.url()).await.run_once().await.unwrap();
    assert!(standings.iter().all(|(_, standing)| *standing == Standing::At(head)), "{standings:?}");
    contents(database.url()).await
}
