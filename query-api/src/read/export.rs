//! Exports: reads a whole list and hands it on piece by piece, so that its size costs no memory.
//!
//! All pages are read in one transaction at REPEATABLE READ, so an export shows one position,
//! however long it takes. Such a transaction keeps vacuum from removing what changed since, and a
//! replica may end it to go on with its replay. So an export has a time limit, and its reader has
//! one for each piece. Exports have connections and places of their own: however slowly they are
//! read, other questions go on.

use std::time::Duration;

use bytes::Bytes;
use postgres_kit::{Pool, within};
use serde_json::Value;
use service_kit::Problem;
use service_kit::consistency::ConsistencyToken;
use service_kit::http::RateKey;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::failure::ReadError;
use super::reader::{MAX_TRIES, forget_plans, rolled_back};
use super::seen::{self, Seen};
use super::{Asked, Read};
use crate::database::ANSWER_LIMIT;
use crate::page::{Page, PageRequest, PageStart};
use crate::place::{Held, PlaceKind, Places};

/// The number of rows that are read and held at once.
pub(super) const CHUNK_ROWS: u32 = 200;
/// The maximum number of bytes of one piece.
const PIECE_BYTES: usize = 64 * 1024;
/// The maximum time until the reader takes the next piece. It then reads fewer than 6.4 kB/s.
pub(crate) const TAKE_LIMIT: Duration = Duration::from_secs(10);
/// The number of pieces that wait for the reader, besides the one that it has.
const QUEUED_PIECES: usize = 1;

/// The places of exports.
static EXPORTS: PlaceKind = PlaceKind {
    gauge: "exports_active",
    of_client: ("too-many-exports-of-client", "You have too many exports in progress"),
    of_all: ("too-many-exports", "Too many exports are in progress"),
    retry_after_seconds: 10,
};

/// The places, connections and time limit of exports. Clones share them.
#[derive(Debug, Clone)]
pub struct Exports {
    pool: Pool,
    places: Places,
    limit: Duration,
}

/// A list to export: how to ask for a page, and how to write its rows.
pub(crate) struct Whole<Q, S, T> {
    /// Makes the question for a page.
    pub(crate) question: Q,
    /// The sort of the list.
    pub(crate) sort: S,
    /// The key of a row in this sort. The next page starts after it.
    pub(crate) key: fn(&T, S) -> Value,
    /// Writes the rows of a page.
    pub(crate) write: Write<T>,
}

/// Writes rows as bytes.
pub(crate) type Write<T> = Box<dyn Fn(Vec<T>) -> Result<Vec<u8>, WriteError> + Send + Sync>;

/// The error of a row that cannot be written.
pub(crate) type WriteError = Box<dyn std::error::Error + Send + Sync>;

/// An export that has begun.
#[derive(Debug)]
pub(crate) struct Export {
    /// The position and state of the data behind all pages. It is stale if any row of the
    /// projections is.
    pub(crate) seen: Seen,
    pieces: mpsc::Receiver<Sent>,
}

/// What the task of an export sends to its reader.
#[derive(Debug)]
enum Sent {
    Piece(Bytes),
    /// That was all. Without it, the export was cut off.
    End,
}

/// How an export ended after it had begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All rows were read and sent.
    Complete,
    /// There is no such list.
    Absent,
    /// The reader hung up.
    HungUp,
    /// The reader took no piece for [`TAKE_LIMIT`].
    SlowReader,
    /// The time limit of the export was reached.
    TimeLimit,
}

impl End {
    const fn label(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Absent => "absent",
            Self::HungUp => "hung_up",
            Self::SlowReader => "slow_reader",
            Self::TimeLimit => "time_limit",
        }
    }
}

/// The export ended before all rows were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the export was cut off")]
pub(crate) struct CutOff;

impl Export {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`CutOff`] if there is more, but it does not come.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, CutOff> {
        match self.pieces.recv().await {
            Some(Sent::Piece(piece)) => Ok(Some(piece)),
            Some(Sent::End) => Ok(None),
            None => Err(CutOff),
        }
    }
}

