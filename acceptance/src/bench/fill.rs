//! Logs to measure, filled through the library's public API: streams of ten events that lie apart
//! as those of many at work do, ten event types, rooms whose tag so many events share, a tag of its
//! own for each event, and one long stream.

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

/// Events of each stream but the long one.
pub(super) const STREAM_EVENTS: u64 = 10;
/// Event types, each of so many events.
const KINDS: u64 = 10;
pub(super) const LONG_STREAM: &str = "bench-long";
/// Streams of one append, each with one event.
const STREAMS: u64 = 250;
/// Events of the long stream in each append of the writer that adds to it.
const LONG: u64 = 100;
const WRITERS: u64 = 8;
/// Bytes of the JSON of one event.
const DATA_BYTES: usize = 250;

/// What reading streams touches, next to what the server has to hold it.
const SIZE: &str = "SELECT format('%s of events, %s of their index by stream; the server has %s \
    of shared buffers',
        pg_size_pretty(pg_relation_size('event_store.events')), \
        pg_size_pretty(pg_relation_size('event_store.events_stream_version')),
        current_setting('shared_buffers'))";

/// What a log is filled with.
#[derive(Clone, Copy)]
pub(super) struct Fill {
    /// At least so many events in streams of ten.
    pub(super) events: u64,
    /// Each event has the tag of one of so many rooms.
    pub(super) rooms: u64,
    /// Whether there is a long stream besides, of a twentieth of the events.
    pub(super) long: bool,
}

/// A log in a database of its own.
pub(super) struct FilledLog {
    pub(super) store: PostgresStore,
    /// How many streams of ten it has.
    pub(super) streams: u64,
    /// The last event that it was filled with.
    pub(super) last: Position,
    database: BenchDatabase,
}

impl FilledLog {
    /// Makes the database and fills it.
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

    /// The server's settings that figures depend on.
    pub(super) async fn settings(&self) -> anyhow::Result<String> {
        self.database.settings().await
    }

    /// Lets the server write out what it has left to write.
    pub(super) async fn at_rest(&self) -> anyhow::Result<()> {
        self.database.settle().await
    }

    /// A plain connection to it.
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
    // A group is what stands in ten appends after each other: one event for each of its streams in
    // each of them.
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
    // Two writers at the long stream would wait for each other.
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
        metadata: Metadata {
            correlation_id: id,
            causation_id: None,
            actor: None,
            traceparent: None,
        },
    })
}

/// Lets the server come to rest after a load: rows frozen and counted, pages written, nothing left
/// to do behind a measurement.
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
