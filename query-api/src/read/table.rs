//! Questions to one table: a row by its id, many rows by their ids, and the pages of a list.
//!
//! Their statements are built here from the columns that a row declares.

use std::marker::PhantomData;

use access::Scope;
use postgres_kit::TableRow;
use postgres_kit::macros::{PgArguments, argument};
use serde::de::DeserializeOwned;
use sqlx::types::Json;
use sqlx::{Encode, PgConnection, Postgres, Row as _, Type};
use uuid::Uuid;

use super::{Asked, Checkpoint, Projection, Read, Shown};
use crate::page::{Page, PageRequest};

/// A table whose rows are found by an id. Implemented by `by_id!`.
pub trait ById: TableRow + Clone + Send + Sync + 'static {
    /// The projection that writes the table.
    const PROJECTIONS: &'static [Projection];
    /// The statement that begins a transaction on the table. See [`Read::BEGIN`].
    const BEGIN: &'static str;
    /// The statement that finds the row with id `$1`, together with the checkpoints of its
    /// projection. If `$2` is not null, only a row of that user is found.
    ///
    /// It is one statement, so it needs only one snapshot. It returns the checkpoints even if there
    /// is no such row.
    const FIND: &'static str;
    /// The statement that finds the rows with the ids `$1`. If `$2` is not null, only rows of that
    /// user are found.
    const FIND_MANY: &'static str;
    /// The statement that finds the rows that changed after position `$1`, or at it and with an id
    /// above `$3`, in the order of both, at most `$4`. If `$2` is not null, only rows of that user
    /// are found.
    const CHANGED: &'static str;

    /// The row's id.
    fn id(&self) -> Uuid;
}

