//! What a stream reads by itself: the snapshot that it begins with, and what it missed.

use std::sync::Arc;

use futures::future::BoxFuture;
use service_kit::{PageInfo, Problem};
use uuid::Uuid;

use super::frame::Place;
use super::row::Followed;
use super::step::PAGE_ROWS;
use crate::read::changes::Changes;
use crate::read::{ReadError, Reader, Seen};
use crate::wait::Wait;

/// The maximum number of changed rows that a stream catches up with. With more, it begins again
/// with a snapshot.
const MAX_MISSED: usize = 2_000;

/// The rows that a stream begins with: those that the same request without live updates shows.
#[derive(Debug)]
pub(crate) struct Snapshot<R> {
    pub(crate) rows: Vec<R>,
    pub(crate) seen: Seen,
    /// Only of a list.
    pub(crate) page: Option<PageInfo>,
}

/// Reads the snapshot.
pub(crate) type Ask<R> =
    Arc<dyn Fn(Option<Wait>) -> BoxFuture<'static, Result<Snapshot<R>, Problem>> + Send + Sync>;

/// What a stream missed.
pub(super) struct Missed<R> {
    /// The rows in the order of their changes.
    pub(super) rows: Vec<R>,
    /// What the last of its reads showed.
    pub(super) seen: Seen,
}

/// Reads the rows of a list that changed after a place. Returns `None` if they are too many, or if
/// rows lack events.
pub(super) async fn missed<R: Followed>(
    reader: &Reader,
    after: Place,
    owner: Option<Uuid>,
) -> Result<Option<Missed<R>>, ReadError> {
    let (mut rows, mut after) = (Vec::new(), after);
    loop {
        let view = reader.read(Changes::<R>::new(after.key(), owner, PAGE_ROWS)).await?;
        let (read, seen) = (view.data, view.seen);
        if seen.stale || rows.len() + read.len() > MAX_MISSED {
            return Ok(None);
        }
        let is_full = read.len() == usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
        // Partitions that are ahead wait for the others.
        let shown = read.into_iter().filter(|row| row.position() <= seen.position);
        let before = rows.len();
        rows.extend(shown);
        match rows.last() {
            Some(last) if is_full && rows.len() > before => {
                after = Place { position: last.position(), id: last.id() };
            }
            _ => return Ok(Some(Missed { rows, seen })),
        }
    }
}
