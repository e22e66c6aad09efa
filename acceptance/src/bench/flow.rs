//! A flow of events through the library's public API: as many as the projector follows, or so many
//! a second.

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

/// How many writers there are, each with a life of its own.
const WRITERS: u64 = 16;
/// How often a writer looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How fast events come.
#[derive(Clone)]
pub(super) enum Speed {
    /// As fast as they can be written.
    Full,
    /// As fast as this position follows: no further ahead of it than so many events.
    Following(Arc<AtomicI64>, i64),
    /// So many a second, whatever happens.
    PerSecond(f64),
}

/// Writers, kept between rounds.
pub(super) struct Flow {
    store: PostgresStore,
    mixes: Vec<Mix>,
    /// About how many events an append has.
    events: usize,
}

/// What a round of writing did.
pub(super) struct Written {
    /// How many events.
    pub(super) events: u64,
    /// In so many seconds.
    pub(super) seconds: f64,
    /// The share of the time that writers waited for the projector.
    pub(super) waited: f64,
}

/// What the writers of a round share.
struct Round {
    speed: Speed,
    end: Instant,
    /// The newest position.
    head: AtomicI64,
    events: AtomicU64,
    /// At most so many; a round may end by that.
    most: u64,
    waited: AtomicU64,
}

impl Flow {
    /// Appends of at least so many events each.
    pub(super) async fn new(url: &str, events: usize) -> anyhow::Result<Self> {
        let store =
            PostgresStore::connect(PostgresOptions::from_url(url)?.application_name("bench"))
                .await?;
        Ok(Self { store, mixes: (0..WRITERS).map(Mix::new).collect(), events })
    }

    /// The same log with appends of at least so many events.
    pub(super) const fn with_appends_of(mut self, events: usize) -> Self {
        self.events = events;
        self
    }

    /// Writes for so long, or until so many events are written.
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

    /// Until the next append, of so many events, may be sent.
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
                // Writers spread over the interval, at random; what is late is made up for.
                *due += interval.mul_f64(rand::random_range(0.5..1.5));
                tokio::time::sleep_until((*due).min(self.end)).await;
            }
        }
    }
}

/// The events by stream, in the order in which streams first come.
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
            metadata: Metadata {
                correlation_id: id,
                causation_id: None,
                actor: None,
                traceparent: None,
            },
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
