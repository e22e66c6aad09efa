//! A read model of its own for each test, a log of a shop's random life, and what the read tables
//! then hold.

use std::sync::Arc;

use domain::DomainEvent;
use event_store::encryption::{LocalMasterKeys, SubjectKeyStore, Vault, VaultOptions};
use event_store::postgres::keys;
use event_store::{
    Append, EventStore, ExpectedVersion, Filter, MemoryStore, Metadata, NewEvent, Position,
    PostgresOptions, PostgresStore, RecordedEvent, Registry, StreamAppend, StreamName, Tag,
    UpcastingLog,
};
use local_servers::TestDatabase;
pub(crate) use local_servers::until;
use projection::runner::Watch;
use projection::{Runner, Split, Standing};
use serde_json::Value;
use service_kit::clock;
use service_kit::health::Health;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

pub(crate) mod admin;
pub(crate) mod feed;
pub(crate) mod fragile;
pub(crate) mod golden;
pub(crate) mod ledger;
pub(crate) mod life;
pub(crate) mod process;
pub(crate) mod silence;
pub(crate) mod tight;
pub(crate) mod tokens;

/// A migrated read model.
pub(crate) async fn read_model() -> TestDatabase {
    TestDatabase::create(
        "projector_read_model",
        &projector::schema_fingerprint(),
        |url| async move { projector::migrate(&url).await },
    )
    .await
}

/// A migrated read model, event store and store of subject keys in one database.
pub(crate) async fn whole_database() -> TestDatabase {
    let log = event_store::postgres::schema_fingerprint();
    let fingerprint =
        format!("{} {log} {}", projector::schema_fingerprint(), keys::schema_fingerprint());
    TestDatabase::create("projector_whole", &fingerprint, |url| async move {
        event_store::postgres::migrate(&url).await?;
        keys::migrate(&url).await?;
        projector::migrate(&url).await
    })
    .await
}

pub(crate) async fn postgres_store(url: &str) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::connect(PostgresOptions::from_url(url).unwrap()).await.unwrap())
}

/// Runs one statement that answers with one value.
pub(crate) async fn ask<T>(url: &str, statement: &'static str) -> T
where
    T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
{
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap()
}

/// Runs one statement about this, that answers with one value.
pub(crate) async fn ask_about<T>(url: &str, statement: &'static str, what: &str) -> T
where
    T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
{
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(statement).bind(what).fetch_one(&mut connection).await.unwrap()
}

/// Runs one statement.
pub(crate) async fn tell(url: &str, statement: &'static str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
}

/// Waits until every checkpoint is at this position.
pub(crate) async fn until_all_at(url: &str, position: i64) {
    until("every projection at the head", || async {
        ask::<i64>(url, "SELECT min(position) FROM read_model.checkpoints").await == position
    })
    .await;
}

pub(crate) fn watch() -> Watch {
    Watch::new(&Health::new(), clock::system())
}

/// The log as the shop's programs read it.
pub(crate) fn log(store: Arc<dyn EventStore>) -> UpcastingLog {
    UpcastingLog::new(store, Arc::new(projector::projections::registry().unwrap()))
}

/// The names of all projections.
pub(crate) fn projections() -> Vec<&'static str> {
    projector::projections::all().iter().map(|projection| projection.name()).collect()
}

/// The names of those that may be split.
pub(crate) fn split_projections() -> Vec<&'static str> {
    let all = projector::projections::all();
    let split = all.iter().filter(|projection| matches!(projection.split(), Split::ByKey(_)));
    split.map(|projection| projection.name()).collect()
}

/// The shop's history, in which these events were written another way before.
pub(crate) fn registry_with(past: &'static [domain::history::Past]) -> Registry {
    let all = domain::history::PAST.iter().chain(past).copied();
    Registry::new(domain::history::current(), all).unwrap()
}

pub(crate) fn runner(store: Arc<dyn EventStore>, url: &str) -> Runner {
    Runner::new(log(store), url.parse().unwrap(), projector::projections::all(), None, watch())
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
    let metadata = Metadata::new(id);
    let mut event = NewEvent::json(event_type.parse().unwrap(), version, data, metadata).unwrap();
    event.tags = tags.into_iter().map(|(key, value)| Tag::new(key, value).unwrap()).collect();
    (StreamName::new(category, id).unwrap(), event)
}

pub(crate) async fn append(store: &dyn EventStore, happenings: Vec<Happening>) {
    for (stream, event) in happenings {
        let streams =
            vec![StreamAppend { stream, expected: ExpectedVersion::Any, events: vec![event] }];
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
    let statement: String = sqlx::query_scalar(include_str!("support/contents.sql"))
        .bind(projections())
        .fetch_one(&mut connection)
        .await
        .unwrap();
    sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(&mut connection).await.unwrap()
}

/// Keys in memory, under a master key that all tests share.
pub(crate) fn vault(keys: &Arc<dyn SubjectKeyStore>) -> Arc<Vault> {
    let master = LocalMasterKeys::parse(&process::MASTER_KEY.into()).unwrap();
    Vault::new(Arc::clone(keys), Arc::new(master), VaultOptions::default())
}

/// What the rows are when a fresh read model and a fresh process with these keys fold the whole
/// log.
pub(crate) async fn replayed_with(
    store: Arc<dyn EventStore>,
    keys: &Arc<dyn SubjectKeyStore>,
) -> Value {
    let database = read_model().await;
    let head = store.head().await.unwrap().mark;
    let standings = runner(store, database.url()).revealing(vault(keys)).run_once().await.unwrap();
    assert!(standings.iter().all(|(_, standing)| *standing == Standing::At(head)), "{standings:?}");
    contents(database.url()).await
}

/// What the rows are when a fresh read model folds the whole log.
pub(crate) async fn replayed(store: Arc<dyn EventStore>) -> Value {
    let database = read_model().await;
    let head = store.head().await.unwrap().mark;
    let standings = runner(store, database.url()).run_once().await.unwrap();
    assert!(standings.iter().all(|(_, standing)| *standing == Standing::At(head)), "{standings:?}");
    contents(database.url()).await
}
