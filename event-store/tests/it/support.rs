//! Databases, appends and facts that the tests share.

use std::sync::atomic::{AtomicU64, Ordering};

use event_store::postgres::{migrate, schema_fingerprint};
use event_store::{
    Append, AppendOutcome, Appended, ClaimChange, ClaimHash, EventQuery, EventStore, ExpectedVersion, Filter, Idempotency,
    Metadata, NewEvent, Position, PostgresOptions, PostgresStore, QueryItem, Refusal, StreamAppend, StreamName,
};
use local_servers::TestDatabase;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use uuid::Uuid;

/// Makes two tests of each function, `in_postgres` and `in_memory`. They take the store in an `Arc`, or by reference after `&`.
macro_rules! on_both {
    (& $($name:ident)*) => {
        on_both! { @make |store| &store; $($name)* }
    };
    (@make |$store:ident| $given:expr; $($name:ident)*) => {
        mod in_postgres {
            $(#[tokio::test]
            async fn $name() {
                let database = crate::support::database().await;
                let $store = crate::support::connect(database.url()).await;
                super::$name($given).await;
            })*
        }
        mod in_memory {
            $(#[tokio::test]
            async fn $name() {
                let $store = event_store::MemoryStore::new();
                super::$name($given).await;
            })*
        }
    };
    ($($name:ident)*) => {
        on_both! { @make |store| std::sync::Arc::new(store); $($name)* }
    };
}
pub(crate) use on_both;

/// A fresh, migrated database.
pub(crate) async fn database() -> TestDatabase {
    TestDatabase::create("event_store", &schema_fingerprint(), |url| async move { Ok(migrate(&url).await?) }).await
}

pub(crate) fn options(url: &str) -> PostgresOptions {
    PostgresOptions::from_url(url).unwrap().application_name("event-store test").read_connections(4)
}

pub(crate) async fn connect(url: &str) -> PostgresStore {
    PostgresStore::connect(options(url)).await.unwrap()
}

pub(crate) fn stream(id: impl std::fmt::Display) -> StreamName {
    StreamName::new("thing", id).unwrap()
}

pub(crate) fn metadata() -> Metadata {
    Metadata { correlation_id: Uuid::nil(), causation_id: None, actor: None, traceparent: None }
}

pub(crate) fn event(event_type: &str) -> NewEvent {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let data = serde_json::json!({ "number": NUMBER.fetch_add(1, Ordering::Relaxed) });
    NewEvent::json(event_type.parse().unwrap(), 1, &data, metadata()).unwrap()
}

pub(crate) fn tagged(event_type: &str, tags: &[&str]) -> NewEvent {
    tags.iter().fold(event(event_type), |event, tag| event.tagged(tag.parse().unwrap()))
}

/// An append of events to one stream.
pub(crate) fn append_to(stream: StreamName, expected: ExpectedVersion, events: Vec<NewEvent>) -> Append {
    Append { streams: vec![StreamAppend { stream, expected, events }], ..Append::default() }
}

/// An append of one event to a stream in whatever version.
pub(crate) fn one(id: impl std::fmt::Display) -> Append {
    append_to(stream(id), ExpectedVersion::Any, vec![event("thing.happened")])
}

pub(crate) fn key(key: u8, request: u8, answer: &str) -> Idempotency {
    Idempotency { key: [key; 32], request_hash: [request; 32], answer: serde_json::from_str(answer).unwrap() }
}

pub(crate) fn claim(value: u8) -> ClaimHash {
    ClaimHash { scope: "thing.name".into(), hash: [value; 32] }
}

pub(crate) fn take(value: u8, owner: &str) -> ClaimChange {
    ClaimChange::Take { claim: claim(value), owner: stream(owner) }
}

pub(crate) fn release(value: u8, owner: &str) -> ClaimChange {
    ClaimChange::Release { claim: claim(value), owner: stream(owner) }
}

/// A query of one item.
pub(crate) fn query(types: &[&str], tags: &[&str]) -> EventQuery {
    EventQuery {
        items: vec![QueryItem {
            types: types.iter().map(|t| t.parse().unwrap()).collect(),
            tags: tags.iter().map(|t| t.parse().unwrap()).collect(),
        }],
    }
}

#[track_caller]
pub(crate) fn appended(outcome: AppendOutcome) -> Appended {
    match outcome {
        AppendOutcome::Appended(appended) => appended,
        other => panic!("not appended: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn refused(outcome: AppendOutcome) -> Refusal {
    match outcome {
        AppendOutcome::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn repeated(outcome: AppendOutcome) -> (Appended, String) {
    match outcome {
        AppendOutcome::Repeated { appended, answer } => (appended, answer.get().to_owned()),
        other => panic!("not repeated: {other:?}"),
    }
}

/// Reads the whole log and checks that positions and versions are dense (P1, P2).
pub(crate) async fn check_dense(store: &dyn EventStore) -> Position {
    let mut after = Position::START;
    let mut versions = std::collections::HashMap::<StreamName, i64>::new();
    let mut recorded_at = None;
    loop {
        let page = store.read(&Filter::All, after, 1_000).await.unwrap();
        if page.is_empty() {
            return after;
        }
        for event in page {
            assert_eq!(event.position, after.next(), "positions are dense");
            after = event.position;
            let version = versions.entry(event.stream.clone()).or_default();
            *version += 1;
            assert_eq!(event.version.0, *version, "versions of {} are dense", event.stream);
            assert!(recorded_at <= Some(event.recorded_at), "the clock of the log does not go back");
            recorded_at = Some(event.recorded_at);
        }
    }
}

/// A plain connection as whoever the URL names.
pub(crate) async fn plain(url: &str) -> PgConnection {
    let connect = url.parse::<PgConnectOptions>().unwrap();
    connect.options([("search_path", "pg_catalog, pg_temp")]).connect().await.unwrap()
}

/// The SQLSTATE of an error.
pub(crate) fn sqlstate(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.unwrap_or_else(|| panic!("not an error of the database: {error:?}")).into_owned()
}

/// Everything random in a test comes from the run's seed.
pub(crate) fn random() -> rand::rngs::StdRng {
    rand::SeedableRng::seed_from_u64(local_servers::test_run().seed)
}
