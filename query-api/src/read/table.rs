//! Questions to one table: a row by its id, and many rows by their ids.
//!
//! Their statements are built here from the columns that a row declares.

use std::collections::HashMap;
use std::marker::PhantomData;

use access::Scope;
use postgres_kit::{Columns, TableRow};
use sqlx::PgConnection;
use uuid::Uuid;

use super::statement::{CHECKPOINT_COLUMNS, read_all};
use super::{Asked, Projection, Read, Shown};

/// A table whose rows are found by an id. Implemented by `by_id!`.
pub trait ById: TableRow + Clone + Send + Sync + 'static {
    /// The projection that writes the table.
    const PROJECTIONS: &'static [Projection];
    /// The statement that begins a transaction on the table. See [`Read::BEGIN`].
    const BEGIN: &'static str;
    /// The checkpoints of the table's projection. See [`Read::CHECKPOINTS`].
    const CHECKPOINTS: &'static str;
    /// The statement that finds the row with id `$1`, together with the checkpoints of its
    /// projection. If `$2` is not null, only a row of that user is found.
    ///
    /// It returns the checkpoints even if there is no such row.
    const FIND: &'static str;
    /// The same for the rows with the ids `$1`.
    const FIND_MANY: &'static str;
    /// The statement that finds the rows that changed after position `$1`, or at it and with an id
    /// above `$3`, in the order of both, at most `$4`. If `$2` is not null, only rows of that user
    /// are found.
    const CHANGED: &'static str;

    /// The row's id.
    fn id(&self) -> Uuid;
}

/// Implements [`ById`] for a row. The first column must be its id. `of COLUMN` names the column
/// with the user to whom the row belongs. Without it, rows belong to nobody.
macro_rules! by_id {
    ($Row:ident in $projection:literal) => {
        $crate::read::table::by_id!(@ $Row $projection "$2::uuid IS NULL");
    };
    ($Row:ident in $projection:literal, of $owner:ident) => {
        $crate::read::table::by_id!(
            @ $Row $projection "($2::uuid IS NULL OR ", stringify!($owner), " = $2)"
        );
    };
    (@ $Row:ident $projection:literal $($is_visible:expr),+) => {
        impl $crate::read::table::ById for $Row {
            reads!($projection);
            const FIND: &'static str = postgres_kit::sql!(
                "SELECT ", $crate::read::statement::CHECKPOINT, ", ",
                <$Row as postgres_kit::TableRow>::COLUMNS,
                " FROM ", <$Row as $crate::read::table::ById>::CHECKPOINTS,
                " LEFT JOIN read_model.", $projection, " ON cp_partition = 0 AND id = $1 AND ",
                $($is_visible),+
            );
            const FIND_MANY: &'static str = postgres_kit::sql!(
                "SELECT ", $crate::read::statement::CHECKPOINT, ", ",
                <$Row as postgres_kit::TableRow>::COLUMNS,
                " FROM ", <$Row as $crate::read::table::ById>::CHECKPOINTS,
                " LEFT JOIN read_model.", $projection,
                " ON cp_partition = 0 AND id = ANY($1) AND ",
                $($is_visible),+
            );
            const CHANGED: &'static str = postgres_kit::sql!(
                "SELECT ", <$Row as postgres_kit::TableRow>::COLUMNS,
                " FROM read_model.", $projection,
                " WHERE (position, id) > ($1::bigint, $3::uuid) AND ", $($is_visible),+,
                " ORDER BY position, id LIMIT $4"
            );

            fn id(&self) -> uuid::Uuid {
                self.id
            }
        }
    };
}
pub(super) use by_id;

/// The question for one row by its id.
#[derive(Debug, Clone, Copy)]
pub struct Find<R> {
    id: Uuid,
    scope: Scope,
    row: PhantomData<fn() -> R>,
}

impl<R> Find<R> {
    /// The question for the row with this id, if it is in the caller's scope.
    pub const fn new(id: Uuid, scope: Scope) -> Self {
        Self { id, scope, row: PhantomData }
    }
}

impl<R: ById> Read for Find<R> {
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
        let found = sqlx::query(R::FIND).bind(self.id).bind(self.scope.owner());
        let lines = found.fetch_all(snapshot).await?;
        let (checkpoints, mut rows) = read_all(&lines, CHECKPOINT_COLUMNS, Columns::ALL)?;
        Ok(Asked { data: rows.pop(), checkpoints })
    }
}

/// The maximum number of rows that one question asks for by id.
pub const MAX_IDS: usize = 1_000;

/// The error for a question with more than [`MAX_IDS`] ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} rows are asked for at once: at most {MAX_IDS} can be")]
pub struct TooManyIds(usize);

/// The question for many rows by their ids, in one statement.
///
/// The answer has an item for each id, in the same order. The item is `None` if there is no such
/// row in the caller's scope.
#[derive(Debug, Clone)]
pub struct FindMany<R> {
    ids: Vec<Uuid>,
    scope: Scope,
    row: PhantomData<fn() -> R>,
}

impl<R> FindMany<R> {
    /// The question for the rows with these ids.
    ///
    /// # Errors
    /// [`TooManyIds`] if there are more than [`MAX_IDS`].
    pub fn new(ids: Vec<Uuid>, scope: Scope) -> Result<Self, TooManyIds> {
        if ids.len() > MAX_IDS {
            return Err(TooManyIds(ids.len()));
        }
        Ok(Self { ids, scope, row: PhantomData })
    }
}

impl<R: ById> Read for FindMany<R> {
    type Answer = Vec<Option<R>>;
    const PROJECTIONS: &'static [Projection] = R::PROJECTIONS;
    const BEGIN: &'static str = R::BEGIN;
    const CHECKPOINTS: &'static str = R::CHECKPOINTS;

    fn is_planned_once(&self) -> bool {
        true
    }

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::rows(R::PROJECTIONS[0], answer.iter().flatten().map(ById::id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let rows = sqlx::query(R::FIND_MANY).bind(&self.ids).bind(self.scope.owner());
        let lines = rows.fetch_all(snapshot).await?;
        let (checkpoints, rows) = read_all::<R>(&lines, CHECKPOINT_COLUMNS, Columns::ALL)?;
        let found: HashMap<Uuid, R> = rows.into_iter().map(|row| (row.id(), row)).collect();
        let data = self.ids.iter().map(|id| found.get(id).cloned()).collect();
        Ok(Asked { data, checkpoints })
    }
}
