//! The pages of lists.

use std::marker::PhantomData;

use postgres_kit::macros::argument;
use postgres_kit::{Columns, TableRow};
use serde::de::DeserializeOwned;
use sqlx::{Encode, PgConnection, Postgres, Row as _, Type};

use super::Asked;
use super::export::CHUNK_ROWS;
use super::statement::{
    CHECKPOINT, CHECKPOINT_COLUMNS, Conditions, Statement, has_checkpoint, listed, read_all,
    rows_after,
};
use crate::page::{MAX_SIZE, Page, PageRequest, PageStart};

/// The largest page and a row more. It is a constant, so that a plan for all values expects few
/// rows. A number that is a parameter would make Postgres expect a tenth of the table.
pub(super) const AT_MOST: &str = " LIMIT 101) AS most";
const _: () = assert!(MAX_SIZE + 1 == 101, "AT_MOST fits the largest page");
/// The rows that an export reads at once and a row more.
const AT_MOST_OF_EXPORT: &str = " LIMIT 201) AS most";
const _: () = assert!(CHUNK_ROWS + 1 == 201, "AT_MOST_OF_EXPORT fits what an export reads at once");

/// The rows of a list in one sort. Made by `sorted!`.
///
/// The list is sorted by a column of type `A`. A key of type `K` breaks ties.
#[derive(Debug)]
pub(super) struct Sorted<R, A, K> {
    /// In ascending order.
    pub(super) ascending: PageOf<R, A, K>,
    /// In descending order.
    pub(super) descending: PageOf<R, A, K>,
}

type Types<R, A, K> = PhantomData<fn() -> (R, A, K)>;

/// The pieces of the statement of a page.
///
/// The checkpoints come first, and then the rows, each half with nothing in the columns of the
/// other: checkpoints that come with each row would cost as much as the rows.
///
/// Its first parameters are the values of the conditions, then the two key columns of the row
/// before the page (null for the first page). The last two are the maximum number of rows and the
/// number of rows to skip.
#[derive(Debug)]
pub(super) struct PageOf<R, A, K> {
    from: &'static str,
    after: &'static str,
    order: &'static str,
    limit: &'static str,
    offset: &'static str,
    types: Types<R, A, K>,
}

impl<R, A, K> PageOf<R, A, K> {
    pub(super) const fn new([from, after, order, limit, offset]: [&'static str; 5]) -> Self {
        Self { from, after, order, limit, offset, types: PhantomData }
    }

    /// The same with another source of rows: `FROM` with a `WHERE`.
    pub(super) const fn of(self, from: &'static str) -> Self {
        Self { from, ..self }
    }
}

/// Builds the pieces of a list of `$Row` from a view, in both directions.
///
/// `[n]` is the number of conditions, whose parameters are `$1` to `$n`. The column to sort by and
/// the key that breaks ties follow it. The view is that of the projection, unless it is named after
/// a colon. `if` names what all rows of the list have in common.
macro_rules! sorted {
    ($Row:ident in $projection:literal [$count:tt], $($by:tt)+) => {
        $crate::read::list::sorted!(@ $Row $projection "true" [$count] $($by)+)
    };
    ($Row:ident in $projection:literal: $view:literal [$count:tt], $($by:tt)+) => {
        $crate::read::list::sorted!(@ $Row $view "true" [$count] $($by)+)
    };
    ($Row:ident in $projection:literal if $condition:literal [$count:tt], $($by:tt)+) => {
        $crate::read::list::sorted!(@ $Row $projection $condition [$count] $($by)+)
    };
    (@ $Row:ident $view:literal $if:literal [0] $($by:tt)+) => {
        $crate::read::list::sorted!(@ $Row $view $if ("$1" "$2" "$3" "$4") $($by)+)
    };
    (@ $Row:ident $view:literal $if:literal [1] $($by:tt)+) => {
        $crate::read::list::sorted!(@ $Row $view $if ("$2" "$3" "$4" "$5") $($by)+)
    };
    (@ $Row:ident $view:literal $if:literal [2] $($by:tt)+) => {
        $crate::read::list::sorted!(@ $Row $view $if ("$3" "$4" "$5" "$6") $($by)+)
    };
    (@ $Row:ident $view:literal $if:literal [3] $($by:tt)+) => {
        $crate::read::list::sorted!(@ $Row $view $if ("$4" "$5" "$6" "$7") $($by)+)
    };
    (@ $Row:ident $view:literal $if:literal [4] $($by:tt)+) => {
        $crate::read::list::sorted!(@ $Row $view $if ("$5" "$6" "$7" "$8") $($by)+)
    };
    (@ $Row:ident $view:literal $if:literal [5] $($by:tt)+) => {
        $crate::read::list::sorted!(@ $Row $view $if ("$6" "$7" "$8" "$9") $($by)+)
    };
    (@ $Row:ident $view:literal $if:literal [6] $($by:tt)+) => {
        $crate::read::list::sorted!(@ $Row $view $if ("$7" "$8" "$9" "$10") $($by)+)
    };
    (@ $Row:ident $view:literal $if:literal $numbers:tt
        $by:ident: $by_type:ident, $key:ident: $key_type:ident) => {
        $crate::read::list::Sorted {
            ascending: $crate::read::list::sorted!(
                @ $Row $view $if $numbers $by $by_type $key $key_type ">" "ASC"
            ),
            descending: $crate::read::list::sorted!(
                @ $Row $view $if $numbers $by $by_type $key $key_type "<" "DESC"
            ),
        }
    };
    (@ $Row:ident $view:literal $if:literal
        ($after:literal $after_key:literal $limit:literal $offset:literal)
        $by:ident $by_type:ident $key:ident $key_type:ident
        $comes_after:literal $direction:literal) => {
        $crate::read::list::PageOf::<$Row, _, _>::new([
            concat!(" FROM read_model.", $view, " WHERE ", $if),
            concat!(
                " AND (", stringify!($by), ", ", stringify!($key), ") ", $comes_after, " (",
                $after, "::", stringify!($by_type), ", ", $after_key, "::", stringify!($key_type),
                ")"
            ),
            concat!(
                " ORDER BY ", stringify!($by), " ", $direction, ", ", stringify!($key), " ",
                $direction
            ),
            concat!(" LIMIT ", $limit),
            concat!(" OFFSET ", $offset),
        ])
    };
}
pub(super) use sorted;

/// A list with its conditions and the requested page.
pub(super) struct ListOf<'q, S> {
    /// The checkpoints of the projections that the question reads.
    pub(super) checkpoints: &'static str,
    /// A condition that says whether the list is there at all.
    pub(super) is_there: &'static str,
    /// The columns to read of each row.
    pub(super) columns: Columns,
    pub(super) conditions: Conditions,
    pub(super) page_request: &'q PageRequest<S>,
}

