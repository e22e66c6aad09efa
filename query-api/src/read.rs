//! Questions to the read tables. Each question is a type that says which projections it reads and
//! how.
//!
//! [`Reader`] answers a question in one snapshot, together with the position of that snapshot.
//! Several questions can share a [`Snapshot`].

/// Declares the projections whose tables a question reads.
///
/// A transaction locks the views before it takes its snapshot. A switch to another generation then
/// happens entirely before or entirely after the answer. Otherwise the answer could mix the
/// checkpoints of the old tables with the rows of the new ones.
macro_rules! reads {
    ($first:literal $(, $other:literal)*) => {
        const PROJECTIONS: &'static [$crate::read::Projection] = &[$first $(, $other)*];
        const BEGIN: &'static str = concat!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE read_model.", $first
            $(, ", read_model.", $other)*, " IN ACCESS SHARE MODE"
        );
        #[allow(dead_code, reason = "a snapshot asks by itself for none")]
        const CHECKPOINTS: &'static str = postgres_kit::sql!(
            $crate::read::statement::CHECKPOINTS, "'", $first, "'" $(, ", '", $other, "'")*,
            ") OFFSET 0) AS checkpoints"
        );
    };
}

/// The name of the table that a question reads: that of the projection, or another one of its
/// tables.
macro_rules! table_name {
    ($projection:literal) => {
        $projection
    };
    ($projection:literal $table:literal) => {
        $table
    };
}

/// Lists the read tables: each projection that questions read, with the type of the rows that they
/// read of it. If these are not in its main table, the table's name comes after a colon. Below
/// `past:` are the tables with the past of rows.
macro_rules! read_tables {
    (
        $($projection:literal $(: $table:literal)? => $Row:ty,)+
        past: $($of:literal: $past:literal => $PastRow:ty,)+
    ) => {
        /// All projections that questions read. Their tables must exist before this process is
        /// ready.
        pub const ALL_PROJECTIONS: &[Projection] = &[$($projection),+];

        /// The tables with their projections, and the columns that each table's row reads. A test
        /// compares them with the tables that the projector makes.
        pub const ALL_ROWS: &[(Projection, &str, &[postgres_kit::Column])] = &[$((
            $projection,
            table_name!($projection $($table)?),
            <$Row as postgres_kit::TableRow>::SHAPE,
        ),)+ $((
            $of,
            $past,
            <$PastRow as postgres_kit::TableRow>::SHAPE,
        ),)+];
    };
}

pub mod audit;
pub mod changes;
pub mod customer;
mod export;
mod failure;
mod finish;
pub mod funnel;
mod list;
pub mod order;
pub mod past;
pub mod product;
pub mod product_sales;
mod reader;
pub mod saga;
pub mod sales;
pub mod search;
mod seen;
mod snapshot;
mod stale;
mod statement;
pub mod table;
pub mod user;

pub use export::Exports;
pub(crate) use export::{CutOff, Export, Whole, Write, WriteError};
pub use failure::ReadError;
pub use reader::{Reader, View};
pub use seen::{Checkpoint, Seen};
pub use snapshot::Snapshot;
pub use stale::Shown;
pub use statement::Statement;

use sqlx::PgConnection;

pub use crate::scope::{Projection, ReadScope};

read_tables! {
    // One line each.
    "users" => user::UserRow,
    "orders" => order::OrderRow,
    "products" => product::ProductRow,
    "daily_sales" => sales::DailySalesRow,
    "product_sales": "product_sales_totals" => product_sales::ProductSalesRow,
    "order_funnel": "order_funnel_days" => funnel::FunnelDayRow,
    "customers_at_risk" => customer::CustomerRow,
    "search" => search::HitRow,
    "audit" => audit::AuditRow,
    "sagas" => saga::SagaRow,
    past:
    "users": "users_history" => user::UserRow,
    "orders": "orders_history" => order::OrderRow,
    "products": "products_history" => product::ProductRow,
    "daily_sales": "daily_sales_history" => sales::DailySalesRow,
}

/// A question to the read tables.
pub trait Read: Send + Sync + 'static {
    /// The type of the answer.
    type Answer: Send + 'static;

    /// The projections whose tables are read. The answer is complete up to the smallest of their
    /// positions. Defined by `reads!`.
    const PROJECTIONS: &'static [Projection];

    /// The statement that begins a transaction for the question. Defined by `reads!`.
    const BEGIN: &'static str;

    /// The checkpoints of the projections, for the statement of the question. Defined by `reads!`.
    const CHECKPOINTS: &'static str;

    /// The key, as text, of the only row of this projection that the answer depends on.
    ///
    /// Then only that row's partition counts. With `None`, all partitions count.
    fn row(&self, projection: Projection) -> Option<String> {
        let _ = projection;
        None
    }

    /// The scopes of the question, one for each projection that it reads.
    fn scopes(&self) -> Vec<ReadScope> {
        let scope = |projection: &Projection| ReadScope { projection, row: self.row(projection) };
        Self::PROJECTIONS.iter().map(scope).collect()
    }

    /// Whether few rows answer the question, whatever its values are: a row by its key, a page of a
    /// whole list, or a page of what belongs to one user.
    ///
    /// Its statement is planned once, on connections that no other kind of question uses. With
    /// `false`, it is planned for its own values: those of a status may be few or many.
    fn is_planned_once(&self) -> bool {
        false
    }

    /// The rows that the answer shows. They are checked for events that could not be applied.
    fn shown(answer: &Self::Answer) -> Shown;

    /// Whether one statement answers the question, together with the checkpoints.
    ///
    /// Such a question needs no transaction: Postgres locks the tables of a statement before it
    /// takes the statement's snapshot.
    const IN_ONE_STATEMENT: bool = true;

    /// Asks the question in one snapshot. It may be called again if the tables were switched in
    /// between.
    fn ask(
        &self,
        snapshot: &mut PgConnection,
    ) -> impl Future<Output = Result<Asked<Self::Answer>, sqlx::Error>> + Send;
}

/// The result of a question.
#[derive(Debug)]
pub struct Asked<T> {
    /// The answer to the question.
    pub data: T,
    /// The checkpoints from the same snapshot: all of the projections that the question reads, and
    /// perhaps others.
    pub checkpoints: Vec<Checkpoint>,
}

impl<T> Asked<T> {
    /// The same checkpoints with other data.
    pub(crate) fn map<U>(self, data: impl FnOnce(T) -> U) -> Asked<U> {
        Asked { data: data(self.data), checkpoints: self.checkpoints }
    }
}
