//! Questions for rows as they were: as of a moment, and event by event.
//!
//! The projector keeps the past of some rows in the table `<projection>_history`, written by the
//! same fold (`projection/src/projection/past.rs`). So a question as of a moment is one lookup in
//! an index, whatever the length of the log, and needs neither the event store nor a fold here.
//! A past row shows what `projector explain --as-of` shows.

use access::Scope;
use chrono::{DateTime, Utc};
use postgres_kit::Columns;
use postgres_kit::macros::next;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::statement::{CHECKPOINT_COLUMNS, read_all};
use super::table::ById;
use super::{Asked, Projection, Read, Shown};
use crate::page::{Page, PageRequest};

/// A moment in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum AsOf {
    /// After the event at this position; 0 is before the first one.
    Position(i64),
    /// After the last event that was recorded at this time or before it.
    Time(DateTime<Utc>),
}

/// A table whose past rows are kept. Implemented by `past!`.
pub trait Past: ById {
    /// The statement that finds the row with id `$1` as of position `$3`, together with the
    /// checkpoints of its projection. If `$2` is not null, only a row of that user is found.
    const AT_POSITION: &'static str;
    /// The same as of the time `$3`.
    const AT_TIME: &'static str;
    /// The statements of a page of the past of the row with id `$1`: in the order of events, and
    /// in reverse. Their other parameters are the owner, the position and the id of the row before
    /// the page, the maximum number of rows and the number of rows to skip.
    const PAGES: [&'static str; 2];
    /// The statement that counts the past rows of the row with id `$1`.
    const COUNT_PAST: &'static str;
    /// The position of the last event that changed the row.
    fn position(&self) -> i64;
    /// The version of the row's stream.
    fn version(&self) -> i64;
}

/// Implements [`Past`] for a row of [`ById`]. `of COLUMN` names the column with the user to whom
/// the row belongs, or the id of a row that belongs to nobody.
macro_rules! past {
    ($Row:ident in $projection:literal, of $owner:ident) => {
        impl $crate::read::past::Past for $Row {
            const AT_POSITION: &'static str = $crate::read::past::past!(
                @find $Row $projection $owner "position <= $3 ORDER BY position DESC"
            );
            const AT_TIME: &'static str = $crate::read::past::past!(
                @find $Row $projection $owner "event_at <= $3 ORDER BY event_at DESC, position DESC"
            );
            const PAGES: [&'static str; 2] = [
                $crate::read::past::past!(@page $Row $projection $owner ">" "ASC"),
                $crate::read::past::past!(@page $Row $projection $owner "<" "DESC"),
            ];
            const COUNT_PAST: &'static str = postgres_kit::sql!(
                "SELECT count(*) FROM read_model.",
                $projection,
                "_history WHERE id = $1"
            );

            fn position(&self) -> i64 {
                self.position
            }

            fn version(&self) -> i64 {
                self.version
            }
        }
    };
    (@find $Row:ident $projection:literal $owner:ident $moment:literal) => {
        postgres_kit::sql!(
            "SELECT ",
            $crate::read::statement::CHECKPOINT,
            ", ",
            <$Row as postgres_kit::TableRow>::COLUMNS,
            " FROM ",
            <$Row as $crate::read::table::ById>::CHECKPOINTS,
            " LEFT JOIN LATERAL (SELECT ",
            <$Row as postgres_kit::TableRow>::COLUMNS,
            " FROM read_model.",
            $projection,
            "_history WHERE id = $1 AND ",
            $moment,
            " LIMIT 1) AS past ON cp_partition = 0 AND ($2::uuid IS NULL OR ",
            stringify!($owner),
            " = $2)"
        )
    };
    (@page $Row:ident $projection:literal $owner:ident $comes_after:literal $way:literal) => {
        postgres_kit::sql!(
            "SELECT ",
            <$Row as postgres_kit::TableRow>::COLUMNS,
            ", event_id, event_type, event_version, event_at, event_by FROM read_model.",
            $projection,
            "_history WHERE id = $1 AND ($2::uuid IS NULL OR ",
            stringify!($owner),
            " = $2) AND ($3::bigint IS NULL OR (position, id) ",
            $comes_after,
            " ($3, $4::uuid)) ORDER BY position ",
            $way,
            ", id ",
            $way,
            " LIMIT $5 OFFSET $6"
        )
    };
}
pub(super) use past;

/// The question for one row by its id, as of a moment.
///
/// The answer is `None` if there was no such row in the caller's scope.
#[derive(Debug, Clone, Copy)]
pub struct FindPast<R> {
    id: Uuid,
    scope: Scope,
    as_of: AsOf,
    row: std::marker::PhantomData<fn() -> R>,
}

impl<R> FindPast<R> {
    /// The question for the row with this id.
    pub const fn new(id: Uuid, scope: Scope, as_of: AsOf) -> Self {
        Self { id, scope, as_of, row: std::marker::PhantomData }
    }
}

impl<R: Past> Read for FindPast<R> {
    type Answer = Option<R>;
    const PROJECTIONS: &'static [Projection] = R::PROJECTIONS;
    const BEGIN: &'static str = R::BEGIN;
    const CHECKPOINTS: &'static str = R::CHECKPOINTS;

    fn row(&self, _: Projection) -> Option<String> {
        Some(self.id.to_string())
    }

