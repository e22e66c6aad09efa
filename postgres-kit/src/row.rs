//! Typed rows: [`row!`](crate::row!) derives a struct, its column list for statements, and its
//! reader from one declaration. [`misfits`] compares the struct with the real table, in a test or
//! before the table is used.

use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgConnection, PgRow, PgTypeInfo};
use sqlx::{Decode, Postgres, Row as _, Type, TypeInfo as _};

/// A row whose fields are columns. Implemented by [`row!`](crate::row!).
pub trait TableRow: Sized {
    /// The column names as statements list them: `id, name`.
    const COLUMNS: &'static str;

    /// Name and type of each column, in the same order.
    const SHAPE: &'static [Column];

    /// Reads the columns of a result, starting at index `first`: those of `columns`, in the order
    /// of [`TableRow::COLUMNS`]. The fields of others have the default of their type.
    ///
    /// # Errors
    /// A value does not have its field's type, or is null and the field is not an `Option`.
    fn read_some(row: &PgRow, first: usize, columns: Columns) -> sqlx::Result<Self>;

    /// Reads all columns of a result, starting at index `first`, in the order of
    /// [`TableRow::COLUMNS`].
    ///
    /// # Errors
    /// Those of [`TableRow::read_some`].
    fn read(row: &PgRow, first: usize) -> sqlx::Result<Self> {
        Self::read_some(row, first, Columns::ALL)
    }

    /// Like [`TableRow::read_some`], for the right side of a `LEFT JOIN`. Returns `None` if the
    /// first column, which must be part of the primary key, is null.
    ///
    /// # Errors
    /// Those of [`TableRow::read_some`].
    fn read_if_there(row: &PgRow, first: usize, columns: Columns) -> sqlx::Result<Option<Self>> {
        use sqlx::ValueRef as _;
        if row.try_get_raw(first)?.is_null() {
            return Ok(None);
        }
        Self::read_some(row, first, columns).map(Some)
    }
}

/// Some of the columns of a row. The first column, the id, is always one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Columns(u64);

impl Columns {
    /// All columns of a row.
    pub const ALL: Self = Self(u64::MAX);
    /// The maximum number of columns of a row.
    pub const MOST: usize = 64;
    /// The first column alone.
    pub const ID: Self = Self(1);

    /// The columns whose names `is_one` accepts, and the first column.
    pub fn named<R: TableRow>(mut is_one: impl FnMut(&str) -> bool) -> Self {
        let all = R::SHAPE.iter().enumerate();
        let named = all.filter(|(_, column)| is_one(column.name)).map(|(at, _)| 1 << at);
        Self(named.fold(Self::ID.0, |set, column: u64| set | column))
    }

    /// These columns and others.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether the column at this index of [`TableRow::SHAPE`] is one of them. The index is below
    /// [`Columns::MOST`].
    pub const fn has(self, at: usize) -> bool {
        self.0 >> at & 1 == 1
    }

    /// Their names, in the order of [`TableRow::COLUMNS`].
    pub fn names<R: TableRow>(self) -> impl Iterator<Item = &'static str> + Clone {
        let all = R::SHAPE.iter().enumerate();
        all.filter(move |(at, _)| self.has(*at)).map(|(_, column)| column.name)
    }
}

/// What a field expects of its column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name of the field and of the column.
    pub name: &'static str,
    type_info: fn() -> PgTypeInfo,
    compatible: fn(&PgTypeInfo) -> bool,
    reads: fn(&PgRow) -> bool,
}

impl Column {
    /// The column `name` for a field of type `T`.
    pub const fn of<T>(name: &'static str) -> Self
    where
        T: Type<Postgres> + for<'r> Decode<'r, Postgres>,
    {
        Self {
            name,
            type_info: T::type_info,
            compatible: T::compatible,
            reads: |row| row.try_get::<T, _>(0).is_ok(),
        }
    }
}

/// Reads the value at index `at` of a row and advances `at`.
///
/// # Errors
/// The value does not have this type.
pub fn next<'r, T>(row: &'r PgRow, at: &mut usize) -> sqlx::Result<T>
where
    T: Type<Postgres> + Decode<'r, Postgres>,
{
    let value = row.try_get(*at)?;
    *at += 1;
    Ok(value)
}

/// The place of the next column in a result, and in its row.
#[doc(hidden)]
#[derive(Debug)]
pub struct Place {
    in_result: usize,
    in_row: usize,
    columns: Columns,
}

impl Place {
    /// The first column of a row, at index `first` of a result.
    pub const fn first(first: usize, columns: Columns) -> Self {
        Self { in_result: first, in_row: 0, columns }
    }
}

/// Reads the value at a place and advances it. A column that the result does not have is the
/// default of its type.
///
/// # Errors
/// The value does not have this type.
pub fn next_of<'r, T>(row: &'r PgRow, place: &mut Place) -> sqlx::Result<T>
where
    T: Type<Postgres> + Decode<'r, Postgres> + Default,
{
    let is_there = place.columns.has(place.in_row);
    place.in_row += 1;
    if !is_there {
        return Ok(T::default());
    }
    place.in_result += 1;
    row.try_get(place.in_result - 1)
}

