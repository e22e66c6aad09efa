//! Reads the ends of streams in rounds, as appends are sent in batches: the reads of this process
//! that come while a round is in flight share the next one. A round is one statement.
//!
//! A command reads a few streams from the versions that it knows. Nearly always nothing is there,
//! or a few events, so the statement costs much more than its rows.
//!
//! - A read joins a round that has not begun. It sees everything that was committed before it.
//! - No read waits for a timer. If no round is in flight, one begins at once.
//! - A round that takes longer than [`PATIENCE`] does not delay others: the next one begins
//!   meanwhile.
//! - Rounds are small at first. They grow while they are short, and shrink on a slow server, where
//!   many streams in one statement could take longer than a statement may. The wait for a
//!   connection does not count: when connections are scarce, small rounds would make it worse.
//! - A stream with more than [`SHORT`] new events, or more than [`SHORT_BYTES`], is left to a read
//!   of its own. So a round has at most a few MiB.
//! - A round whose connection breaks is repeated once, on another one: it would otherwise fail many
//!   reads at once. One of its reads gets the reason, as if it had read alone.
//! - A server that lacks the newest position that this process knows is behind: a standby, or a
//!   former primary. Its answers are not used, and its connections are replaced.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use postgres_kit::sqlstate::QUERY_CANCELED;
use postgres_kit::{Meaning, Pool, has_sqlstate, meaning};
use sqlx::postgres::PgConnection;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::continuity::Continuity;
use super::current::behind;
use super::read::Row;
use crate::stream::{StreamName, Version};
use crate::telemetry;

/// The maximum number of events of one stream in a round.
const SHORT: i64 = 16;
/// The maximum size of one stream's events in a round, in bytes.
const SHORT_BYTES: i64 = 32 * 1_024;
/// The maximum number of streams in one round.
const MAX_STREAMS: usize = 128;
/// The maximum number of streams in the first round.
const FIRST_STREAMS: usize = 8;
/// The time of a round up to which the next ones may be larger. It is far below the time limit of
/// a statement, and far above that of a round on a server that is only busy.
const SHORT_ROUND: Duration = Duration::from_millis(500);
/// The time of a round above which the next ones are smaller.
const LONG_ROUND: Duration = Duration::from_secs(1);
/// The maximum number of rounds in flight.
const MAX_ROWS: usize = 4;
/// The maximum number of reads that wait for a round. One more reads alone.
const MAX_WAITING: usize = 16_384;
/// The maximum time of a read, with its wait and its repeat.
const LIMIT: Duration = Duration::from_secs(14);
/// The time after which a round no longer delays the next one.
const PATIENCE: Duration = Duration::from_millis(50);

/// The end of a stream after a version.
#[derive(Debug)]
pub(super) enum Tail {
    /// All its events.
    Whole(Vec<Row>),
    /// It is too long for a round, or the round did not take place.
    Unread,
}

/// The reads that share rounds. Clones share them.
#[derive(Clone)]
pub(super) struct Tails {
    pool: Pool,
    continuity: Arc<Continuity>,
    gathered: Arc<Mutex<Gathered>>,
}

struct Gathered {
    waiting: Vec<Request>,
    /// The maximum number of streams in the next round.
    streams: usize,
    /// The rows of rounds: the id of each, and when its current round began.
    rows: Vec<(u64, Instant)>,
    last_id: u64,
}

/// The read of one stream.
struct Request {
    stream: String,
    after: i64,
    answer: oneshot::Sender<Answer>,
}

/// What a round answers to one of its reads.
enum Answer {
    Tail(Tail),
    /// The round failed for this reason. One read of a round gets it.
    Failed(sqlx::Error),
    /// The round failed, and only because of its connection.
    Again,
    /// The round failed, and a repeat would fail as well.
    Away,
}

/// A row of `sql/read_tails.sql`.
struct TailRow {
    /// The number of the read in its round, from 1. With 0, the server is behind.
    nth: i64,
    position: i64,
    version: i64,
    event_id: Uuid,
    recorded_at: DateTime<Utc>,
    schema_version: i32,
    stream: String,
    event_type: String,
    data: Option<String>,
    tags: Vec<String>,
    metadata: Option<String>,
    bytes: i32,
}

