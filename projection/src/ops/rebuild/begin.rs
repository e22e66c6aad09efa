//! The records of a rebuild in the read model: its start, its phase, and requests to pause.

use postgres_kit::Connection;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{End, RebuildError};
use crate::generation::{self, Generation, SchemaError};
use crate::ops::Operations;
use crate::projection::AnyProjection;

/// The phase of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Loading,
    CatchingUp,
    Compared,
}

impl Phase {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::CatchingUp => "catching_up",
            Self::Compared => "compared",
        }
    }
}

/// A rebuild that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unfinished {
    pub(crate) generation: i32,
    pub(crate) phase: Phase,
}

/// The options for starting a rebuild.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct How {
    /// Whether to resume an unfinished rebuild.
    pub(crate) resume: bool,
    /// The number of partitions of a new generation; by default as before.
    pub(crate) partitions: Option<i32>,
    /// The recorded operation that runs it.
    pub(crate) operation: Option<Uuid>,
}

/// Starts a rebuild or resumes an unfinished one, and records which operation runs it.
pub(crate) async fn begin(
    operations: &Operations,
    projection: &dyn AnyProjection,
    how: How,
) -> Result<Unfinished, RebuildError> {
    let mut connection = operations.connect().await?;
    connection.run(async |raw: &mut PgConnection| begin_with(raw, projection, how).await).await
}

async fn begin_with(
    connection: &mut PgConnection,
    projection: &dyn AnyProjection,
    how: How,
) -> Result<Unfinished, RebuildError> {
    let name = projection.name();
    let How { resume, partitions, operation } = how;
    let mut transaction = generation::locked(connection).await.map_err(SchemaError::from)?;
    let begun = match (find(&mut *transaction, name).await?, resume) {
        (Some((found, phase)), true) => {
            if !found.is_made_by(projection) {
                return Err(RebuildError::NotOurs(generation::not_ours(projection, Some(&found))));
            }
            sqlx::query!(
                "UPDATE read_model.rebuilds SET pause_wanted = false, operation = $3
                 WHERE projection = $1 AND generation = $2",
                name,
                found.generation,
                operation as Option<Uuid>
            )
            .execute(&mut *transaction)
            .await?;
            Unfinished { generation: found.generation, phase }
        }
        (Some((found, _)), false) => {
            return Err(RebuildError::Unfinished(name.to_owned(), found.generation));
        }
        (None, true) => return Err(RebuildError::NothingUnfinished(name.to_owned())),
        (None, false) => {
            let generation = generation::next(&mut transaction, name).await?;
            let live = generation::live(&mut transaction, name).await?;
            let partitions = generation::partitions_of(projection, partitions, live.as_ref())?;
            generation::make(&mut transaction, projection, (generation, partitions), "building")
                .await?;
            projection.check_row(&mut transaction).await?.map_err(SchemaError::from)?;
            sqlx::query!(
                "INSERT INTO read_model.rebuilds (projection, generation, operation) \
                    VALUES ($1, $2, $3)",
                name,
                generation,
                operation as Option<Uuid>
            )
            .execute(&mut *transaction)
            .await?;
            sqlx::query!("SELECT read_model.set_constraints_aside($1, $2)", name, generation)
                .execute(&mut *transaction)
                .await?;
            Unfinished { generation, phase: Phase::Loading }
        }
    };
    transaction.commit().await?;
    Ok(begun)
}

/// Finds the rebuild of a projection that was not switched to yet.
async fn find(
    connection: impl PgExecutor<'_>,
    projection: &str,
) -> sqlx::Result<Option<(Generation, Phase)>> {
    let row = sqlx::query!(
        "SELECT g.generation, g.fold_version, g.tables, g.partitions, r.phase
         FROM read_model.rebuilds AS r JOIN read_model.generations AS g USING (projection, \
         generation)
         WHERE projection = $1 AND r.phase <> 'switched'",
        projection
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let phase = match row.phase.as_str() {
            "loading" => Phase::Loading,
            "catching_up" => Phase::CatchingUp,
            _ => Phase::Compared,
        };
        let (generation, fold_version, tables, partitions) =
            (row.generation, row.fold_version, row.tables, row.partitions);
        (Generation { generation, fold_version, tables, partitions, live: false }, phase)
    }))
}

/// Finds the phase of the unfinished rebuild of a projection.
pub(crate) async fn phase(
    connection: impl PgExecutor<'_>,
    projection: &str,
) -> sqlx::Result<Option<Phase>> {
    Ok(find(connection, projection).await?.map(|(_, phase)| phase))
}

/// Records that a phase is reached.
pub(crate) async fn reached(
    connection: &mut Connection,
    projection: &str,
    generation: i32,
    phase: Phase,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE read_model.rebuilds SET phase = $3 WHERE projection = $1 AND generation = $2",
        projection,
        generation,
        phase.as_str()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets every process with the same fold project the generation.
pub(crate) async fn make_ready(
    connection: &mut Connection,
    projection: &str,
    generation: i32,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE read_model.generations SET state = 'ready' WHERE projection = $1 AND generation = \
            $2",
        projection,
        generation
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Asks the running rebuild of a projection to save its work and end.
///
/// # Errors
/// [`RebuildError::NothingUnfinished`], [`RebuildError::Database`].
pub async fn pause(connection: &mut Connection, projection: &str) -> Result<(), RebuildError> {
    let Some((found, _)) = find(&mut *connection, projection).await? else {
        return Err(RebuildError::NothingUnfinished(projection.to_owned()));
    };
    sqlx::query!(
        "UPDATE read_model.rebuilds SET pause_wanted = true WHERE projection = $1 AND generation \
            = $2",
        projection,
        found.generation
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A rebuild that an operation started or resumed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    pub(crate) generation: i32,
    /// How it ended, if it did before the operation could record it.
    pub(crate) ended: Option<End>,
}

/// Finds the rebuild that an operation started or resumed. `None` if there is none yet, or its
/// generation was dropped.
///
/// `switch` says whether the operation wants to switch to the new generation.
pub(crate) async fn begun_by(
    connection: impl PgExecutor<'_>,
    operation: Uuid,
    switch: bool,
) -> sqlx::Result<Option<Begun>> {
    let row = sqlx::query!(
        "SELECT r.generation, r.phase, g.state
         FROM read_model.rebuilds AS r JOIN read_model.generations AS g USING (projection, \
         generation)
         WHERE r.operation = $1",
        operation
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Begun {
        generation: row.generation,
        ended: match (row.phase.as_str(), row.state.as_str()) {
            // The previous generation is not known any more.
            ("switched", _) => Some(End::Switched(None)),
            ("compared", "ready") if !switch => Some(End::Built),
            _ => None,
        },
    }))
}

/// Asks the rebuild of an operation to save its work and end.
pub(crate) async fn pause_of(connection: impl PgExecutor<'_>, operation: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE read_model.rebuilds SET pause_wanted = true WHERE operation = $1",
        operation
    )
    .execute(connection)
    .await?;
    Ok(())
}
