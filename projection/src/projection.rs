//! Defines a projection: which rows an event touches, and how it changes each. The runner does
//! everything else (batches, transactions, checkpoints, leases), so a projection is pure. The
//! declaration of its [`row!`](crate::row!) generates the statements that load and save rows.

use std::error::Error;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use event_store::{Position, RecordedEvent, Version};
use sqlx::PgConnection;
use uuid::Uuid;

pub(crate) mod apart;
mod batch;
mod copy;
mod erased;
pub(crate) mod guard;
mod key;
mod only;
pub(crate) mod parking;
pub(crate) mod past;
mod row;
mod rows;
pub(crate) mod split;

pub(crate) use batch::MAX_ROW_BYTES;
pub use copy::CopyRow;
pub use erased::{AnyProjection, Prepared, WriteError, of};
pub use key::RowKey;
pub use only::Only;
pub use parking::{MAX_PARKED, Parking, TooManyParked};
pub use row::{EVENT_COLUMNS, EVENT_WIDTH, ProjectionRow, RowMisfit};
pub use rows::{AnyRows, Traced};
pub use split::{MAX_PARTITIONS, Partitions, Split, partition_of};

/// Why an event cannot be read or folded, for people. Never contains personal data.
pub type Reason = Box<dyn Error + Send + Sync>;

/// A read table derived from the log.
///
/// `fold` must depend only on its arguments: no clock, no randomness, no other table. Raise
/// [`Projection::FOLD_VERSION`] when you change its result, the handled events or the tables. A new
/// version needs a new generation.
#[async_trait]
pub trait Projection: Send + Sync + 'static {
    /// The name of the main table, of the view that shows it, and of the checkpoint:
    /// `[a-z][a-z0-9_]*`.
    const NAME: &'static str;
    /// The version of everything that the rows depend on, starting at 1.
    const FOLD_VERSION: i32;
    /// The statements that create its tables, with unqualified names.
    ///
    /// Next to the main table there may be others, such as sums over its rows. Their names begin
    /// with that of the projection and `_`, and each is shown by a view of its name. Constraints
    /// are set aside while a generation is loaded, so a table of sums needs a unique index instead.
    /// A verification compares the rows of the main table.
    const TABLES: &'static str;
    /// The statements that create what keeps its other tables: functions, and triggers of the main
    /// table. They run after [`Projection::TABLES`] in each generation, but not where a tool folds
    /// into temporary tables.
    const TRIGGERS: &'static str = "";
    /// The statements that create the indexes for queries. They may run after the tables are full.
    /// No index may refuse a row: put unique ones into [`Projection::TABLES`], whose constraints
    /// are in place when a refused row is searched for.
    const INDEXES: &'static str;
    /// The columns of the main table that hold personal values. Tools hide them by default. A
    /// projection without any receives no erasures.
    const PERSONAL: &'static [&'static str] = &[];
    /// Whether the order of a row's events makes no difference (sums, counts). If so, a row still
    /// takes later events while an earlier one is parked, and takes the parked one late.
    const COMMUTES: bool = false;
    /// Whether each past state of its rows is kept, so that they can be asked for as of an earlier
    /// moment. [`Projection::TABLES`] then creates the table `<NAME>_history`:
    ///
    /// ```sql
    /// CREATE TABLE coupons_history (
    ///     LIKE coupons,
    ///     event_id      uuid NOT NULL,
    ///     event_type    text NOT NULL,
    ///     event_version bigint NOT NULL,
    ///     event_at      timestamptz NOT NULL,
    ///     event_by      text,
    ///     PRIMARY KEY (id, position)
    /// );
    /// ```
    ///
    /// Its rows need a column `position`, which each event sets to its own. The key of rows of a
    /// subject must be known from the subject alone ([`Projection::rows_of_subject`]). Past rows
    /// leave out what [`row!`](crate::row!) declares as private.
    const HISTORY: bool = false;
    /// Whether a hash of the keys may split it, and into how many partitions by default. Only split
    /// a projection whose readers never need its rows to be consistent with each other.
    const SPLIT: Split =
        Split::Never("its declaration does not say that its rows are independent of each other");
    /// The type of its events, after reading.
    type Event: Send + Sync;
    /// The key of a row: the primary key of the main table.
    type Key: RowKey;
    /// A row of the main table. Tools show it as JSON.
    type Row: ProjectionRow<Key = Self::Key>;

    /// The event types that it handles, in their current form. It receives no others.
    fn handles() -> Vec<&'static str>;

    /// Reads an event of a type in [`Projection::handles`], in its current form. `None` means that
    /// the event is irrelevant. An error (an unexpected shape) stops the projection. So does an
    /// event of such a type in a version that this program does not know.
    fn read(event: &RecordedEvent) -> Option<Result<Self::Event, Reason>>;

    /// The keys of the rows that the event touches.
    fn keys(event: &Self::Event) -> Vec<Self::Key>;

    /// Computes the row of `key` after the event. `row` is `None` if there was none.
    ///
    /// # Errors
    /// The event makes no sense for this row. It is parked, and later events of the row are held
    /// back behind it. A panic has the same effect.
    fn fold(
        key: &Self::Key,
        row: Option<Self::Row>,
        event: &Incoming<Self::Event>,
    ) -> Result<Self::Row, Reason>;

    /// The keys of the rows that hold personal fields of this subject, if the subject determines
    /// them, whether or not they still hold a value. `None` if the tables must be queried with
    /// [`Projection::rows_of`]. The default is no rows, for projections without personal fields.
    fn rows_of_subject(subject: Uuid) -> Option<Vec<Self::Key>> {
        let _ = subject;
        Some(Vec::new())
    }

    /// Queries the tables for the rows that hold personal fields of these subjects.
    ///
    /// # Errors
    /// Postgres's error.
    async fn rows_of(
        connection: &mut PgConnection,
        subjects: &[Uuid],
    ) -> sqlx::Result<Vec<Self::Key>> {
        let _ = connection;
        Ok(subjects
            .iter()
            .filter_map(|subject| Self::rows_of_subject(*subject))
            .flatten()
            .collect())
    }

    /// Removes the personal values of an erased subject from a row, and leaves every other row as
    /// it is. The result must depend on whose row it is, not on whether a value is left. Only then
    /// do rows erased live equal rebuilt ones.
    fn blank(row: &mut Self::Row, erased: &Incoming<Uuid>) {
        let _ = (row, erased);
    }
}