impl Gathered {
    /// Whether another row of rounds may begin: none is in flight, or all in flight are slow.
    fn may_begin(&self) -> bool {
        self.rows.len() < MAX_ROWS && self.rows.iter().all(|(_, began)| began.elapsed() > PATIENCE)
    }

    fn end(&mut self, row: u64) {
        self.rows.retain(|(id, _)| *id != row);
    }

    /// Learns from a round of this many streams how large the next ones may be.
    fn learn(&mut self, took: Duration, streams: usize) {
        if took > LONG_ROUND {
            self.streams = self.streams.min(streams.div_ceil(2));
        } else if took < SHORT_ROUND && streams == self.streams {
            self.streams = MAX_STREAMS.min(2 * streams);
        }
    }
}

/// A row of rounds: one after another, until nobody waits.
struct Rounds {
    tails: Tails,
    id: u64,
}

impl Drop for Rounds {
    /// Makes room for others, also after a panic.
    fn drop(&mut self) {
        self.tails.gathered().end(self.id);
    }
}

impl Rounds {
    /// Takes the reads of the next round. If nobody waits, this row ends: the next reader begins
    /// another.
    fn next(&self) -> Option<Vec<Request>> {
        let mut gathered = self.tails.gathered();
        gathered.waiting.retain(|request| !request.answer.is_closed());
        if gathered.waiting.is_empty() {
            gathered.end(self.id);
            return None;
        }
        let now = Instant::now();
        if let Some((_, began)) = gathered.rows.iter_mut().find(|(id, _)| *id == self.id) {
            *began = now;
        }
        let count = gathered.waiting.len().min(gathered.streams);
        Some(gathered.waiting.drain(..count).collect())
    }
}

impl Tails {
    pub(super) fn new(pool: Pool, continuity: Arc<Continuity>) -> Self {
        let (waiting, rows) = (Vec::new(), Vec::new());
        let gathered = Gathered { waiting, streams: FIRST_STREAMS, rows, last_id: 0 };
        Self { pool, continuity, gathered: Arc::new(Mutex::new(gathered)) }
    }

    /// Reads the events of a stream after a version.
    ///
    /// # Errors
    /// The read failed. `None` says that the server is away; another read has the reason.
    pub(super) async fn read(
        &self,
        stream: &StreamName,
        after: Version,
    ) -> Result<Tail, Option<sqlx::Error>> {
        let until = Instant::now() + LIMIT;
        let mut answer = self.read_once(stream, after, until).await;
        if matches!(answer, Answer::Again) {
            answer = self.read_once(stream, after, until).await;
        }
        match answer {
            Answer::Tail(tail) => Ok(tail),
            Answer::Failed(error) => Err(Some(error)),
            Answer::Again | Answer::Away => Err(None),
        }
    }

    async fn read_once(&self, stream: &StreamName, after: Version, until: Instant) -> Answer {
        let (answer, mut answered) = oneshot::channel();
        let request = Request { stream: stream.as_str().to_owned(), after: after.0, answer };
        if !self.join(request) {
            return Answer::Tail(Tail::Unread);
        }
        loop {
            match timeout(PATIENCE, &mut answered).await {
                // A round that panicked does not answer.
                Ok(answer) => return answer.unwrap_or(Answer::Tail(Tail::Unread)),
                Err(_) if Instant::now() >= until => return Answer::Away,
                Err(_) => self.begin_if_due(),
            }
        }
    }

    /// Adds a read to the next round. Returns false if too many wait.
    fn join(&self, request: Request) -> bool {
        {
            let mut gathered = self.gathered();
            if gathered.waiting.len() >= MAX_WAITING {
                return false;
            }
            gathered.waiting.push(request);
        }
        self.begin_if_due();
        true
    }

    /// Begins a row of rounds if reads wait and another row may begin.
    fn begin_if_due(&self) {
        let rounds = {
            let mut gathered = self.gathered();
            if gathered.waiting.is_empty() || !gathered.may_begin() {
                return;
            }
            gathered.last_id += 1;
            let id = gathered.last_id;
            gathered.rows.push((id, Instant::now()));
            Rounds { tails: self.clone(), id }
        };
        // Not under the lock: a runtime that shuts down drops the task here and now, and the end of
        // a row takes the lock.
        tokio::spawn(async move {
            // Readers that are ready to run come along.
            tokio::task::yield_now().await;
            while let Some(round) = rounds.next() {
                rounds.tails.run(round).await;
            }
        });
    }

