//! Fills logs through the library's public API. They have streams of ten events that are spread
//! over the log like those of concurrent work, ten event types, room tags shared by many events,
//! one unique tag per event, and one long stream.

use std::time::Instant;

use anyhow::{Context, bail};
use event_store::{
    Append, AppendOutcome, EventStore, EventType, ExpectedVersion, Metadata, NewEvent, Position,
    PostgresOptions, PostgresStore, StreamAppend, StreamName, Tag,
};
use serde_json::value::RawValue;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::say;
use super::server::BenchDatabase;

/// The number of events in each stream except the long one.
pub(super) const STREAM_EVENTS: u64 = 10;
/// The number of event types, which are equally frequent.
const KINDS: u64 = 10;
pub(super) const LONG_STREAM: &str = "bench-long";
/// The number of streams in one append, each with one event.
const STREAMS: u64 = 250;
/// The number of events that one append adds to the long stream.
const LONG: u64 = 100;
const WRITERS: u64 = 8;
/// The size of an event's JSON, in bytes.
const DATA_BYTES: usize = 250;

/// The size of the data that stream reads touch, compared with the server's buffers.
const SIZE: &str = "SELECT format('%s of events, %s of their index by stream; the server has %s \
    of shared buffers',
        pg_size_pretty(pg_relation_size('event_store.events')), \
        pg_size_pretty(pg_relation_size('event_store.events_stream_version')),
        current_setting('shared_buffers'))";

/// The content of a filled log.
#[derive(Clone, Copy)]
pub(super) struct Fill {
    /// The minimum number of events in streams of ten.
    pub(super) events: u64,
    /// The number of rooms. Each event has the tag of one room.
    pub(super) rooms: u64,
    /// Whether to add a long stream with a twentieth of the events.
    pub(super) long: bool,
}

/// A log in a separate database.
pub(super) struct FilledLog {
    pub(super) store: PostgresStore,
    /// The number of streams of ten.
    pub(super) streams: u64,
    /// The last initial event.
    pub(super) last: Position,
    database: BenchDatabase,
}

impl FilledLog {
    /// Creates the database and fills it.
    pub(super) async fn create(server: &str, what: Fill) -> anyhow::Result<Self> {
        let database = BenchDatabase::create(server).await?;
        event_store::postgres::migrate(database.url()).await?;
        let mut admin = database.connect().await?;
        let store = PostgresStore::connect(
            PostgresOptions::from_url(database.url())?.application_name("bench"),
        )
        .await?;
        let started = Instant::now();
        let streams = fill(&store, what).await?;
        let filled = started.elapsed().as_secs_f64();
        settle(&mut admin).await?;
        let last = store.head().await?.mark.position;
        let size: String = sqlx::query_scalar(SIZE).fetch_one(&mut admin).await?;
        say(&format!("{last} events, appended in {filled:.1} s: {size}"))?;
        admin.close().await?;
        Ok(Self { store, streams, last, database })
    }

    /// The server's settings that affect the results.
    pub(super) async fn settings(&self) -> anyhow::Result<String> {
        self.database.settings().await
    }

    /// Waits until the server has written its pending data.
    pub(super) async fn at_rest(&self) -> anyhow::Result<()> {
        self.database.settle().await
    }

    /// Opens a plain connection to the database.
    pub(super) async fn connect(&self) -> anyhow::Result<PgConnection> {
        self.database.connect().await
    }

    /// Drops the database.
    pub(super) async fn drop(self) -> anyhow::Result<()> {
        drop(self.store);
        self.database.drop().await
    }
}

async fn fill(store: &PostgresStore, what: Fill) -> anyhow::Result<u64> {
    // A group is ten consecutive appends, each with one event for each of its streams.
    let groups = what.events.div_ceil(STREAMS * STREAM_EVENTS);
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            for group in (writer..groups).step_by(usize::try_from(WRITERS)?) {
                for nth in 0..STREAM_EVENTS {
                    append(&store, what, group, nth).await?;
                }
            }
            anyhow::Ok(())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await??;
    }
    Ok(groups * STREAMS)
}

async fn append(store: &PostgresStore, what: Fill, group: u64, nth: u64) -> anyhow::Result<()> {
    let mut streams = Vec::new();
    for number in group * STREAMS..(group + 1) * STREAMS {
        let events = vec![event(number + nth, what.rooms)?];
        streams.push(StreamAppend {
            stream: stream(number)?,
            expected: ExpectedVersion::Any,
            events,
        });
    }
    // Only one writer uses the long stream, because two would wait for each other.
    if what.long && group.is_multiple_of(WRITERS) {
        let events =
            (0..LONG).map(|number| event(number, what.rooms)).collect::<anyhow::Result<_>>()?;
        streams.push(StreamAppend {
            stream: LONG_STREAM.parse()?,
            expected: ExpectedVersion::Any,
            events,
        });
    }
    match store
        .append(Append { streams, ..Append::default() })
        .await
        .context("the log cannot be filled")?
    {
        AppendOutcome::Appended(_) => Ok(()),
        outcome => bail!("the log cannot be filled: {outcome:?}"),
    }
}

/// The name of a stream of ten.
pub(super) fn stream(number: u64) -> anyhow::Result<StreamName> {
    Ok(StreamName::new("bench", number)?)
}

fn event(number: u64, rooms: u64) -> anyhow::Result<NewEvent> {
    let id = Uuid::now_v7();
    let start = format!("{{\"id\":\"{id}\",\"text\":\"");
    let filler = "x".repeat(DATA_BYTES - start.len() - 2);
    Ok(NewEvent {
        id,
        event_type: format!("bench.kind_{}", number % KINDS).parse::<EventType>()?,
        schema_version: 1,
        data: RawValue::from_string(format!("{start}{filler}\"}}"))?,
        tags: vec![Tag::new("bench", id)?, Tag::new("room", number % rooms)?],
        metadata: Metadata::new(id),
    })
}

/// Brings the server to rest after a load: rows are frozen and analysed, and pages are written, so
/// that no background work disturbs a measurement.
async fn settle(admin: &mut PgConnection) -> anyhow::Result<()> {
    for statement in [
        "VACUUM (FREEZE, ANALYZE) event_store.events",
        "VACUUM (FREEZE, ANALYZE) event_store.tags",
        "CHECKPOINT",
    ] {
        sqlx::raw_sql(statement)
            .execute(&mut *admin)
            .await
            .with_context(|| format!("{statement} failed"))?;
    }
    Ok(())
}
