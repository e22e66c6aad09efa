//! Stale answers: whether an answer lacks events that the projector had to park, found by the keys
//! of its rows.

use sqlx::PgConnection;

use super::Projection;

/// The rows that an answer shows.
#[derive(Debug)]
pub struct Shown {
    projection: Projection,
    keys: Vec<String>,
    /// Whether rows that do not exist yet might belong to the answer.
    is_list: bool,
    /// Whether each row of the answer is a sum over rows of the projection.
    is_sum: bool,
}

impl Shown {
    /// Single rows. A key is the columns of the primary key as text, joined by `/`.
    pub fn rows(projection: Projection, keys: impl Iterator<Item = impl ToString>) -> Self {
        let keys = keys.map(|key| key.to_string()).collect();
        Self { projection, keys, is_list: false, is_sum: false }
    }

    /// The rows on a page of a list, with keys as in [`Shown::rows`].
    pub fn list(projection: Projection, keys: impl Iterator<Item = impl ToString>) -> Self {
        let keys = keys.map(|key| key.to_string()).collect();
        Self { projection, keys, is_list: true, is_sum: false }
    }

    /// Sums over rows of the projection. They lack events as soon as any of its rows does.
    pub fn sums(projection: Projection) -> Self {
        Self { projection, keys: Vec::new(), is_list: true, is_sum: true }
    }
}

/// Reads in the caller's snapshot whether any of these rows lacks events. The caller knows that
/// some row of the projection does.
pub(super) async fn look(snapshot: &mut PgConnection, shown: &Shown) -> sqlx::Result<bool> {
    if shown.is_sum {
        return Ok(true);
    }
    sqlx::query_file_scalar!("sql/stale/any.sql", shown.projection, &shown.keys, shown.is_list)
        .fetch_one(snapshot)
        .await
}
