//! Questions for what changed: the rows after a position, and the keys of the rows that lack
//! events.

use std::marker::PhantomData;

use sqlx::PgConnection;
use uuid::Uuid;

use super::table::ById;
use super::{Asked, Projection, Read, Shown, seen};

/// The maximum number of keys of rows that lack events that one question reads.
pub const MAX_STALE: i64 = 10_000;

const STALE: &str = "SELECT s.key FROM read_model.stale s
    JOIN read_model.generations g ON g.projection = s.projection AND g.generation = s.generation
    WHERE g.live AND s.projection = $1 ORDER BY s.key LIMIT $2";

/// The question for the rows that changed after a place, in the order of their places. A row's
/// place is the position of its last change, and its id.
///
/// The answer is stale if any row of the projection lacks events.
#[derive(Debug, Clone, Copy)]
pub struct Changes<R> {
    /// The place after which rows are wanted.
    pub after: (i64, Uuid),
    /// Only rows of this user.
    pub owner: Option<Uuid>,
    /// The maximum number of rows.
    pub limit: i64,
    row: PhantomData<fn() -> R>,
}

impl<R> Changes<R> {
    /// The question for at most `limit` rows after this place.
    pub const fn new(after: (i64, Uuid), owner: Option<Uuid>, limit: i64) -> Self {
        Self { after, owner, limit, row: PhantomData }
    }
}

impl<R: ById> Read for Changes<R> {
    type Answer = Vec<R>;
    const PROJECTIONS: &'static [Projection] = R::PROJECTIONS;
    const BEGIN: &'static str = R::BEGIN;
    const CHECKPOINTS: &'static str = R::CHECKPOINTS;
    const IN_ONE_STATEMENT: bool = false;

    fn shown(_: &Self::Answer) -> Shown {
        Shown::sums(R::PROJECTIONS[0])
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let checkpoints = seen::checkpoints(snapshot).await?;
        let (position, id) = self.after;
        let rows = sqlx::query(R::CHANGED).bind(position).bind(self.owner).bind(id);
        let rows = rows.bind(self.limit).fetch_all(snapshot).await?;
        let data = rows.iter().map(|row| R::read(row, 0)).collect::<Result<Vec<_>, _>>()?;
        Ok(Asked { data, checkpoints })
    }
}

/// The question for the keys of the rows that lack events, at most [`MAX_STALE`].
#[derive(Debug, Clone, Copy)]
pub struct StaleRows<R>(PhantomData<fn() -> R>);

impl<R> Default for StaleRows<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<R: ById> Read for StaleRows<R> {
    type Answer = Vec<Uuid>;
    const PROJECTIONS: &'static [Projection] = R::PROJECTIONS;
    const BEGIN: &'static str = R::BEGIN;
    const CHECKPOINTS: &'static str = R::CHECKPOINTS;
    const IN_ONE_STATEMENT: bool = false;

    fn shown(_: &Self::Answer) -> Shown {
        Shown::sums(R::PROJECTIONS[0])
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let checkpoints = seen::checkpoints(snapshot).await?;
        let keys = sqlx::query_scalar::<_, String>(STALE).bind(R::PROJECTIONS[0]).bind(MAX_STALE);
        let keys = keys.fetch_all(snapshot).await?;
        let data = keys.iter().filter_map(|key| key.parse().ok()).collect();
        Ok(Asked { data, checkpoints })
    }
}
