//! Tests for projections of your own (feature `test-kit`).
//!
//! [`fold`] is for a fold's rules: given these events, what are the rows? It needs no database.
//! [`check`] holds a projection to what every projection promises, on a real Postgres: the same
//! rows whether events come one by one or all at once, and the same again after a verification's
//! replay and after a rebuild.

#![allow(clippy::panic, reason = "it fails tests")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use event_store::{
    Append, EventStore, ExpectedVersion, MemoryStore, NewEvent, RecordedEvent, Registry,
    StreamAppend, StreamName, UpcastingLog,
};
use postgres_kit::Connection;
use serde_json::Value;
use service_kit::clock;
use service_kit::health::Health;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnectOptions;

use crate::generation;
use crate::ops::rebuild::{self, Compared, End, Request};
use crate::ops::verify::{self, Scope};
use crate::ops::{Operations, Silent};
use crate::projection::{AnyProjection, Incoming, Origin, Projection, Reason};
use crate::replay::{MIB, ROW_MEMORY_MIB};
use crate::runner::{Runner, Watch};

/// How long connecting may take, and reading all rows.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// For how long a rebuild tries its switch.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why [`fold`] stopped.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The projection cannot read an event of a type that it handles.
    #[error("the event at position {position} cannot be read")]
    Unreadable {
        /// Where the event stands in the log.
        position: i64,
        /// What the projection says.
        #[source]
        source: Reason,
    },
    /// A row refuses an event. A running projector would park it.
    #[error("the row {key} refuses the event at position {position}")]
    Refused {
        /// Where the event stands in the log.
        position: i64,
        /// The row's key.
        key: String,
        /// What the fold says.
        #[source]
        source: Reason,
    },
}

/// The rows that these events come to, as JSON by key, without a database.
///
/// # Errors
/// [`FoldError`].
pub fn fold<P: Projection>(events: &[RecordedEvent]) -> Result<HashMap<String, Value>, FoldError> {
    let handled = P::handles();
    let mut rows: HashMap<String, P::Row> = HashMap::new();
    for recorded in events.iter().filter(|event| handled.contains(&event.event_type.as_str())) {
        let position = recorded.position.0;
        let Some(event) = P::read(recorded) else { continue };
        let event = event.map_err(|source| FoldError::Unreadable { position, source })?;
        let incoming = Incoming {
            event,
            position: recorded.position,
            version: recorded.version,
            fragment: recorded.fragment,
            recorded_at: recorded.recorded_at,
            origin: Origin::of(recorded),
        };
        for key in P::keys(&incoming.event) {
            let name = crate::projection::RowKey::text(&key);
            let row = P::fold(&key, rows.remove(&name), &incoming)
                .map_err(|source| FoldError::Refused { position, key: name.clone(), source })?;
            rows.insert(name, row);
        }
    }
    let shown = |row| serde_json::to_value(row).unwrap_or_else(|error| panic!("no JSON: {error}"));
    Ok(rows.into_iter().map(|(key, row)| (key, shown(row))).collect())
}

/// A log in memory that holds these events, in this order.
///
/// # Panics
/// The log refuses an event, as it does one of a closed stream.
pub async fn log_of(events: Vec<(StreamName, NewEvent)>) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    for (stream, event) in events {
        append(&store, stream, event).await;
    }
    store
}