/// An event that is about to change a row.
#[derive(Debug, Clone)]
pub struct Incoming<E> {
    /// The event.
    pub event: E,
    /// The event's position in the log.
    pub position: Position,
    /// The event's version in its stream.
    pub version: Version,
    /// The index among the fragments into which an upcaster split the stored event. All fragments
    /// take effect together, under one position.
    pub fragment: u32,
    /// The time at which the event was appended.
    pub recorded_at: DateTime<Utc>,
    /// Which event it is, and who caused it. Folds do not depend on it.
    pub origin: Origin,
}

/// The origin of an event, as a history names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The event's id.
    pub event_id: Uuid,
    /// The event's type, in its current form.
    pub event_type: String,
    /// Who acted, as an opaque id.
    pub actor: Option<String>,
}

impl Origin {
    /// The origin of a recorded event.
    pub fn of(event: &RecordedEvent) -> Self {
        Self {
            event_id: event.id,
            event_type: event.event_type.as_str().to_owned(),
            actor: event.metadata.actor.clone(),
        }
    }
}

/// The event changes a row that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("the row that it changes does not exist")]
pub struct NoSuchRow;

/// A sum or a count no longer fits its column.
#[derive(Debug, thiserror::Error)]
#[error("a number in the row would no longer fit its column")]
pub struct TooLarge;

/// Adds two numbers of a fold, with an overflow check.
///
/// # Errors
/// [`TooLarge`] on overflow.
pub fn add(a: i64, b: i64) -> Result<i64, TooLarge> {
    a.checked_add(b).ok_or(TooLarge)
}

/// Collects one column of many rows, as `unnest` takes it.
pub(crate) fn column<'r, R, T>(rows: &'r [R], value: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
