//! The statements of questions.
//!
//! A statement reads its rows together with the checkpoints of their projections. One statement is
//! one snapshot, so the position of an answer is that of its rows, without a transaction.
//!
//! Only the conditions that a question has are part of its statement, so that a plan for all values
//! can use the right index.

use postgres_kit::macros::{PgArguments, argument};
use postgres_kit::{Columns, TableRow};
use sqlx::postgres::PgRow;
use sqlx::{
    AssertSqlSafe, Encode, Postgres, Row as _, SqlSafeStr as _, SqlStr, Type, ValueRef as _,
};

use super::Checkpoint;

/// The columns of a checkpoint. Those of the rows follow.
pub(super) const CHECKPOINT: &str = "cp_projection, cp_generation, cp_partition, cp_partitions, \
    cp_epoch, cp_position, cp_event_id, cp_stale, cp_lag";
/// The number of these columns.
pub(super) const CHECKPOINT_COLUMNS: usize = 9;
/// The checkpoints of live generations. The names of their projections follow, and `OFFSET 0`,
/// without which Postgres would look for stale rows once for each row of the answer.
pub(super) const CHECKPOINTS: &str = "(SELECT c.projection AS cp_projection,
    c.generation AS cp_generation, c.partition AS cp_partition, g.partitions AS cp_partitions,
    c.epoch AS cp_epoch, c.position AS cp_position, c.event_id AS cp_event_id,
    EXISTS (SELECT FROM read_model.stale s WHERE s.projection = c.projection
        AND s.generation = c.generation) AS cp_stale,
    EXTRACT(EPOCH FROM now() - c.complete_until)::float8 AS cp_lag
    FROM read_model.generations g
    JOIN read_model.checkpoints c ON c.projection = g.projection AND c.generation = g.generation
    WHERE g.live AND g.projection IN (";

/// A column without a value.
const NOTHING: &str = ", NULL";

/// The names of these columns of a row, as a statement lists them.
pub(super) fn listed<R: TableRow>(columns: Columns) -> impl Iterator<Item = &'static str> {
    // The first column is always there.
    let others = columns.names::<R>().skip(1).flat_map(|name| [", ", name]);
    columns.names::<R>().take(1).chain(others)
}

/// The pieces of a statement between the `before` columns of its checkpoints and these columns of a
/// row: it reads the lines of `checkpoints`, and then those of the rows of `R`.
///
/// Each half has nothing in the columns of the other: checkpoints that come with each row would
/// cost as much as the rows. The first half says the names of the columns, and the second one the
/// types.
pub(super) fn rows_after<R: TableRow>(
    before: usize,
    columns: Columns,
    checkpoints: &'static str,
) -> impl Iterator<Item = &'static str> {
    let names = columns.names::<R>().flat_map(|name| [NOTHING, " AS ", name]);
    names
        .chain([" FROM ", checkpoints, " UNION ALL SELECT NULL"])
        .chain(std::iter::repeat_n(NOTHING, before - 1))
        .chain([", "])
        .chain(listed::<R>(columns))
}

/// The text of a statement. Its pieces are constants, so no input can be part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement(String);

impl Statement {
    /// Joins these pieces.
    pub(super) fn of(pieces: &[&'static str]) -> Self {
        Self(pieces.concat())
    }

    /// The text for the driver.
    pub(super) fn sql(self) -> SqlStr {
        AssertSqlSafe(self.0).into_sql_str()
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// The conditions of a question that have a value, and the values of all.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    /// Each begins with ` AND `.
    pub(super) pieces: Vec<&'static str>,
    /// A condition without a value has a null, so that the numbers of parameters are constants.
    pub(super) arguments: PgArguments,
}

impl Conditions {
    /// Adds a condition if it has a value. It begins with ` AND ` and names the next parameter.
    pub(super) fn when<'q, T>(
        mut self,
        value: Option<T>,
        condition: &'static str,
    ) -> sqlx::Result<Self>
    where
        Option<T>: Encode<'q, Postgres> + Type<Postgres>,
    {
        if value.is_some() {
            self.pieces.push(condition);
        }
        argument(&mut self.arguments, value)?;
        Ok(self)
    }

    /// Adds the value of the next parameter, which another part of the statement names.
    pub(super) fn with<'q, T>(mut self, value: T) -> sqlx::Result<Self>
    where
        T: Encode<'q, Postgres> + Type<Postgres>,
    {
        argument(&mut self.arguments, value)?;
        Ok(self)
    }
}

/// Reads the checkpoints and the rows of an answer. The columns of a row begin at `first`, and are
/// these.
///
/// The rows of a list have lines of their own. Those of other questions are joined to one of the
/// checkpoints. Each of the others has a line of its own. So has the first one if there are no
/// rows.
pub(super) fn read_all<R: TableRow>(
    lines: &[PgRow],
    first: usize,
    columns: Columns,
) -> sqlx::Result<(Vec<Checkpoint>, Vec<R>)> {
    let (mut checkpoints, mut rows) = (Vec::with_capacity(1), Vec::with_capacity(lines.len()));
    for line in lines {
        match R::read_if_there(line, first, columns)? {
            Some(row) => {
                if rows.is_empty() && has_checkpoint(line) {
                    checkpoints.push(Checkpoint::read(line)?);
                }
                rows.push(row);
            }
            None => checkpoints.push(Checkpoint::read(line)?),
        }
    }
    Ok((checkpoints, rows))
}

/// Whether a line has a checkpoint.
pub(super) fn has_checkpoint(line: &PgRow) -> bool {
    line.try_get_raw(0).is_ok_and(|projection| !projection.is_null())
}

impl Checkpoint {
    fn read(line: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            projection: line.try_get(0)?,
            generation: line.try_get(1)?,
            partition: line.try_get(2)?,
            partitions: line.try_get(3)?,
            epoch: line.try_get(4)?,
            position: line.try_get(5)?,
            event_id: line.try_get(6)?,
            stale: line.try_get(7)?,
            lag: line.try_get(8)?,
        })
    }
}