    async fn run(&self, round: Vec<Request>) {
        let reads = round.len();
        let (streams, after): (Vec<&str>, Vec<i64>) =
            round.iter().map(|request| (request.stream.as_str(), request.after)).unzip();
        // Each reader knew at most this position when it joined.
        let known = self.continuity.position();
        let statement = sqlx::query_file_as!(
            TailRow,
            "sql/read_tails.sql",
            &streams as &[&str],
            &after,
            SHORT,
            SHORT_BYTES,
            known.0
        );
        telemetry::read_round(reads);
        let answered = self.pool.run(async move |raw: &mut PgConnection| {
            let began = Instant::now();
            let rows = statement.fetch_all(raw).await?;
            Ok::<_, sqlx::Error>((rows, began.elapsed()))
        });
        let answers = match answered.await {
            Ok((rows, _)) if rows.iter().any(|row| row.nth == 0) => {
                behind(&self.pool, known);
                (0..reads).map(|_| Answer::Again).collect()
            }
            Ok((rows, took)) => {
                self.gathered().learn(took, reads);
                read(rows, reads).into_iter().map(Answer::Tail).collect()
            }
            Err(error) => self.failed(error, reads),
        };
        for (request, answer) in round.into_iter().zip(answers) {
            // A reader that has left needs no answer.
            drop(request.answer.send(answer));
        }
    }

    /// The answers of a round that failed.
    fn failed(&self, error: sqlx::Error, reads: usize) -> Vec<Answer> {
        if matches!(meaning(&error), Meaning::Lost) {
            // The others may be broken, too, and the reads that are repeated take one of them.
            self.pool.doubt();
        }
        if has_sqlstate(&error, &[QUERY_CANCELED]) {
            self.gathered().learn(Duration::MAX, reads);
        }
        failed(error, reads)
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        // No code that holds the lock can leave the data half changed.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tails of a round, in the order of its reads.
fn read(rows: Vec<TailRow>, reads: usize) -> Vec<Tail> {
    let mut tails: Vec<Tail> = (0..reads).map(|_| Tail::Whole(Vec::new())).collect();
    for row in rows {
        let at = usize::try_from(row.nth - 1).ok().and_then(|at| tails.get_mut(at));
        let Some(tail) = at else { continue };
        match (row.into_row(), tail) {
            (Some(row), Tail::Whole(rows)) => rows.push(row),
            (_, tail) => *tail = Tail::Unread,
        }
    }
    for tail in &mut tails {
        if let Tail::Whole(rows) = tail {
            rows.sort_unstable_by_key(|row| row.version);
        }
    }
    tails
}

/// The answers of a round that failed. If it took too long for one statement, all read alone.
/// Otherwise one read gets the reason. The others are repeated if the connection broke, learn that
/// the server is away if that may pass, and otherwise read alone and see for themselves.
fn failed(error: sqlx::Error, reads: usize) -> Vec<Answer> {
    let unread = || Answer::Tail(Tail::Unread);
    if reads > 1 && has_sqlstate(&error, &[QUERY_CANCELED]) {
        return (0..reads).map(|_| unread()).collect();
    }
    let meaning = meaning(&error);
    let others = || match meaning {
        Meaning::Lost => Answer::Again,
        Meaning::Busy => Answer::Away,
        Meaning::Data | Meaning::Unusable => unread(),
    };
    let mut answers: Vec<Answer> = (1..reads).map(|_| others()).collect();
    answers.push(Answer::Failed(error));
    answers
}

impl TailRow {
    /// The row of the event. `None` if the event does not fit into the round.
    fn into_row(self) -> Option<Row> {
        Some(Row {
            position: self.position,
            version: self.version,
            event_id: self.event_id,
            recorded_at: self.recorded_at,
            schema_version: self.schema_version,
            stream: self.stream,
            event_type: self.event_type,
            data: self.data?,
            tags: self.tags,
            metadata: self.metadata?,
            bytes: self.bytes,
        })
    }
}

#[cfg(test)]
mod tests;