impl Exports {
    /// At most `at_once` exports at once, and `per_client` of them of one client, each for at most
    /// `limit`. `pool` must have as many connections.
    pub fn new(pool: &Pool, (at_once, per_client): (u32, u32), limit: Duration) -> Self {
        metrics::describe_gauge!("exports_active", "Exports in progress");
        metrics::describe_counter!("exports_total", "Exports that ended, by outcome");
        let places = Places::new(&EXPORTS, at_once as usize, per_client as usize);
        // The last page may take longer, and its transaction ends after it.
        let pool = pool.with_limit(limit + 2 * ANSWER_LIMIT);
        Self { pool, places, limit }
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.pool.with_limit(ANSWER_LIMIT).close().await;
    }

    /// Takes a place for an export of this client.
    ///
    /// # Errors
    /// 429 if the client has too many exports, 503 if the process has.
    pub(crate) fn take(&self, client: RateKey) -> Result<Held, Problem> {
        self.places.take(client)
    }

    /// Begins to export a list. Returns `None` if there is no such list.
    ///
    /// The first rows are read already, so most of what can fail has not failed.
    ///
    /// # Errors
    /// [`ReadError`] says why the first rows cannot be read.
    pub(crate) async fn begin<R, S, T>(
        &self,
        place: Held,
        whole: Whole<impl Fn(PageRequest<S>) -> R + Send + Sync + 'static, S, T>,
        token: Option<ConsistencyToken>,
    ) -> Result<Option<Export>, ReadError>
    where
        R: Read,
        R::Answer: Into<Option<Page<T>>>,
        S: Copy + Send + Sync + 'static,
        T: Send + 'static,
    {
        let (begun, beginning) = oneshot::channel();
        let (sender, pieces) = mpsc::channel(QUEUED_PIECES);
        let deadline = Instant::now() + self.limit;
        let reader = Reader { begun: Some(begun), pieces: sender, deadline };
        let exports = self.clone();
        let task = tokio::spawn(async move {
            exports.run(&whole, token, reader).await;
            drop(place);
        });
        match beginning.await {
            Ok(begun) => Ok(begun?.map(|seen| Export { seen, pieces })),
            // The task has ended without a word.
            Err(_) => Err(task
                .await
                .err()
                .map_or(ReadError::SnapshotLost, |error| ReadError::Panicked(error.into()))),
        }
    }

    /// Exports in one transaction. Before anything was sent, it tries again with another one if
    /// tables were switched or the connection broke.
    async fn run<R, S, T>(
        &self,
        whole: &Whole<impl Fn(PageRequest<S>) -> R + Send + Sync, S, T>,
        token: Option<ConsistencyToken>,
        mut reader: Reader,
    ) where
        R: Read,
        R::Answer: Into<Option<Page<T>>>,
        S: Copy + Send + Sync,
        T: Send,
    {
        let (mut tries, mut was_broken) = (0, false);
        let ended = loop {
            tries += 1;
            let work = async |connection: &mut PgConnection| {
                let ended = in_transaction(connection, whole, token, &mut reader).await;
                if matches!(ended, Err(ReadError::PlanChanged)) {
                    forget_plans(connection).await?;
                }
                ended
            };
            match self.pool.run(work).await {
                Err(ReadError::PlanChanged) if reader.begun.is_some() && tries < MAX_TRIES => {}
                Err(error)
                    if error.is_broken_connection() && reader.begun.is_some() && !was_broken =>
                {
                    was_broken = true;
                    self.pool.doubt();
                }
                ended => break ended,
            }
        };
        let outcome = match ended {
            Ok(End::Complete) => reader.send(Sent::End).await.err().unwrap_or(End::Complete),
            Ok(end) => end,
            Err(error) => return reader.fail(error),
        };
        metrics::counter!("exports_total", "outcome" => outcome.label()).increment(1);
    }
}

