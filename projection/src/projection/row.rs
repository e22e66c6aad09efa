//! A projection's row: one declaration of its columns generates the struct, the statements that
//! load, save and copy rows, and the check against the table.

use event_store::{Position, Version};
use postgres_kit::macros::{PgArguments, argument, next};
use postgres_kit::{TableRow, misfits, unread};
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::past::{PastEvent, PastRow};
use super::{CopyRow, Origin, RowKey};
use crate::projection::copy::{copy_in, copy_with};

/// A row of a projection's table. Implemented by [`row!`](crate::row!).
pub trait ProjectionRow: TableRow + Clone + Serialize + Send + Sync + 'static {
    /// The columns of the primary key, which are the first columns of the row.
    type Key: RowKey;

    /// The name of the table.
    const TABLE: &'static str;

    /// The statement that selects rows by key. It has one array parameter per key column.
    const LOAD: &'static str;

    /// The statement that inserts or replaces rows. It has one array parameter per column.
    const SAVE: &'static str;

    /// The statement that loads the table quickly.
    const COPY: &'static str;

    /// The table of its past rows. Like three statements on it, only a projection with a history
    /// needs it.
    const PAST: &'static str = "";

    /// The statement that selects past rows of one key, in order. It has one array parameter per
    /// key column, then the position to start after and the maximum number of rows.
    const LOAD_PAST: &'static str = "";

    /// The statement that inserts or replaces past rows. It has one array parameter per column.
    const SAVE_PAST: &'static str = "";

    /// The statement that loads the table of past rows quickly.
    const COPY_PAST: &'static str = "";

    /// Returns the row's key.
    fn key(&self) -> Self::Key;

    /// The arguments of [`ProjectionRow::LOAD`].
    ///
    /// # Errors
    /// A value cannot be encoded.
    fn keys(keys: &[Self::Key]) -> sqlx::Result<PgArguments> {
        let mut arguments = PgArguments::default();
        Self::Key::bind(keys.iter(), &mut arguments).map_err(sqlx::Error::Encode)?;
        Ok(arguments)
    }

    /// The arguments of [`ProjectionRow::SAVE`].
    ///
    /// # Errors
    /// A value cannot be encoded.
    fn values(rows: &[Self]) -> sqlx::Result<PgArguments>;

    /// Writes the row's values for [`ProjectionRow::COPY`].
    fn copy(&self, to: &mut CopyRow);

    /// Returns the row as its past keeps it: without the values of private columns.
    #[must_use]
    fn abridged(&self) -> Self {
        self.clone()
    }
}

/// Declares the row of a projection: its table, primary key and other columns. The field of a
/// nullable column is an `Option`.
///
/// ```
/// projection::row! {
///     /// A row of `coupons`.
///     #[derive(Debug, Clone, serde::Serialize)]
///     pub struct CouponRow in coupons by (id: uuid::Uuid) {
///         percent: i16,
///         position: i64,
///     }
/// }
/// ```
///
/// A key of two columns is declared as `by (day: NaiveDate, currency: String)`; its type is a pair.
///
/// A column that only folds need is private: `seen: Json<Seen> => private`. Its value may grow with
/// the number of events, so past rows have the type's default instead.
#[macro_export]
macro_rules! row {
    (
        $(#[$attribute:meta])*
        $visible:vis struct $Row:ident in $table:ident by (
            $( $key_shown:vis $key:ident: $key_type:ty ),+ $(,)?
        ) {
            $( $(#[$about:meta])* $shown:vis $column:ident: $type:ty $(=> $private:ident)? ),+ $(,)?
        }
    ) => {
        $crate::macros::row! {
            $(#[$attribute])*
            $visible struct $Row {
                $( $key_shown $key: $key_type, )+
                $( $(#[$about])* $shown $column: $type, )+
            }
        }

        impl $crate::ProjectionRow for $Row {
            type Key = $crate::key_type!($($key_type),+);

            const TABLE: &'static str = stringify!($table);
            const LOAD: &'static str = $crate::macros::sql!(
                "SELECT ", <$Row as $crate::macros::TableRow>::COLUMNS, " FROM ",
                $crate::keyed!($table $($key)+)
            );
            const SAVE: &'static str = $crate::macros::sql!(
                "INSERT INTO ", stringify!($table),
                " (", <$Row as $crate::macros::TableRow>::COLUMNS, ") SELECT * FROM unnest(",
                $crate::macros::placeholders(<$Row as $crate::macros::TableRow>::SHAPE.len()),
                ") ON CONFLICT (", $crate::macros::columns!($($key)+), ") DO UPDATE SET ",
                $crate::replaced!($($column)+)
            );
            const COPY: &'static str = $crate::macros::sql!(
                "COPY ", stringify!($table),
                " (", <$Row as $crate::macros::TableRow>::COLUMNS,
                ") FROM STDIN (FORMAT binary)"
            );
            const PAST: &'static str = concat!(stringify!($table), "_history");
            const LOAD_PAST: &'static str = $crate::macros::sql!(
                "SELECT ", <$Row as $crate::macros::TableRow>::COLUMNS, ", ",
                $crate::macros::EVENT_COLUMNS, ", position FROM ",
                $crate::keyed_past!($table $($key)+)
            );
            const SAVE_PAST: &'static str = $crate::macros::sql!(
                "INSERT INTO ", stringify!($table), "_history (",
                <$Row as $crate::macros::TableRow>::COLUMNS, ", ", $crate::macros::EVENT_COLUMNS,
                ") SELECT * FROM unnest(",
                $crate::macros::placeholders(
                    <$Row as $crate::macros::TableRow>::SHAPE.len() + $crate::macros::EVENT_WIDTH
                ),
                ") ON CONFLICT (", $crate::macros::columns!($($key)+), ", position) DO UPDATE SET ",
                $crate::replaced!($($column)+), ", ",
                $crate::replaced!(event_id event_type event_version event_at event_by)
            );
            const COPY_PAST: &'static str = $crate::macros::sql!(
                "COPY ", stringify!($table), "_history (",
                <$Row as $crate::macros::TableRow>::COLUMNS, ", ", $crate::macros::EVENT_COLUMNS,
                ") FROM STDIN (FORMAT binary)"
            );

            fn key(&self) -> Self::Key {
                ($(self.$key.clone()),+)
            }

            fn values(rows: &[Self]) -> $crate::macros::Result<$crate::macros::PgArguments> {
                $crate::macros::arguments![
                    $( rows.iter().map(|row| &row.$key).collect::<Vec<_>>(), )+
                    $( rows.iter().map(|row| &row.$column).collect::<Vec<_>>(), )+
                ]
            }

            fn copy(&self, to: &mut $crate::CopyRow) {
                $( to.column(&self.$key); )+
                $( to.column(&self.$column); )+
            }

            fn abridged(&self) -> Self {
                Self {
                    $( $key: self.$key.clone(), )+
                    $( $column: $crate::abridged_value!(self.$column $(=> $private)?), )+
                }
            }
        }
    };
}