    fn is_planned_once(&self) -> bool {
        true
    }

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::rows(R::PROJECTIONS[0], answer.iter().map(ById::id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let query = match self.as_of {
            AsOf::Position(position) => {
                sqlx::query(R::AT_POSITION).bind(self.id).bind(self.scope.owner()).bind(position)
            }
            AsOf::Time(time) => {
                sqlx::query(R::AT_TIME).bind(self.id).bind(self.scope.owner()).bind(time)
            }
        };
        let (checkpoints, mut rows) =
            read_all(&query.fetch_all(snapshot).await?, CHECKPOINT_COLUMNS, Columns::ALL)?;
        Ok(Asked { data: rows.pop(), checkpoints })
    }
}

/// An event in the history of a row.
#[derive(Debug, Clone)]
pub struct Step<R> {
    /// The event's id.
    pub event_id: Uuid,
    /// What happened, such as `order.confirmed`.
    pub event_type: String,
    /// The event's version in its stream. That may be the stream of something else than the row.
    pub version: i64,
    /// The time of the append.
    pub recorded_at: DateTime<Utc>,
    /// Who acted: `anonymous`, `user:ID` or `system:NAME`. `None` if the event does not say.
    pub by: Option<String>,
    /// The row after the event.
    pub row: R,
    /// The row before the event; `None` if the event made it.
    pub before: Option<R>,
}

/// The sorts of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepSort {
    /// In the order of the events.
    PositionAsc,
    /// The last event first.
    PositionDesc,
}

/// The question for a page of the events that changed a row. The answer is `None` if there is no
/// such row in the caller's scope.
#[derive(Debug, Clone)]
pub struct ListSteps<R> {
    /// The id of the row.
    pub id: Uuid,
    /// The rows that the caller may see.
    pub scope: Scope,
    /// The page to read, and its sort.
    pub page_request: PageRequest<StepSort>,
    /// The type of the row.
    pub row: std::marker::PhantomData<fn() -> R>,
}

impl<R: Past> Step<R> {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let mut at = R::SHAPE.len();
        Ok(Self {
            event_id: next(row, &mut at)?,
            event_type: next(row, &mut at)?,
            version: next(row, &mut at)?,
            recorded_at: next(row, &mut at)?,
            by: next(row, &mut at)?,
            row: R::read(row, 0)?,
            before: None,
        })
    }

    /// The step's key: the columns that the list is sorted by. The next page starts after it.
    pub fn key(position: i64, id: Uuid) -> Value {
        json!([position, id])
    }
}

impl<R: Past> Read for ListSteps<R> {
    type Answer = Option<Page<Step<R>>>;
    const PROJECTIONS: &'static [Projection] = R::PROJECTIONS;
    const BEGIN: &'static str = R::BEGIN;
    const CHECKPOINTS: &'static str = R::CHECKPOINTS;
    const IN_ONE_STATEMENT: bool = false;

    fn row(&self, _: Projection) -> Option<String> {
        Some(self.id.to_string())
    }

    fn shown(answer: &Self::Answer) -> Shown {
        let steps = answer.iter().flat_map(|page| &page.rows);
        Shown::rows(R::PROJECTIONS[0], steps.map(|step| step.row.id()))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { id, scope, page_request, .. } = self;
        let found = sqlx::query(R::FIND).bind(id).bind(scope.owner());
        let lines = found.fetch_all(&mut *snapshot).await?;
        let (checkpoints, rows) = read_all::<R>(&lines, CHECKPOINT_COLUMNS, Columns::ALL)?;
        if rows.is_empty() {
            return Ok(Asked { data: None, checkpoints });
        }
        let total = if page_request.counts() {
            let count = sqlx::query_scalar::<_, i64>(R::COUNT_PAST).bind(id);
            Some(count.fetch_one(&mut *snapshot).await?)
        } else {
            None
        };
        let (after, key) = page_request.after::<i64, Uuid>()?;
        let bounds = (page_request.limit(), page_request.offset());
        let is_ascending = page_request.sort == StepSort::PositionAsc;
        let mut steps = self.steps(snapshot, is_ascending, (after, key), bounds).await?;
        // The row before each event is that after the event before it.
        if is_ascending {
            let first = steps.first().map(|step| step.row.position());
            let before = self.steps(snapshot, false, (first, first.map(|_| *id)), (1, 0));
            let mut before =
                if first.is_some() { before.await?.pop().map(|step| step.row) } else { None };
            for step in &mut steps {
                step.before = before.replace(step.row.clone());
            }
        } else {
            let rows: Vec<R> = steps.iter().skip(1).map(|step| step.row.clone()).collect();
            for (step, before) in steps.iter_mut().zip(rows) {
                step.before = Some(before);
            }
        }
        Ok(Asked { data: Some(page_request.page(steps, total)), checkpoints })
    }
}

impl<R: Past> ListSteps<R> {
    /// Reads steps in one direction after a row's key.
    async fn steps(
        &self,
        snapshot: &mut PgConnection,
        is_ascending: bool,
        (after, key): (Option<i64>, Option<Uuid>),
        (limit, offset): (i64, i64),
    ) -> Result<Vec<Step<R>>, sqlx::Error> {
        let query = sqlx::query(R::PAGES[usize::from(!is_ascending)]);
        let query = query.bind(self.id).bind(self.scope.owner()).bind(after).bind(key);
        let rows = query.bind(limit).bind(offset).fetch_all(snapshot).await?;
        rows.iter().map(Step::read).collect()
    }
}
