//! A projection's row: one declaration of its columns generates the struct, the statements that
//! load, save and copy rows, and the check against the table.

use postgres_kit::macros::PgArguments;
use postgres_kit::{TableRow, misfits, unread};
use serde::Serialize;
use sqlx::PgConnection;

use super::{CopyRow, RowKey};
use crate::projection::copy::copy_in;

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
#[macro_export]
macro_rules! row {
    (
        $(#[$attribute:meta])*
        $visible:vis struct $Row:ident in $table:ident by (
            $( $key_shown:vis $key:ident: $key_type:ty ),+ $(,)?
        ) {
            $( $(#[$about:meta])* $shown:vis $column:ident: $type:ty ),+ $(,)?
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
        }
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

/// A row type that does not match its table.
#[derive(Debug, thiserror::Error)]
#[error("the row of {table} does not fit its table: {misfits}")]
pub struct RowMisfit {
    table: &'static str,
    misfits: String,
}

/// Checks the row type against its table in the connection's current schema, and runs each
/// statement without rows.
///
/// # Errors
/// Postgres's error.
pub(super) async fn check<R: ProjectionRow>(
    connection: &mut PgConnection,
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
