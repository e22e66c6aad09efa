//! The references: plain INSERTs of the same rows into tables of the same shape, with the same
//! driver.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::ensure;
use chrono::Utc;
use event_store::{EventStore, PostgresStore};
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use super::subject::{EVENT_TYPE, Sample};
use crate::bench::round::{Round, run};
use crate::bench::server::BenchDatabase;

type Doing = Pin<Box<dyn Future<Output = anyhow::Result<u64>> + Send>>;
type Worker = Box<dyn FnMut() -> Doing + Send>;

/// The next position for the references, like a sequence.
static NEXT: AtomicI64 = AtomicI64::new(1);

const ROWS: usize = 1_000;

/// The kind of one-row INSERT.
#[derive(Clone, Copy)]
pub(in crate::bench) enum Single {
    Tagged,
    Untagged,
}

/// Connections for one-row INSERTs. Both kinds share them, because they never run at the same time.
#[derive(Clone)]
pub(in crate::bench) struct Connections(Vec<Arc<Mutex<PgConnection>>>);

impl Connections {
    pub(in crate::bench) async fn open(
        database: &BenchDatabase,
        count: usize,
    ) -> anyhow::Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(Arc::new(Mutex::new(database.connect().await?)));
        }
        Ok(Self(connections))
    }
}

/// Connections that insert one row per statement.
pub(in crate::bench) struct Reference {
    workers: Vec<Worker>,
}

impl Reference {
    pub(in crate::bench) fn new(connections: &Connections, count: usize, kind: Single) -> Self {
        let worker = |connection: &Arc<Mutex<PgConnection>>| {
            let connection = Arc::clone(connection);
            // Each worker has its own connection, so the lock never blocks.
            let worker: Worker = Box::new(move || {
                let connection = Arc::clone(&connection);
                Box::pin(async move { insert_one(&mut *connection.lock().await, kind).await })
            });
            worker
        };
        Self { workers: connections.0.iter().take(count).map(worker).collect() }
    }

    pub(in crate::bench) async fn round(&mut self, seconds: f64) -> anyhow::Result<Round> {
        let (round, workers) = run(seconds, std::mem::take(&mut self.workers)).await?;
        self.workers = workers;
        Ok(round)
    }
}

#[expect(clippy::disallowed_methods, reason = "a value to insert")]
async fn insert_one(connection: &mut PgConnection, kind: Single) -> anyhow::Result<u64> {
    let sample = Sample::new();
    let statement = match kind {
        Single::Tagged => include_str!("insert_one.sql"),
        Single::Untagged => include_str!("insert_one_untagged.sql"),
    };
    sqlx::query(statement)
        .bind(NEXT.fetch_add(1, Ordering::Relaxed))
        .bind(1_i64)
        .bind(sample.id)
        .bind(Utc::now())
        .bind(1_i32)
        .bind(sample.stream)
        .bind(EVENT_TYPE)
        .bind(sample.data)
        .bind(vec![sample.tag])
        .bind(sample.metadata)
        .execute(connection)
        .await?;
    Ok(1)
}

/// One session that inserts 1,000 rows per statement.
pub(super) struct Bulk {
    workers: Vec<Worker>,
}

impl Bulk {
    pub(super) async fn connect(database: &BenchDatabase) -> anyhow::Result<Self> {
        let connection = Arc::new(Mutex::new(database.connect().await?));
        let worker: Worker = Box::new(move || {
            let connection = Arc::clone(&connection);
            Box::pin(async move { insert_many(&mut *connection.lock().await).await })
        });
        Ok(Self { workers: vec![worker] })
    }

    pub(in crate::bench) async fn round(&mut self, seconds: f64) -> anyhow::Result<Round> {
        let (round, workers) = run(seconds, std::mem::take(&mut self.workers)).await?;
        self.workers = workers;
        Ok(round)
    }
}

#[expect(clippy::disallowed_methods, reason = "a value to insert")]
async fn insert_many(connection: &mut PgConnection) -> anyhow::Result<u64> {
    let samples = (0..ROWS).map(|_| Sample::new()).collect::<Vec<_>>();
    let first = NEXT.fetch_add(i64::try_from(ROWS)?, Ordering::Relaxed);
    let texts = |of: fn(&Sample) -> &str| samples.iter().map(of).collect::<Vec<_>>();
    let done = sqlx::query(include_str!("insert_many.sql"))
        .bind((first..).take(ROWS).collect::<Vec<_>>())
        .bind(vec![1_i64; ROWS])
        .bind(samples.iter().map(|s| s.id).collect::<Vec<_>>())
        .bind(Utc::now())
        .bind(vec![1_i32; ROWS])
        .bind(texts(|s| &s.stream))
        .bind(vec![EVENT_TYPE; ROWS])
        .bind(texts(|s| &s.data))
        .bind(texts(|s| &s.tag))
        .bind(texts(|s| &s.metadata))
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

/// Checks the row counts: every acknowledged append exists once, the log has no gaps, and no INSERT
/// of a reference is missing.
pub(super) async fn check_rows(
    admin: &mut PgConnection,
    store: &PostgresStore,
    appended: u64,
) -> anyhow::Result<()> {
    let head = u64::try_from(store.head().await?.mark.position.0)?;
    ensure!(head == appended, "{appended} appends were acknowledged, and the head is {head}");
    let counts = sqlx::query_as::<_, (i64, i64, i64, i64)>(include_str!("count.sql"))
        .fetch_one(admin)
        .await?;
    let handed_out = NEXT.load(Ordering::Relaxed) - 1;
    ensure!(
        counts.0 == i64::try_from(appended)?,
        "the log has {} events, not {appended}",
        counts.0
    );
    ensure!(counts.1 == counts.0, "the log is not dense: {} events up to {}", counts.0, counts.1);
    ensure!(counts.2 == counts.0, "{} tags for {} events", counts.2, counts.0);
    ensure!(counts.3 == handed_out, "the references wrote {} rows of {handed_out}", counts.3);
    Ok(())
}