/// Declares a row: a struct whose fields are the columns of the same names. The field of a nullable
/// column is an `Option`. Each type has a default, for statements that leave the column out.
///
/// ```
/// postgres_kit::row! {
///     /// A thing.
///     #[derive(Debug)]
///     pub struct Thing {
///         /// Its id.
///         pub id: i64,
///         /// Its name, if it has one.
///         pub name: Option<String>,
///     }
/// }
/// assert_eq!(<Thing as postgres_kit::TableRow>::COLUMNS, "id, name");
/// ```
#[macro_export]
macro_rules! row {
    (
        $(#[$attribute:meta])*
        $visible:vis struct $Row:ident {
            $( $(#[$about:meta])* $shown:vis $column:ident: $type:ty ),+ $(,)?
        }
    ) => {
        $(#[$attribute])*
        $visible struct $Row {
            $( $(#[$about])* $shown $column: $type ),+
        }

        impl $crate::TableRow for $Row {
            const COLUMNS: &'static str = $crate::columns!($($column)+);
            const SHAPE: &'static [$crate::Column] =
                &[$($crate::Column::of::<$type>(stringify!($column))),+];

            fn read_some(
                row: &$crate::macros::PgRow,
                first: usize,
                columns: $crate::Columns,
            ) -> $crate::macros::Result<Self> {
                const { assert!(Self::SHAPE.len() <= $crate::Columns::MOST, "too many columns") };
                let mut place = $crate::macros::Place::first(first, columns);
                Ok(Self { $($column: $crate::macros::next_of(row, &mut place)?),+ })
            }
        }
    };
}

/// Joins column names as a statement lists them.
#[doc(hidden)]
#[macro_export]
macro_rules! columns {
    ($first:ident $($other:ident)*) => {
        concat!(stringify!($first) $(, ", ", stringify!($other))*)
    };
}

/// Collects a statement's arguments for `query_with`. Each is a value or a reference to one.
///
/// ```
/// # fn main() -> sqlx::Result<()> {
/// let arguments = postgres_kit::arguments![7_i64, &Some("name")]?;
/// # Ok(()) }
/// ```
#[macro_export]
macro_rules! arguments {
    ($($value:expr),* $(,)?) => {{
        let mut arguments = $crate::macros::PgArguments::default();
        Ok::<_, $crate::macros::Error>(())
            $( .and_then(|()| $crate::macros::argument(&mut arguments, $value)) )*
            .map(|()| arguments)
    }};
}

/// Adds one argument.
///
/// # Errors
/// The value cannot be encoded.
pub fn argument<'q, T>(arguments: &mut sqlx::postgres::PgArguments, value: T) -> sqlx::Result<()>
where
    T: sqlx::Encode<'q, Postgres> + Type<Postgres>,
{
    sqlx::Arguments::add(arguments, value).map_err(sqlx::Error::Encode)
}

/// Describes how fields differ from the columns of a table, for people; empty if they fit. `table`
/// is a name as Postgres resolves it. A column without a field is not a difference: see [`unread`].
///
/// # Errors
/// Postgres's error.
pub async fn misfits(
    connection: &mut PgConnection,
    table: &str,
    shape: &[Column],
) -> sqlx::Result<Vec<String>> {
    let null = sqlx::query("SELECT NULL").fetch_one(&mut *connection).await?;
    let columns = columns_of(connection, table).await?;
    let misfit = |column: &Column| {
        let name = column.name;
        let Some((_, oid, type_name, not_null)) = columns.iter().find(|(n, ..)| n == name) else {
            return Some(format!("{table} has no column {name}"));
        };
        let expected = (column.type_info)();
        if !(column.compatible)(&PgTypeInfo::with_oid(*oid)) {
            let expected = expected.name().to_lowercase();
            return Some(format!(
                "{table}.{name} is of type {type_name}, but its field of {expected}"
            ));
        }
        match ((column.reads)(&null), not_null) {
            (false, false) => {
                Some(format!("{table}.{name} may be null, but its field is not an Option"))
            }
            (true, true) => Some(format!("{table}.{name} is not null, but its field is an Option")),
            (true, false) | (false, true) => None,
        }
    };
    Ok(shape.iter().filter_map(misfit).collect())
}

/// The columns of a table that have no field.
///
/// # Errors
/// Postgres's error.
pub async fn unread(
    connection: &mut PgConnection,
    table: &str,
    shape: &[Column],
) -> sqlx::Result<Vec<String>> {
    let columns = columns_of(connection, table).await?.into_iter().map(|(name, ..)| name);
    Ok(columns.filter(|name| shape.iter().all(|column| column.name != name)).collect())
}

async fn columns_of(
    connection: &mut PgConnection,
    table: &str,
) -> sqlx::Result<Vec<(String, Oid, String, bool)>> {
    sqlx::query_as(
        "SELECT attname::text, atttypid, format_type(atttypid, atttypmod), attnotnull
         FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
         ORDER BY attnum",
    )
    .bind(table)
    .fetch_all(connection)
    .await
}
