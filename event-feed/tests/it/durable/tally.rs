//! A durable consumer with a database of its own: it writes one row per event. A repeated event
//! would be two rows, and a skipped one none.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_feed::Term;
use event_feed::consumer::{
    Advance, BoxError, Checkpoint, Checkpoints, Committed, HandleError, Handler,
};
use event_store::{Epoch, EventRef, Position, RecordedEvent};
use local_servers::TestDatabase;
use postgres_kit::Connection;
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::sync::Semaphore;
use uuid::Uuid;

const TABLES: &str = "
    CREATE TABLE checkpoint (
        name text PRIMARY KEY, term bigint NOT NULL, epoch uuid,
        position bigint NOT NULL DEFAULT 0, event_id uuid);
    CREATE TABLE effects (
        id bigint GENERATED ALWAYS AS IDENTITY, position bigint NOT NULL, data text NOT NULL)";
const LIMIT: Duration = Duration::from_mins(2);

/// The consumer's own database.
pub(super) async fn tally_database() -> TestDatabase {
    TestDatabase::create("tally", "1", |url| async move {
        let mut connection = PgConnection::connect(&url).await?;
        sqlx::raw_sql(TABLES).execute(&mut connection).await?;
        Ok(())
    })
    .await
}

/// Where a handler waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Before the checkpoint is loaded, when the lease is held already.
    Take,
    /// Before the checkpoint is loaded again after a failure.
    TakeAgain,
    /// Before the transaction.
    Begin,
    /// In the transaction, after the effects and the checkpoint, before the commit.
    Commit,
}

/// Holds a handler at a point until the test opens it.
#[derive(Debug)]
pub(super) struct Gate {
    at: At,
    reached: Semaphore,
    open: Semaphore,
}

impl Gate {
    pub(super) fn closed(at: At) -> Arc<Self> {
        Arc::new(Self { at, reached: Semaphore::new(0), open: Semaphore::new(0) })
    }

    /// Waits until the handler is at the gate.
    pub(super) async fn reached(&self) {
        local_servers::in_time("the handler at its gate", self.reached.acquire())
            .await
            .unwrap()
            .forget();
    }

    pub(super) fn open(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    async fn pass(&self, at: At) {
        if self.at == at {
            self.reached.add_permits(1);
            self.open.acquire().await.unwrap().forget();
        }
    }
}

/// What the tests see of a handler.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The number of events of each call, and how it ended.
    pub(super) calls: Mutex<VecDeque<(usize, Option<Committed>)>>,
    /// How often the checkpoint was to be loaded.
    pub(super) takes: AtomicUsize,
}

impl Seen {
    pub(super) fn calls(&self) -> Vec<(usize, Option<Committed>)> {
        self.calls.lock().unwrap().iter().copied().collect()
    }
}

/// The consumer.
#[derive(Debug)]
pub(super) struct Tally {
    url: String,
    connection: Option<Connection>,
    gate: Option<Arc<Gate>>,
    /// More events than this at once never end.
    pub(super) hangs_above: usize,
    /// Whether the answer of the first commit is lost.
    pub(super) loses_answer: bool,
    pub(super) seen: Arc<Seen>,
}

