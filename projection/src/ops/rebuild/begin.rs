//! What a rebuild notes of itself in the read model: that it began, how far it is, that it is to
//! pause.

use postgres_kit::Connection;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::{End, RebuildError};
use crate::generation::{self, Generation, SchemaError};
use crate::ops::Operations;
use crate::projection::AnyProjection;

/// How far a rebuild is.
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

/// How a rebuild begins.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct How {
    /// Whether to go on with the one that is unfinished.
    pub(crate) resume: bool,
    /// Into how many partitions a new generation is split; as before, unless said.
    pub(crate) partitions: Option<i32>,
    /// The recorded operation that works on it.
    pub(crate) operation: Option<Uuid>,
}

/// Begins a rebuild, or goes on with the one that is unfinished, and notes who works on it.
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

/// The rebuild of a projection that has not been switched to.
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

/// Notes that a phase is reached.
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

/// Lets every process that knows what folds the generation project it.
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

/// Asks the running rebuild of a projection to write what it has, and to end.
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

/// A rebuild that an operation has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    pub(crate) generation: i32,
    /// How it ended, if it has: nobody was left to say so.
    pub(crate) ended: Option<End>,
}

/// The rebuild on which an operation works. `None`: it has not begun, or its generation is dropped.
///
/// `switch`: whether the operation wants the generation to take the live one's place.
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
            // The one before it is not known any more.
            ("switched", _) => Some(End::Switched(None)),
            ("compared", "ready") if !switch => Some(End::Built),
            _ => None,
        },
    }))
}

/// Asks the rebuild on which an operation works to write what it has, and to end.
pub(crate) async fn pause_of(connection: impl PgExecutor<'_>, operation: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE read_model.rebuilds SET pause_wanted = true WHERE operation = $1",
        operation
    )
    .execute(connection)
    .await?;
    Ok(())
}