/// What a past row has in a column.
#[doc(hidden)]
#[macro_export]
macro_rules! abridged_value {
    ($value:expr) => {
        $value.clone()
    };
    ($value:expr => private) => {
        ::std::default::Default::default()
    };
}

/// The type of a key of one or two columns.
#[doc(hidden)]
#[macro_export]
macro_rules! key_type {
    ($one:ty) => {
        $one
    };
    ($first:ty, $second:ty) => {
        ($first, $second)
    };
}

/// The table with the condition that selects rows by keys.
#[doc(hidden)]
#[macro_export]
macro_rules! keyed {
    ($table:ident $key:ident) => {
        concat!(stringify!($table), " WHERE ", stringify!($key), " = ANY($1)")
    };
    ($table:ident $first:ident $second:ident) => {
        concat!(
            stringify!($table),
            " JOIN unnest($1, $2) AS k (",
            stringify!($first),
            ", ",
            stringify!($second),
            ") USING (",
            stringify!($first),
            ", ",
            stringify!($second),
            ")"
        )
    };
}

/// The table of past rows with the condition that selects some of one key, in order.
#[doc(hidden)]
#[macro_export]
macro_rules! keyed_past {
    ($table:ident $key:ident) => {
        concat!(
            stringify!($table),
            "_history WHERE ",
            stringify!($key),
            " = ANY($1) AND position > $2 ORDER BY position LIMIT $3"
        )
    };
    ($table:ident $first:ident $second:ident) => {
        concat!(
            stringify!($table),
            "_history JOIN unnest($1, $2) AS k (",
            stringify!($first),
            ", ",
            stringify!($second),
            ") USING (",
            stringify!($first),
            ", ",
            stringify!($second),
            ") WHERE position > $3 ORDER BY position LIMIT $4"
        )
    };
}

/// The assignments that replace an existing row.
#[doc(hidden)]
#[macro_export]
macro_rules! replaced {
    ($first:ident $($other:ident)*) => {
        concat!(
            stringify!($first), " = excluded.", stringify!($first)
            $(, ", ", stringify!($other), " = excluded.", stringify!($other))*
        )
    };
}

/// Loads the existing rows of these keys.
pub(super) async fn load<R: ProjectionRow>(
    connection: &mut PgConnection,
    keys: &[R::Key],
) -> sqlx::Result<Vec<(R::Key, R)>> {
    let rows = sqlx::query_with(R::LOAD, R::keys(keys)?).fetch_all(connection).await?;
    rows.iter().map(|row| R::read(row, 0).map(|row| (row.key(), row))).collect()
}

/// Inserts or replaces these rows. Keys must be distinct.
pub(super) async fn save<R: ProjectionRow>(
    connection: &mut PgConnection,
    rows: &[R],
) -> sqlx::Result<()> {
    sqlx::query_with(R::SAVE, R::values(rows)?).execute(connection).await.map(drop)
}

