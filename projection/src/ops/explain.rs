//! Explains a row: lists the events that made it, with the row after each, or shows the row as it
//! was at an earlier moment.
//!
//! It replays the log as a verification does, but for one key only. So it also works for a wrong
//! row: it shows what the row should be, and after which event it diverged.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use event_store::{Filter, Position, RecordedEvent};
use futures::StreamExt as _;
use postgres_kit::Connection;
use serde_json::{Map, Value};
use sqlx::PgConnection;

use super::{Operations, Progress, Work};
use crate::projection::{AnyProjection, Only, Parking, Traced};
use crate::replay::compare::hide_personal;
use crate::replay::{RANGE, READ_AHEAD, ReplayError, Source};
use crate::runner::parked;

/// A moment in the log.
#[derive(Debug, Clone, Copy)]
pub enum AsOf {
    /// After the event at this position.
    Position(Position),
    /// After the last event recorded at or before this time.
    Time(DateTime<Utc>),
}

/// The row to explain, and the options.
#[derive(Debug, Clone)]
pub struct Question {
    /// The row's key as people write it: the columns of the primary key joined by `/`, such as
    /// `1997-01-02/USD`.
    pub key: String,
    /// The moment at which to stop; by default the log's head.
    pub as_of: Option<AsOf>,
    /// Whether to show personal values.
    pub reveal: bool,
}

/// An event that changed the row, and the row after it.
#[derive(Debug)]
pub struct Step {
    /// The stored event.
    pub event: RecordedEvent,
    /// The index of the fragment, if an upcaster splits the event.
    pub fragment: u32,
    /// The columns of the row after the event.
    pub row: Map<String, Value>,
}

/// Why a row could not be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The read model's database failed.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// The log could not be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The text is not a key of the projection's rows.
    #[error("{1:?} is not a key of {0}")]
    NotAKey(&'static str, String),
    /// The row does not exist, or did not exist at that moment.
    #[error("no event made a row {1} of {0}")]
    NoRow(&'static str, String),
    /// The log ends before the given position.
    #[error("the log ends at position {1}, before {0}")]
    BehindHead(Position, Position),
    /// The row could not be written as JSON.
    #[error("the row could not be written as JSON")]
    Json(#[from] serde_json::Error),
    /// A step could not be shown.
    #[error("input or output failed")]
    Output(#[from] io::Error),
}

/// Explains a row. Calls `show` with each event that changed it, in log order, and returns the
/// final row.
///
/// # Errors
/// [`ExplainError`], including any error of `show`.
pub async fn explain(
    operations: &Operations,
    projection: &Arc<dyn AnyProjection>,
    question: &Question,
    progress: &dyn Progress,
    show: impl FnMut(&Step) -> io::Result<()> + Send,
) -> Result<Map<String, Value>, ExplainError> {
    let name = projection.name();
    let key = projection.key(&question.key);
    let key = key.ok_or_else(|| ExplainError::NotAKey(name, question.key.clone()))?;
    let source = operations.source(projection);
    let end = end(&source, question.as_of).await?;
    let mut explaining = Explaining {
        projection: projection.as_ref(),
        source: &source,
        connection: operations.connect().await?,
        reveal: question.reveal,
        progress,
        show,
        last: None,
    };
    explaining.run(key, end).await?;
    explaining.last.ok_or_else(|| ExplainError::NoRow(name, question.key.clone()))
}

/// The last position to replay.
async fn end(source: &Arc<Source>, as_of: Option<AsOf>) -> Result<Position, ExplainError> {
    let head = source.head().await?.mark.position;
    match as_of {
        None => Ok(head),
        Some(AsOf::Position(position)) if position > head => {
            Err(ExplainError::BehindHead(position, head))
        }
        Some(AsOf::Position(position)) => Ok(position),
        Some(AsOf::Time(time)) => {
            // Times never decrease as positions rise, so binary search works.
            let (mut by, mut after) = (Position::START, head.next());
            while after.0 - by.0 > 1 {
                let middle = Position(by.0.midpoint(after.0));
                let event = event_at(source, middle).await?;
                *(if event.recorded_at <= time { &mut by } else { &mut after }) = middle;
            }
            Ok(by)
        }
    }
}

async fn event_at(source: &Arc<Source>, position: Position) -> Result<RecordedEvent, ReplayError> {
    let events = source.store().read(&Filter::All, Position(position.0 - 1), 1).await?;
    events
        .into_iter()
        .find(|event| event.position == position)
        .ok_or(ReplayError::OtherHistory(position))
}

struct Explaining<'a, S> {
    projection: &'a dyn AnyProjection,
    source: &'a Arc<Source>,
    connection: Connection,
    reveal: bool,
    progress: &'a dyn Progress,
    show: S,
    /// The latest row.
    last: Option<Map<String, Value>>,
}

impl<S: FnMut(&Step) -> io::Result<()> + Send> Explaining<'_, S> {
    async fn run(&mut self, key: String, end: Position) -> Result<(), ExplainError> {
        // One row needs no tables. If it is written anyway, it goes to temporary tables that
        // nothing else sees.
        sqlx::raw_sql("SET search_path = pg_temp").execute(&mut self.connection).await?;
        sqlx::raw_sql(self.projection.tables()).execute(&mut self.connection).await?;
        let mut rows = self.projection.rows(Only::Key(key), usize::MAX);
        // Skipped events are also skipped here.
        let name = self.projection.name();
        let skips = self
            .connection
            .run(async |raw: &mut PgConnection| parked::skips(raw, name).await)
            .await?;
        let mut parking = Parking::new(HashSet::new(), skips, 0).careful();
        self.progress.begins(Work::Reading, Position::START, end);
        let mut pages = self.source.pages(Position::START, end, (RANGE, READ_AHEAD));
        while let Some(page) = pages.next().await {
            let page = page?;
            let fold =
                async |raw: &mut PgConnection| rows.fold(raw, page.prepared, &mut parking).await;
            self.connection.run(fold).await.map_err(ReplayError::from)?;
            self.progress.at(page.to, end);
            for step in rows.take_trace() {
                self.step(step?).await?;
            }
        }
        self.progress.ends();
        Ok(())
    }

    async fn step(&mut self, step: Traced) -> Result<(), ExplainError> {
        let Value::Object(mut row) = step.row else { return Ok(()) };
        if !self.reveal {
            hide_personal(self.projection, &mut row);
        }
        let event = event_at(self.source, step.position).await?;
        let step = Step { event, fragment: step.fragment, row };
        (self.show)(&step)?;
        self.last = Some(step.row);
        Ok(())
    }
}