/// The checkpoints of a projection as one JSON value, for a statement that answers by itself.
macro_rules! checkpoints {
    ($projection:literal) => {
        concat!(
            "(SELECT coalesce(json_agg(at), '[]')
        FROM (SELECT c.projection, c.generation, c.partition, g.partitions, c.epoch, c.position,
                     c.event_id,
                     EXISTS (SELECT FROM read_model.stale s WHERE s.projection = c.projection
                         AND s.generation = c.generation) AS stale
              FROM read_model.checkpoints c
              JOIN read_model.generations g ON g.projection = c.projection
                  AND g.generation = c.generation
              WHERE g.live AND c.projection = '",
            $projection,
            "') AS at)"
        )
    };
}
pub(super) use checkpoints;

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
                "SELECT ", $crate::read::table::checkpoints!($projection), " AS checkpoints, ",
                <$Row as postgres_kit::TableRow>::COLUMNS,
                " FROM (SELECT) AS always LEFT JOIN read_model.", $projection, " ON id = $1 AND ",
                $($is_visible),+
            );
            const FIND_MANY: &'static str = postgres_kit::sql!(
                "SELECT ", <$Row as postgres_kit::TableRow>::COLUMNS,
                " FROM read_model.", $projection, " WHERE id = ANY($1) AND ",
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
    const BY_KEY: bool = true;

    fn row(&self, _: Projection) -> Option<String> {
        Some(self.id.to_string())
    }

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::rows(R::PROJECTIONS[0], answer.iter().map(ById::id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let found = sqlx::query(R::FIND).bind(self.id).bind(self.scope.owner());
        let found = found.fetch_one(snapshot).await?;
        let Json(checkpoints) = found.try_get::<Json<Vec<Checkpoint>>, _>(0)?;
        Ok(Asked { data: R::read_if_there(&found, 1)?, checkpoints: Some(checkpoints) })
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

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::rows(R::PROJECTIONS[0], answer.iter().flatten().map(ById::id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let rows = sqlx::query(R::FIND_MANY).bind(&self.ids).bind(self.scope.owner());
        let rows = rows.fetch_all(snapshot).await?;
        let mut found = std::collections::HashMap::with_capacity(rows.len());
        for row in &rows {
            let row = R::read(row, 0)?;
            found.insert(row.id(), row);
        }
        Ok(self.ids.iter().map(|id| found.get(id).cloned()).collect::<Vec<_>>().into())
    }
}

/// The statements of a list in one sort. Made by `sorted!`.
///
/// The list is sorted by a column of type `A`. A key of type `K` breaks ties.
#[derive(Debug)]
pub struct Sorted<R, A, K> {
    /// The statement for ascending order.
    pub ascending: PageOf<R, A, K>,
    /// The statement for descending order.
    pub descending: PageOf<R, A, K>,
}

type Types<R, A, K> = PhantomData<fn() -> (R, A, K)>;

/// The statement of a page.
///
/// Its first parameters are the filters, then the two key columns of the row before the page (null
/// for the first page). The last two are the maximum number of rows and the number of rows to skip.
#[derive(Debug)]
pub struct PageOf<R, A, K> {
    /// The text of the statement.
    pub sql: &'static str,
    types: Types<R, A, K>,
}

impl<R, A, K> PageOf<R, A, K> {
    pub(super) const fn new(sql: &'static str) -> Self {
        Self { sql, types: PhantomData }
    }
}

/// Builds the statements of a list of `$Row` from a view, in both directions.
///
/// `FILTER[n]` is a condition over the parameters `$1` to `$n`. The column to sort by and the key
/// that breaks ties follow it.
macro_rules! sorted {
    ($Row:ident in $view:literal, $filter:ident[0], $($by:tt)+) => {
        $crate::read::table::sorted!(@ $Row $view $filter ("$1" "$2" "$3" "$4") $($by)+)
    };
    ($Row:ident in $view:literal, $filter:ident[1], $($by:tt)+) => {
        $crate::read::table::sorted!(@ $Row $view $filter ("$2" "$3" "$4" "$5") $($by)+)
    };
    ($Row:ident in $view:literal, $filter:ident[2], $($by:tt)+) => {
        $crate::read::table::sorted!(@ $Row $view $filter ("$3" "$4" "$5" "$6") $($by)+)
    };
    ($Row:ident in $view:literal, $filter:ident[3], $($by:tt)+) => {
        $crate::read::table::sorted!(@ $Row $view $filter ("$4" "$5" "$6" "$7") $($by)+)
    };
    ($Row:ident in $view:literal, $filter:ident[4], $($by:tt)+) => {
        $crate::read::table::sorted!(@ $Row $view $filter ("$5" "$6" "$7" "$8") $($by)+)
    };
    ($Row:ident in $view:literal, $filter:ident[5], $($by:tt)+) => {
        $crate::read::table::sorted!(@ $Row $view $filter ("$6" "$7" "$8" "$9") $($by)+)
    };
    ($Row:ident in $view:literal, $filter:ident[6], $($by:tt)+) => {
        $crate::read::table::sorted!(@ $Row $view $filter ("$7" "$8" "$9" "$10") $($by)+)
    };
    (@ $Row:ident $view:literal $filter:ident $numbers:tt $by:ident: $by_type:ident,
        $key:ident: $key_type:ident) => {
        $crate::read::table::Sorted {
            ascending: $crate::read::table::sorted!(
                @ $Row $view $filter $numbers $by $by_type $key $key_type ">" "ASC"
            ),
            descending: $crate::read::table::sorted!(
                @ $Row $view $filter $numbers $by $by_type $key $key_type "<" "DESC"
            ),
        }
    };
    (@ $Row:ident $view:literal $filter:ident
        ($after:literal $after_key:literal $limit:literal $offset:literal)
        $by:ident $by_type:ident $key:ident $key_type:ident
        $comes_after:literal $direction:literal) => {
        $crate::read::table::PageOf::new(postgres_kit::sql!(
            "SELECT ", <$Row as postgres_kit::TableRow>::COLUMNS, " FROM read_model.", $view,
            " WHERE ", $filter,
            " AND (", $after, "::", stringify!($by_type), " IS NULL OR (",
            stringify!($by), ", ", stringify!($key), ") ", $comes_after,
            " (", $after, ", ", $after_key, "::", stringify!($key_type), "))",
            " ORDER BY ", stringify!($by), " ", $direction, ", ",
            stringify!($key), " ", $direction,
            " LIMIT ", $limit, " OFFSET ", $offset
        ))
    };
}
pub(super) use sorted;

/// Builds the statement that counts the rows that match a filter.
macro_rules! count {
    ($view:literal, $filter:ident) => {
        postgres_kit::sql!("SELECT count(*) FROM read_model.", $view, " WHERE ", $filter)
    };
}
pub(super) use count;

/// A list with its filter values and the requested page.
pub(super) struct ListOf<'q, S> {
    pub(super) count: &'static str,
    pub(super) filters: PgArguments,
    pub(super) page_request: &'q PageRequest<S>,
}

impl<S> ListOf<'_, S> {
    /// Reads the page in this sort. If the page has a number, it counts all rows first.
    pub(super) async fn page<R, A, K>(
        self,
        snapshot: &mut PgConnection,
        statement: &PageOf<R, A, K>,
    ) -> Result<Page<R>, sqlx::Error>
    where
        R: TableRow,
        A: DeserializeOwned + Type<Postgres> + for<'q> Encode<'q, Postgres>,
        K: DeserializeOwned + Type<Postgres> + for<'q> Encode<'q, Postgres>,
    {
        let Self { count, filters, page_request } = self;
        let total = if page_request.counts() {
            let count = sqlx::query_scalar_with::<_, i64, _>(count, filters.clone());
            Some(count.fetch_one(&mut *snapshot).await?)
        } else {
            None
        };
        let (after, key) = page_request.after::<A, K>()?;
        let mut arguments = filters;
        argument(&mut arguments, after)?;
        argument(&mut arguments, key)?;
        argument(&mut arguments, page_request.limit())?;
        argument(&mut arguments, page_request.offset())?;
        let rows = sqlx::query_with(statement.sql, arguments).fetch_all(snapshot).await?;
        let rows = rows.iter().map(|row| R::read(row, 0)).collect::<Result<Vec<_>, _>>()?;
        Ok(page_request.page(rows, total))
    }
}