impl Tally {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            connection: None,
            gate: None,
            hangs_above: usize::MAX,
            loses_answer: false,
            seen: Arc::default(),
        }
    }

    pub(super) fn at(url: &str, gate: &Arc<Gate>) -> Self {
        Self { gate: Some(Arc::clone(gate)), ..Self::new(url) }
    }

    /// Takes the connection out, so that one that failed is not used again.
    async fn connection(&mut self) -> sqlx::Result<Connection> {
        match self.connection.take().filter(Connection::is_open) {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.url.parse()?, Duration::from_secs(3), LIMIT).await,
        }
    }

    async fn write(
        &mut self,
        events: &[RecordedEvent],
        advance: &Advance,
    ) -> sqlx::Result<Committed> {
        let gate = self.gate.clone();
        let rows: Vec<(i64, String)> =
            events.iter().map(|event| (event.position.0, event.data.get().to_owned())).collect();
        let Advance { from, to, term } = *advance;
        let work = async |raw: &mut PgConnection| {
            let mut transaction = raw.begin().await?;
            let moved = sqlx::query(
                "UPDATE checkpoint SET position = $1, event_id = $2, epoch = $3
                 WHERE name = 'tally' AND term = $4 AND position = $5",
            )
            .bind(to.at.position.0)
            .bind(to.at.event_id)
            .bind(to.epoch.map(|epoch| epoch.0))
            .bind(term.0)
            .bind(from.at.position.0)
            .execute(&mut *transaction)
            .await?;
            if moved.rows_affected() == 0 {
                transaction.rollback().await?;
                return Ok(Committed::Fenced);
            }
            for (position, data) in &rows {
                sqlx::query("INSERT INTO effects (position, data) VALUES ($1, $2)")
                    .bind(position)
                    .bind(data)
                    .execute(&mut *transaction)
                    .await?;
            }
            if let Some(gate) = &gate {
                gate.pass(At::Commit).await;
            }
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(Committed::Done)
        };
        let mut connection = self.connection().await?;
        let committed = connection.run(work).await?;
        self.connection = Some(connection);
        Ok(committed)
    }
}

impl Checkpoints for Tally {
    async fn take(&mut self, term: Term) -> Result<Option<Checkpoint>, BoxError> {
        let is_first = self.seen.takes.fetch_add(1, Ordering::Relaxed) == 0;
        if let Some(gate) = self.gate.clone() {
            gate.pass(if is_first { At::Take } else { At::TakeAgain }).await;
        }
        let mut connection = self.connection().await?;
        let row = sqlx::query(
            "INSERT INTO checkpoint AS c (name, term) VALUES ('tally', $1)
             ON CONFLICT (name) DO UPDATE SET term = $1 WHERE c.term <= $1
             RETURNING epoch, position, event_id",
        )
        .bind(term.0)
        .fetch_optional(&mut connection)
        .await?;
        self.connection = Some(connection);
        Ok(row.map(|row| Checkpoint {
            epoch: row.get::<Option<Uuid>, _>("epoch").map(Epoch),
            at: EventRef { position: Position(row.get("position")), event_id: row.get("event_id") },
        }))
    }
}

impl Handler for Tally {
    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        advance: &Advance,
    ) -> Result<Committed, HandleError> {
        let refused = events.iter().find(|event| event.data.get().contains("refuse me"));
        if let Some(event) = refused {
            return Err(HandleError::Refused(event.position, "it asks for it".into()));
        }
        assert!(events.iter().all(|event| !event.data.get().contains("panic")), "on purpose");
        if events.len() > self.hangs_above {
            self.seen.calls.lock().unwrap().push_back((events.len(), None));
            std::future::pending::<()>().await;
        }
        if let Some(gate) = self.gate.clone() {
            gate.pass(At::Begin).await;
        }
        let mut committed = self.write(events, advance).await;
        if std::mem::take(&mut self.loses_answer) {
            committed = Err(sqlx::Error::WorkerCrashed);
        }
        let seen = (events.len(), committed.as_ref().ok().copied());
        self.seen.calls.lock().unwrap().push_back(seen);
        committed.map_err(|error| HandleError::Retry(error.into()))
    }
}

/// The positions of all effects, in the order in which they were written.
pub(super) async fn effects(url: &str) -> Vec<i64> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT position FROM effects ORDER BY id")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

/// The payloads of all effects.
pub(super) async fn payloads(url: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT data FROM effects ORDER BY id")
        .fetch_all(&mut connection)
        .await
        .unwrap()
}

/// The position and the epoch of the checkpoint.
pub(super) async fn checkpoint(url: &str) -> (i64, Option<Uuid>) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let row = sqlx::query_as("SELECT position, epoch FROM checkpoint");
    row.fetch_optional(&mut connection).await.unwrap().unwrap_or_default()
}