/// The way to the reader of an export.
struct Reader {
    /// Taken when the export has begun.
    begun: Option<oneshot::Sender<Result<Option<Seen>, ReadError>>>,
    pieces: mpsc::Sender<Sent>,
    /// When the export must end.
    deadline: Instant,
}

impl Reader {
    /// Says that the export has begun, or that there is no such list.
    fn begin(&mut self, seen: Option<Seen>) -> Result<(), End> {
        match self.begun.take().map(|begun| begun.send(Ok(seen))) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(End::HungUp),
        }
    }

    /// Says why there is no export, or cuts it off.
    fn fail(self, error: ReadError) {
        metrics::counter!("exports_total", "outcome" => "failed").increment(1);
        match self.begun {
            // If the reader hung up, nobody needs the reason.
            Some(begun) => drop(begun.send(Err(error))),
            None => error.log(),
        }
    }

    async fn send(&self, sent: Sent) -> Result<(), End> {
        let now = Instant::now();
        if now >= self.deadline {
            return Err(End::TimeLimit);
        }
        let taken = timeout_at(self.deadline.min(now + TAKE_LIMIT), self.pieces.send(sent)).await;
        match taken {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::HungUp),
            Err(_) if Instant::now() >= self.deadline => Err(End::TimeLimit),
            Err(_) => Err(End::SlowReader),
        }
    }

    async fn send_all(&self, mut bytes: Bytes) -> Result<(), End> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(PIECE_BYTES));
            self.send(Sent::Piece(piece)).await?;
        }
        Ok(())
    }
}

async fn in_transaction<R, S, T>(
    connection: &mut PgConnection,
    whole: &Whole<impl Fn(PageRequest<S>) -> R + Send + Sync, S, T>,
    token: Option<ConsistencyToken>,
    reader: &mut Reader,
) -> Result<End, ReadError>
where
    R: Read,
    R::Answer: Into<Option<Page<T>>>,
    S: Copy + Send + Sync,
    T: Send,
{
    let not_begun = match within(ANSWER_LIMIT, connection.begin_with(R::BEGIN)).await {
        Ok(mut transaction) => return pages(&mut transaction, whole, token, reader).await,
        Err(not_begun) => not_begun,
    };
    // A server that was silent may stay so.
    within(ANSWER_LIMIT, async { Err(rolled_back(connection, not_begun).await) }).await
}

/// Reads and sends all pages of a list.
async fn pages<R, S, T>(
    snapshot: &mut PgConnection,
    whole: &Whole<impl Fn(PageRequest<S>) -> R + Send + Sync, S, T>,
    token: Option<ConsistencyToken>,
    reader: &mut Reader,
) -> Result<End, ReadError>
where
    R: Read,
    R::Answer: Into<Option<Page<T>>>,
    S: Copy + Send + Sync,
    T: Send,
{
    let Whole { question, sort, key, write } = whole;
    let mut start = PageStart::First;
    loop {
        let question = question(PageRequest { sort: *sort, start, size: CHUNK_ROWS });
        let Asked { data, checkpoints } = within(ANSWER_LIMIT, question.ask(snapshot)).await?;
        let seen = seen::shown(&checkpoints, &question.scopes(), token.as_ref())?;
        let page: Option<Page<T>> = data.into();
        let Some(page) = page else {
            return Ok(reader.begin(None).err().unwrap_or(End::Absent));
        };
        let next = page.rows.last().filter(|_| page.has_more).map(|row| key(row, *sort));
        let bytes = write(page.rows).map_err(ReadError::NotWritten)?;
        let sent = match reader.begin(Some(seen)) {
            Ok(()) => reader.send_all(bytes.into()).await,
            Err(end) => Err(end),
        };
        match (sent, next) {
            (Err(end), _) => return Ok(end),
            (Ok(()), None) => return Ok(End::Complete),
            (Ok(()), Some(key)) => start = PageStart::After(key),
        }
    }
}
