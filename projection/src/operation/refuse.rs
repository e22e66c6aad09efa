//! Refuses an operation before it is recorded, because it could only fail.

use std::sync::Arc;
use std::time::Duration;

use postgres_kit::Connection;

use super::executor::Reach;
use super::{RebuildArguments, Task};
use crate::ops::rebuild::{RebuildError, paused};
use crate::projection::AnyProjection;

/// How long to wait for the event store. If it is away, the executor decides later.
const STORE_LIMIT: Duration = Duration::from_secs(5);

/// Returns why an operation would fail because its projection is paused: a rebuild that compares
/// waits for the live generation. `None` if the operation may begin.
///
/// # Errors
/// Postgres's error.
pub async fn refused(
    reach: &Reach,
    connection: &mut Connection,
    projection: &Arc<dyn AnyProjection>,
    task: &Task,
) -> sqlx::Result<Option<RebuildError>> {
    let Task::Rebuild(RebuildArguments { no_compare, resume, .. }) = task else {
        return Ok(None);
    };
    let asked = (!no_compare, *resume);
    if paused::waits_for(connection, projection.as_ref(), asked).await?.is_none() {
        return Ok(None);
    }
    let refused = async {
        let operations = reach.open().await.ok()?;
        paused::refuse(&operations, projection, asked).await.err()
    };
    let refused = tokio::time::timeout(STORE_LIMIT, refused).await.ok().flatten();
    Ok(refused.filter(|error| matches!(error, RebuildError::ProjectionPaused(_))))
}
