//! What a projection is: which rows an event touches, and what it makes of each. Everything else
//! (batches, transactions, checkpoints, leases) is the runner's, so that a projection is pure. The
//! statements that load and save rows come from the declaration of its [`row!`](crate::row!).

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
mod row;
mod rows;
pub(crate) mod split;

pub use copy::CopyRow;
pub use erased::{AnyProjection, Prepared, WriteError, of};
pub use key::RowKey;
pub use only::Only;
pub use parking::{MAX_PARKED, Parking, TooManyParked};
pub use row::{ProjectionRow, RowMisfit};
pub use rows::{AnyRows, Traced};
pub use split::{MAX_PARTITIONS, Partitions, Split, partition_of};

/// Why an event cannot be read or folded, in words for people; never with personal data.
pub type Reason = Box<dyn Error + Send + Sync>;

/// A read table worked out from the log.
///
/// `fold` must depend on nothing but its arguments: no clock, no randomness, no other table. A
/// change to what it computes, to the events it handles or to the tables is a new
/// [`Projection::FOLD_VERSION`], and that is another generation.
#[async_trait]
pub trait Projection: Send + Sync + 'static {
    /// The name of its main table, of the view that shows it, and of its checkpoint:
    /// `[a-z][a-z0-9_]*`.
    const NAME: &'static str;
    /// The version of everything that the rows depend on, from 1.
    const FOLD_VERSION: i32;
    /// Creates its tables, with unqualified names.
    const TABLES: &'static str;
    /// Creates the indexes that queries need; may run after the tables are full. None may refuse a
    /// row: a unique one belongs to [`Projection::TABLES`], whose constraints are in place when a
    /// refused row is looked for.
    const INDEXES: &'static str;
    /// The columns of the main table that hold personal values: tools do not show them unless told
    /// to. A projection that names none receives no erasures.
    const PERSONAL: &'static [&'static str] = &[];
    /// Whether the order of a row's events makes no difference (sums, counts): while an event is
    /// parked its row then takes in the later ones all the same, and the parked one late.
    const COMMUTES: bool = false;
    /// Whether it may be split by a hash of its keys, and into how many partitions it is unless
    /// told otherwise. Whoever says so has seen that nobody reads its rows for what they are
    /// together.
    const SPLIT: Split =
        Split::Never("its declaration does not say that its rows mean something each by itself");
    /// The events it handles, as it reads them.
    type Event: Send + Sync;
    /// What identifies a row: the primary key of the main table.
    type Key: RowKey;
    /// A row of the main table; as JSON it is what tools show.
    type Row: ProjectionRow<Key = Self::Key>;

    /// The types that it handles, as they are written today: it gets nothing else.
    fn handles() -> Vec<&'static str>;

    /// Reads an event of one of [`Projection::handles`], as it is written today. `None`: it has no
    /// use for this one. An error (another shape) stops the projection, as does an event of such a
    /// type in a version that this program does not know.
    fn read(event: &RecordedEvent) -> Option<Result<Self::Event, Reason>>;

    /// The rows that the event touches.
    fn keys(event: &Self::Event) -> Vec<Self::Key>;

    /// The row of `key` after the event; `row` is `None` when there was none.
    ///
    /// # Errors
    /// The event makes no sense for this row: it is parked, and the row's later events are held
    /// back behind it. A panic counts as that.
    fn fold(
        key: &Self::Key,
        row: Option<Self::Row>,
        event: &Incoming<Self::Event>,
    ) -> Result<Self::Row, Reason>;

    /// The rows that keep personal fields of this subject, whether or not a value is left in them,
    /// where the subject alone tells them; `None` when the tables must be asked, with
    /// [`Projection::rows_of`]. None at all, unless the projection says otherwise: it keeps no
    /// personal field.
    fn rows_of_subject(subject: Uuid) -> Option<Vec<Self::Key>> {
        let _ = subject;
        Some(Vec::new())
    }

    /// The rows that keep personal fields of these subjects, as the tables say.
    ///
    /// # Errors
    /// As Postgres says.
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

    /// Takes the values of an erased subject out of a row that keeps personal fields of it; leaves
    /// every other row as it is. What it does depends on whose the row is, never on whether a value
    /// is left, so that rows erased live equal rows rebuilt.
    fn blank(row: &mut Self::Row, erased: &Incoming<Uuid>) {
        let _ = (row, erased);
    }
}

/// An event on its way into a row.
#[derive(Debug, Clone)]
pub struct Incoming<E> {
    /// What happened.
    pub event: E,
    /// Its place in the log.
    pub position: Position,
    /// Its place in its stream.
    pub version: Version,
    /// Its place among what an older stored event has become: all of them take effect in one go,
    /// under the one position.
    pub fragment: u32,
    /// When it was appended.
    pub recorded_at: DateTime<Utc>,
}

/// The event changes a row that is not there.
#[derive(Debug, thiserror::Error)]
#[error("there is no row for it to change")]
pub struct NoSuchRow;

/// A sum or a count no longer fits its column.
#[derive(Debug, thiserror::Error)]
#[error("a figure of the row would not fit its column any more")]
pub struct TooLarge;

/// `a + b`, as a fold adds.
///
/// # Errors
/// [`TooLarge`].
pub fn add(a: i64, b: i64) -> Result<i64, TooLarge> {
    a.checked_add(b).ok_or(TooLarge)
}

/// One column of many rows, as `unnest` takes it.
pub(crate) fn column<'r, R, T>(rows: &'r [R], value: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
