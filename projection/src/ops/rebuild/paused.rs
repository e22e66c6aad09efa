//! Decides whether a rebuild would wait for a paused projection.
//!
//! The comparison waits until the live generation has reached the new one. A paused projection does
//! not get there. So a rebuild is refused before it begins, unless it does not wait: because it
//! does not compare, or has compared already, or nothing is live, or another fold or another
//! history made the live rows.

use std::sync::Arc;

use postgres_kit::Connection;
use sqlx::PgConnection;

use super::begin::{self, Phase};
use super::{RebuildError, is_of_this_log};
use crate::generation;
use crate::ops::Operations;
use crate::pause::{self, Pause};
use crate::projection::AnyProjection;

/// Finds the pause that a rebuild would wait for if the live rows belong to the log's history. Asks
/// only the read model.
pub(crate) async fn waits_for(
    connection: &mut Connection,
    projection: &dyn AnyProjection,
    (compare, resume): (bool, bool),
) -> sqlx::Result<Option<Pause>> {
    let name = projection.name();
    if !compare {
        return Ok(None);
    }
    let Some(pause) = pause::find(&mut *connection, name).await? else { return Ok(None) };
    let live = async |raw: &mut PgConnection| generation::live(raw, name).await;
    let live = connection.run(live).await?;
    if !live.is_some_and(|live| live.is_made_by(projection)) {
        return Ok(None);
    }
    let has_compared =
        resume && begin::phase(connection, name).await?.is_some_and(|at| at >= Phase::Compared);
    Ok((!has_compared).then_some(pause))
}

/// Refuses a rebuild that would wait for a paused projection.
///
/// # Errors
/// [`RebuildError::ProjectionPaused`], or a database failed.
pub(crate) async fn refuse(
    operations: &Operations,
    projection: &Arc<dyn AnyProjection>,
    asked: (bool, bool),
) -> Result<(), RebuildError> {
    let mut connection = operations.connect().await?;
    let Some(pause) = waits_for(&mut connection, projection.as_ref(), asked).await? else {
        return Ok(());
    };
    let name = projection.name();
    let live = async |raw: &mut PgConnection| match generation::live(raw, name).await? {
        Some(live) => generation::mark(raw, name, live.generation).await.map(Some),
        None => Ok(None),
    };
    match connection.run(live).await? {
        Some(at) if is_of_this_log(&operations.source(projection), at).await? => {
            Err(RebuildError::ProjectionPaused(Box::new(pause)))
        }
        _ => Ok(()),
    }
}