impl<'q, S> ListOf<'q, S> {
    /// A list that is always there.
    pub(super) const fn new(
        checkpoints: &'static str,
        conditions: Conditions,
        page_request: &'q PageRequest<S>,
    ) -> Self {
        Self { checkpoints, is_there: "true", columns: Columns::ALL, conditions, page_request }
    }

    /// The same with these columns of each row.
    pub(super) fn of_columns(self, columns: Columns) -> Self {
        Self { columns, ..self }
    }

    /// Reads the page in this sort, with the number of all rows if the page has a number. The
    /// answer is `None` if the list is not there.
    pub(super) async fn page_if_there<R, A, K>(
        self,
        snapshot: &mut PgConnection,
        page_of: &PageOf<R, A, K>,
    ) -> Result<Asked<Option<Page<R>>>, sqlx::Error>
    where
        R: TableRow,
        A: DeserializeOwned + Type<Postgres> + for<'v> Encode<'v, Postgres>,
        K: DeserializeOwned + Type<Postgres> + for<'v> Encode<'v, Postgres>,
    {
        let statement = self.statement(page_of);
        let Self { page_request, columns, conditions: Conditions { mut arguments, .. }, .. } = self;
        let (after, key) = page_request.after::<A, K>()?;
        argument(&mut arguments, after)?;
        argument(&mut arguments, key)?;
        argument(&mut arguments, page_request.limit())?;
        argument(&mut arguments, page_request.offset())?;
        let lines = sqlx::query_with(statement.sql(), arguments).fetch_all(snapshot).await?;
        let (checkpoints, rows) = read_all(&lines, CHECKPOINT_COLUMNS + 2, columns)?;
        let Some(first) = lines.iter().find(|line| has_checkpoint(line)) else {
            return Ok(Asked { data: None, checkpoints });
        };
        let total = first.try_get(CHECKPOINT_COLUMNS)?;
        let is_there: bool = first.try_get(CHECKPOINT_COLUMNS + 1)?;
        let data = is_there.then(|| page_request.page(rows, total));
        Ok(Asked { data, checkpoints })
    }

    /// Reads the page of a list that is always there.
    pub(super) async fn page<R, A, K>(
        self,
        snapshot: &mut PgConnection,
        page_of: &PageOf<R, A, K>,
    ) -> Result<Asked<Page<R>>, sqlx::Error>
    where
        R: TableRow,
        A: DeserializeOwned + Type<Postgres> + for<'v> Encode<'v, Postgres>,
        K: DeserializeOwned + Type<Postgres> + for<'v> Encode<'v, Postgres>,
    {
        let asked = self.page_if_there(snapshot, page_of).await?;
        // Without a checkpoint there is no page. The caller sees that by the missing checkpoint.
        let none = || Page { rows: Vec::new(), has_more: false, total: None };
        Ok(asked.map(|page| page.unwrap_or_else(none)))
    }

    fn statement<R: TableRow, A, K>(&self, page_of: &PageOf<R, A, K>) -> Statement {
        let &PageOf { from, after, order, limit, offset, .. } = page_of;
        let (columns, conditions) = (self.columns, &self.conditions.pieces);
        let mut pieces = vec!["SELECT ", CHECKPOINT, ", "];
        if self.page_request.counts() {
            pieces.extend(["(SELECT count(*)", from]);
            pieces.extend(conditions);
            pieces.push(")");
        } else {
            pieces.push("NULL::bigint");
        }
        pieces.extend([" AS total, ", self.is_there, " AS is_there"]);
        pieces.extend(rows_after::<R>(CHECKPOINT_COLUMNS + 2, columns, self.checkpoints));
        pieces.push(" FROM (SELECT ");
        pieces.extend(listed::<R>(columns));
        pieces.push(" FROM (SELECT ");
        pieces.extend(listed::<R>(columns));
        pieces.push(from);
        pieces.extend(conditions);
        let start = &self.page_request.start;
        pieces.extend(matches!(start, PageStart::After(_)).then_some(after));
        pieces.push(order);
        pieces.extend(matches!(start, PageStart::Page(_)).then_some(offset));
        let is_page = self.page_request.size <= MAX_SIZE;
        pieces.push(if is_page { AT_MOST } else { AT_MOST_OF_EXPORT });
        pieces.extend([order, limit, ") AS page"]);
        Statement::of(&pieces)
    }
}