/// The columns of a past row that say which event made it.
pub const EVENT_COLUMNS: &str = "event_id, event_type, event_version, event_at, event_by";
/// The number of [`EVENT_COLUMNS`].
pub const EVENT_WIDTH: usize = 5;

/// Loads past rows of a key, in order, after a position and at most this many.
pub(super) async fn load_past<R: ProjectionRow>(
    connection: &mut PgConnection,
    key: &R::Key,
    (after, limit): (Position, usize),
) -> sqlx::Result<Vec<PastRow<R>>> {
    let mut arguments = R::keys(std::slice::from_ref(key))?;
    argument(&mut arguments, after.0)?;
    argument(&mut arguments, i64::try_from(limit).unwrap_or(i64::MAX))?;
    let rows = sqlx::query_with(R::LOAD_PAST, arguments).fetch_all(connection).await?;
    let read = |row: &PgRow| {
        let mut at = R::SHAPE.len();
        let origin =
            Origin { event_id: next(row, &mut at)?, event_type: next(row, &mut at)?, actor: None };
        let (version, recorded_at) = (Version(next(row, &mut at)?), next(row, &mut at)?);
        let origin = Origin { actor: next(row, &mut at)?, ..origin };
        let position = Position(next(row, &mut at)?);
        let event = PastEvent { origin, version, recorded_at };
        Ok(PastRow { row: R::read(row, 0)?, position, event })
    };
    rows.iter().map(read).collect()
}

/// Inserts or replaces these past rows. No two may have the same key and position.
pub(super) async fn save_past<R: ProjectionRow>(
    connection: &mut PgConnection,
    past: &[PastRow<R>],
) -> sqlx::Result<()> {
    let rows: Vec<R> = past.iter().map(|past| past.row.clone()).collect();
    let mut arguments = R::values(&rows)?;
    let events = || past.iter().map(|past| &past.event);
    argument(&mut arguments, events().map(|event| event.origin.event_id).collect::<Vec<_>>())?;
    argument(&mut arguments, events().map(|event| &event.origin.event_type).collect::<Vec<_>>())?;
    argument(&mut arguments, events().map(|event| event.version.0).collect::<Vec<_>>())?;
    argument(&mut arguments, events().map(|event| event.recorded_at).collect::<Vec<_>>())?;
    argument(&mut arguments, events().map(|event| &event.origin.actor).collect::<Vec<_>>())?;
    sqlx::query_with(R::SAVE_PAST, arguments).execute(connection).await.map(drop)
}

/// Copies past rows that are not there yet.
pub(super) async fn copy_past<R: ProjectionRow>(
    connection: &mut PgConnection,
    past: &[PastRow<R>],
) -> sqlx::Result<()> {
    let write = |past: &PastRow<R>, to: &mut CopyRow| {
        let PastEvent { origin, version, recorded_at } = &past.event;
        past.row.copy(to);
        to.column(&origin.event_id).column(&origin.event_type).column(&version.0);
        to.column(recorded_at).column(&origin.actor);
    };
    copy_with(connection, R::COPY_PAST, past.iter(), write).await.map(drop)
}

/// A row type that does not match its table.
#[derive(Debug, thiserror::Error)]
#[error("the row of {table} does not fit its table: {misfits}")]
pub struct RowMisfit {
    table: &'static str,
    misfits: String,
}

/// Checks the row type against its table in the current schema, and runs each statement without
/// rows; with a history also that of its past rows.
///
/// # Errors
/// Postgres's error.
pub(super) async fn check<R: ProjectionRow>(
    connection: &mut PgConnection,
    with_history: bool,
) -> sqlx::Result<Result<(), RowMisfit>> {
    let mut found = misfits(connection, R::TABLE, R::SHAPE).await?;
    let unread = unread(connection, R::TABLE, R::SHAPE).await?;
    found.extend(unread.iter().map(|name| format!("the row has no field {name}")));
    if found.is_empty() {
        found.extend(refused(R::LOAD, load::<R>(connection, &[]).await)?);
    }
    if found.is_empty() {
        found.extend(refused(R::SAVE, save::<R>(connection, &[]).await)?);
    }
    if found.is_empty() {
        let nothing = std::iter::empty::<&R>();
        found.extend(refused(R::COPY, copy_in(connection, nothing).await)?);
    }
    if found.is_empty() && with_history {
        found = misfits(connection, R::PAST, R::SHAPE).await?;
        if found.is_empty() {
            found.extend(refused(R::SAVE_PAST, save_past::<R>(connection, &[]).await)?);
        }
    }
    if found.is_empty() {
        return Ok(Ok(()));
    }
    Ok(Err(RowMisfit { table: R::TABLE, misfits: found.join("; ") }))
}

/// Why Postgres refuses a statement.
fn refused<T>(statement: &str, done: sqlx::Result<T>) -> sqlx::Result<Option<String>> {
    match done {
        Err(sqlx::Error::Database(error)) => Ok(Some(format!("`{statement}`: {error}"))),
        done => done.map(|_| None),
    }
}
