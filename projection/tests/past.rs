//! Tests that the past of rows has what took effect, and nothing of erased subjects, wherever it
//! becomes too large to be held until the end of a batch.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::cell::Cell;
use std::sync::Arc;

use event_store::encryption::MemoryKeys;
use event_store::erasure::{EraseRequest, erase};
use event_store::registry::Past;
use event_store::{MemoryStore, Metadata, NewEvent, RecordedEvent, Registry, StreamName};
use event_store::{Position, UpcastingLog};
use local_servers::TestDatabase;
use projection::runner::Watch;
use projection::test_kit::log_of;
use projection::{Incoming, Projection, Reason, Runner, Standing, generation, of, row};
use serde::{Deserialize, Serialize};
use service_kit::clock;
use service_kit::health::Health;
use sqlx::types::Json;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

/// More than a batch holds of the past before it saves it.
const TOO_MUCH: usize = 5 * 1_024 * 1_024;
const SHELF: Uuid = Uuid::from_u128(1);

thread_local! {
    /// How many entries of private state were copied in this thread, which is the test's own.
    static COPIES: Cell<usize> = const { Cell::new(0) };
}

/// The private state of a row: how much each event brought.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Brought(Vec<usize>);

impl Clone for Brought {
    fn clone(&self) -> Self {
        COPIES.set(COPIES.get() + self.0.len());
        Self(self.0.clone())
    }
}

/// Shelves of a person, with what lies on them.
struct Shelves;

row! {
    #[derive(Debug, Clone, serde::Serialize)]
    struct Shelf in shelves by (id: Uuid) {
        owner: Option<String>,
        load: String,
        brought: Json<Brought> => private,
        position: i64,
    }
}

impl Projection for Shelves {
    const NAME: &'static str = "shelves";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = "
        CREATE TABLE shelves (id uuid PRIMARY KEY, owner text, load text NOT NULL,
            brought jsonb NOT NULL, position bigint NOT NULL);
        CREATE TABLE shelves_history (LIKE shelves, event_id uuid NOT NULL,
            event_type text NOT NULL, event_version bigint NOT NULL,
            event_at timestamptz NOT NULL, event_by text, PRIMARY KEY (id, position))";
    const INDEXES: &'static str = "";
    const PERSONAL: &'static [&'static str] = &["owner"];
    const HISTORY: bool = true;
    type Event = (Uuid, usize);
    type Key = Uuid;
    type Row = Shelf;

    fn handles() -> Vec<&'static str> {
        vec!["shelf.filled"]
    }

    fn read(event: &RecordedEvent) -> Option<Result<(Uuid, usize), Reason>> {
        Some(event.decode().map_err(Into::into))
    }

    fn keys((shelf, _): &(Uuid, usize)) -> Vec<Uuid> {
        vec![*shelf]
    }

    fn fold(
        shelf: &Uuid,
        row: Option<Shelf>,
        incoming: &Incoming<(Uuid, usize)>,
    ) -> Result<Shelf, Reason> {
        let (_, bytes) = incoming.event;
        if bytes == 0 {
            return Err("nothing cannot be put on a shelf".into());
        }
        let mut brought = row.map(|row| row.brought).unwrap_or_default();
        brought.0.0.push(bytes);
        let (owner, load) = (Some("Ada".to_owned()), "x".repeat(bytes));
        Ok(Shelf { id: *shelf, owner, load, brought, position: incoming.position.0 })
    }

    fn rows_of_subject(subject: Uuid) -> Option<Vec<Uuid>> {
        Some(vec![subject])
    }

    fn blank(row: &mut Shelf, erased: &Incoming<Uuid>) {
        if row.id == erased.event {
            (row.owner, row.position) = (None, erased.position.0);
        }
    }
}

/// An event that was written in one, and is now two.
const TWICE: &[Past] =
    &[(("shelf.filled_twice", 1), &[("shelf.filled", 1), ("shelf.filled", 1)], |data| {
        let both: [serde_json::Value; 2] =
            serde_json::from_value(data).map_err(|_| "it is not a pair")?;
        Ok(both.into_iter().map(|one| ("shelf.filled", one)).collect())
    })];

fn event(event_type: &str, data: &impl Serialize) -> (StreamName, NewEvent) {
    let metadata = Metadata::new(SHELF);
    let event = NewEvent::json(event_type.parse().unwrap(), 1, data, metadata).unwrap();
    (StreamName::new("shelf", SHELF).unwrap(), event)
}

fn filled(bytes: usize) -> (StreamName, NewEvent) {
    event("shelf.filled", &(SHELF, bytes))
}

/// A read model into which all events of the log were projected, in one batch.
async fn projected(store: Arc<MemoryStore>, head: i64) -> TestDatabase {
    let nothing = |_| async { Ok(()) };
    let database = TestDatabase::create("projection_kit", "empty", nothing).await;
    let (options, projections) = (database.url().parse().unwrap(), vec![of::<Shelves>()]);
    generation::migrate(&options, &projections).await.unwrap();
    let registry = Registry::new([("shelf.filled", 1)], TWICE.iter().copied()).unwrap();
    let log = UpcastingLog::new(store, Arc::new(registry));
    let watch = Watch::new(&Health::new(), clock::system());
    let mut runner = Runner::new(log, options, projections, None, watch);
    let standings = runner.run_once().await.unwrap();
    let Standing::At(mark) = &standings[0].1 else { panic!("{standings:?}") };
    assert_eq!(mark.position, Position(head));
    runner.give_up().await;
    database
}

async fn ask<T>(database: &TestDatabase, statement: &'static str) -> T
where
    T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
{
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_split_event_that_is_refused_leaves_nothing_of_itself_in_the_past() {
    let half_refused = event("shelf.filled_twice", &((SHELF, TOO_MUCH), (SHELF, 0)));
    let database = projected(log_of(vec![filled(TOO_MUCH), half_refused]).await, 2).await;
    let parked = "SELECT array_agg(position ORDER BY position) FROM read_model.parked";
    assert_eq!(ask::<Vec<i64>>(&database, parked).await, [2]);
    let past = "SELECT array_agg(position ORDER BY position) FROM read_model.shelves_history";
    assert_eq!(ask::<Vec<i64>>(&database, past).await, [1]);
}

#[tokio::test]
async fn an_erasure_blanks_the_past_that_its_own_batch_has_saved_before_it() {
    let store = log_of(vec![filled(TOO_MUCH), filled(TOO_MUCH)]).await;
    let request = EraseRequest { subject: SHELF, by: "ops".to_owned() };
    erase(store.as_ref(), &MemoryKeys::new(), &request).await.unwrap();
    let database = projected(store, 3).await;
    let owners = "SELECT array_agg(owner ORDER BY position) FROM read_model.shelves_history";
    assert_eq!(ask::<Vec<Option<String>>>(&database, owners).await, [None, None, None]);
}

#[tokio::test]
async fn p7_the_past_leaves_private_state_out_without_a_copy_of_it_for_each_event() {
    let (events, before) = (60, COPIES.get());
    let database = projected(log_of((1..=events).map(filled).collect()).await, 60).await;
    let copies = COPIES.get() - before;
    assert!(copies < events, "{copies} entries of private state were copied for {events} events");
    let abridged = "SELECT count(*) FROM read_model.shelves_history WHERE brought = '[]'";
    assert_eq!(ask::<i64>(&database, abridged).await, 60);
    let kept = "SELECT jsonb_array_length(brought) FROM read_model.shelves";
    assert_eq!(ask::<i32>(&database, kept).await, 60, "the row itself has it");
}