/// Holds a projection to its promises, and answers with its rows as JSON.
///
/// `database` is the address of a database of this test alone; the read model's schema is made in
/// it. `registry` knows every shape of the events, which must not hold personal values.
///
/// - The rows are the same whether each event is projected by itself or all are in one batch.
/// - A verification finds no difference between the rows and the log.
/// - A rebuild, which fills the table by COPY, makes the same rows, and takes their place.
///
/// # Panics
/// One of these does not hold, or a server fails. The message says which.
pub async fn check(
    database: &str,
    projection: &Arc<dyn AnyProjection>,
    registry: Registry,
    events: Vec<(StreamName, NewEvent)>,
) -> Vec<Value> {
    let options: PgConnectOptions = works(database.parse(), "the database's address");
    let (name, registry) = (projection.name(), Arc::new(registry));
    works(
        generation::migrate(&options, std::slice::from_ref(projection)).await,
        "the read model's schema",
    );
    let store = Arc::new(MemoryStore::new());
    let log = UpcastingLog::new(Arc::clone(&store) as Arc<dyn EventStore>, registry);
    for (stream, event) in events {
        append(&store, stream, event).await;
        project(&options, projection, &log).await;
    }
    let by_itself = rows(&options, name).await;
    let operations = works(Operations::new(options.clone(), log, None).await, "the read model");
    matches_the_log(&operations, projection, "each event was projected by itself").await;
    rebuilds(&operations, projection).await;
    assert_eq!(rows(&options, name).await, by_itself, "{name}: rows after a rebuild, and before");
    matches_the_log(&operations, projection, "a rebuild").await;
    by_itself
}

/// Projects all that the log holds, and lets the partitions go.
async fn project(
    options: &PgConnectOptions,
    projection: &Arc<dyn AnyProjection>,
    log: &UpcastingLog,
) {
    let watch = Watch::new(&Health::new(), clock::system());
    let projections = vec![Arc::clone(projection)];
    let mut runner = Runner::new(log.clone(), options.clone(), projections, None, watch);
    works(runner.run_once().await, "projecting the log");
    runner.give_up().await;
}

async fn matches_the_log(
    operations: &Operations,
    projection: &Arc<dyn AnyProjection>,
    after: &str,
) {
    let scope =
        Scope { sample: None, seed: String::new(), memory: ROW_MEMORY_MIB * MIB, reveal: true };
    let found =
        works(verify::verify(operations, projection, &scope, &Silent).await, "a verification");
    let differences = found.differences;
    assert_eq!(
        differences.count(),
        0,
        "{}: after {after}, its rows are not what a replay of the log makes: {differences}",
        projection.name()
    );
}

async fn rebuilds(operations: &Operations, projection: &Arc<dyn AnyProjection>) {
    let request = Request {
        resume: false,
        operation: None,
        partitions: None,
        throttle: None,
        switch: true,
        compare: true,
        despite_differences: false,
        patience: PATIENCE,
        memory: ROW_MEMORY_MIB * MIB,
        reveal: true,
    };
    let rebuilt =
        works(rebuild::rebuild(operations, projection, &request, &Silent).await, "a rebuild");
    if let Some(Compared::Rows { differences, .. }) = &rebuilt.compared {
        let name = projection.name();
        assert_eq!(differences.count(), 0, "{name}: a rebuild makes other rows: {differences}");
    }
    assert!(matches!(rebuilt.end, End::Switched(_)), "the rebuild ended with {:?}", rebuilt.end);
}

/// The rows that queries see, as JSON, in the order of their text.
async fn rows(options: &PgConnectOptions, name: &str) -> Vec<Value> {
    let opened = Connection::open(options, CALL_LIMIT, CALL_LIMIT).await;
    let mut connection = works(opened, "a connection");
    // The name is the projection's own, which consists of letters, digits and underscores.
    let statement =
        format!("SELECT to_jsonb(shown) FROM read_model.{name} AS shown ORDER BY shown::text");
    let found = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&mut connection).await;
    works(found, "the rows")
}

async fn append(store: &MemoryStore, stream: StreamName, event: NewEvent) {
    let one = StreamAppend { stream, expected: ExpectedVersion::Any, events: vec![event] };
    let appended = store.append(Append { streams: vec![one], ..Append::default() }).await;
    let outcome = works(appended, "the append");
    assert!(
        matches!(outcome, event_store::AppendOutcome::Appended(_)),
        "the log refuses an event: {outcome:?}"
    );
}

fn works<T, E: Into<Reason>>(result: Result<T, E>, what: &str) -> T {
    result.unwrap_or_else(|error| {
        let error: Reason = error.into();
        let causes: Vec<String> =
            std::iter::successors(Some(&*error as &(dyn std::error::Error + 'static)), |cause| {
                cause.source()
            })
            .map(ToString::to_string)
            .collect();
        panic!("{what}: {}", causes.join(": "))
    })
}
