//! Writes events through the library's public API, as fast as the projector follows or at a fixed
//! rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use event_store::{
    Append, AppendOutcome, EventStore, ExpectedVersion, Metadata, NewEvent, PostgresOptions,
    PostgresStore, StreamAppend,
};
use serde_json::value::RawValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::mix::{Event, Mix};

/// The number of writers. Each writes its own history.
const WRITERS: u64 = 16;
/// How often a waiting writer checks whether it may continue.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The rate of events.
#[derive(Clone)]
pub(super) enum Speed {
    /// As fast as possible.
    Full,
    /// As fast as this position follows: at most this many events ahead of it.
    Following(Arc<AtomicI64>, i64),
    /// This many events per second, regardless of the projector.
    PerSecond(f64),
}

/// The writers, which are kept between rounds.
pub(super) struct Flow {
    store: PostgresStore,
    mixes: Vec<Mix>,
    /// The approximate number of events per append.
    events: usize,
}

/// The result of a round of writing.
pub(super) struct Written {
    /// The number of events.
    pub(super) events: u64,
    /// The duration in seconds.
    pub(super) seconds: f64,
    /// The share of the time that writers waited for the projector.
    pub(super) waited: f64,
}

/// The state that the writers of a round share.
struct Round {
    speed: Speed,
    end: Instant,
    /// The newest position.
    head: AtomicI64,
    events: AtomicU64,
    /// The maximum number of events, which may end a round early.
    most: u64,
    waited: AtomicU64,
}

impl Flow {
    /// Creates writers whose appends have at least this many events.
    pub(super) async fn new(url: &str, events: usize) -> anyhow::Result<Self> {
        let store =
            PostgresStore::connect(PostgresOptions::from_url(url)?.application_name("bench"))
                .await?;
        Ok(Self { store, mixes: (0..WRITERS).map(Mix::new).collect(), events })
    }

    /// The same log, with appends of at least this many events.
    pub(super) const fn with_appends_of(mut self, events: usize) -> Self {
        self.events = events;
        self
    }

    /// Writes for this long, or until this many events are written.
    pub(super) async fn run(
        &mut self,
        speed: Speed,
        limit: Duration,
        most: u64,
    ) -> anyhow::Result<Written> {
        let started = Instant::now();
        let head = AtomicI64::new(self.store.head().await?.mark.position.0);
        let (events, waited) = (AtomicU64::new(0), AtomicU64::new(0));
        let round = Arc::new(Round { speed, end: started + limit, head, events, most, waited });
        let writers = std::mem::take(&mut self.mixes).into_iter().map(|mix| {
            let (round, store, events) = (Arc::clone(&round), self.store.clone(), self.events);
            tokio::spawn(async move { round.write(&store, mix, events).await })
        });
        for writer in writers.collect::<Vec<_>>() {
            self.mixes.push(writer.await??);
        }
        let seconds = started.elapsed().as_secs_f64();
        let waited = Duration::from_micros(round.waited.load(Ordering::Relaxed)).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "few")]
        let waited = waited / (seconds * WRITERS as f64);
        Ok(Written { events: round.events.load(Ordering::Relaxed), seconds, waited })
    }
}

impl Round {
    async fn write(
        &self,
        store: &PostgresStore,
        mut mix: Mix,
        events: usize,
    ) -> anyhow::Result<Mix> {
        let mut due = Instant::now();
        while Instant::now() < self.end && self.events.load(Ordering::Relaxed) < self.most {
            while mix.made.len() < events {
                mix.decide();
            }
            let made = std::mem::take(&mut mix.made);
            let count = made.len();
            self.wait(&mut due, count).await;
            let append = Append { streams: streams(made)?, ..Append::default() };
            match store.append(append).await.context("an append failed")? {
                AppendOutcome::Appended(appended) => {
                    self.head.fetch_max(appended.last.position.0, Ordering::Relaxed)
                }
                outcome => bail!("not appended: {outcome:?}"),
            };
            self.events.fetch_add(count.try_into()?, Ordering::Relaxed);
        }
        Ok(mix)
    }

    /// Waits until the next append, with this many events, may be sent.
    async fn wait(&self, due: &mut Instant, count: usize) {
        match &self.speed {
            Speed::Full => {}
            Speed::Following(position, ahead) => {
                let began = Instant::now();
                while self.head.load(Ordering::Relaxed) - position.load(Ordering::Relaxed) > *ahead
                    && Instant::now() < self.end
                {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                let waited = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.waited.fetch_add(waited, Ordering::Relaxed);
            }
            Speed::PerSecond(rate) => {
                #[expect(clippy::cast_precision_loss, reason = "few")]
                let interval = Duration::from_secs_f64(count as f64 * WRITERS as f64 / rate);
                // Writers are spread randomly over the interval, and catch up when late.
                *due += interval.mul_f64(rand::random_range(0.5..1.5));
                tokio::time::sleep_until((*due).min(self.end)).await;
            }
        }
    }
}

/// Groups the events by stream, in order of first appearance.
fn streams(made: Vec<Event>) -> anyhow::Result<Vec<StreamAppend>> {
    let mut streams: Vec<StreamAppend> = Vec::new();
    for Event { stream, kind, data, tags, .. } in made {
        let id = Uuid::now_v7();
        let event = NewEvent {
            id,
            event_type: kind.parse()?,
            schema_version: 1,
            data: RawValue::from_string(data.to_string())?,
            tags: tags.split(' ').map(str::parse).collect::<Result<_, _>>()?,
            metadata: Metadata::new(id),
        };
        match streams.iter_mut().find(|known| known.stream.as_str() == stream) {
            Some(known) => known.events.push(event),
            None => streams.push(StreamAppend {
                stream: stream.parse()?,
                expected: ExpectedVersion::Any,
                events: vec![event],
            }),
        }
    }
    Ok(streams)
}
