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
}

impl Shown {
    /// Single rows. A key is the columns of the primary key as text, joined by `/`.
    pub fn rows(projection: Projection, keys: impl Iterator<Item = impl ToString>) -> Self {
        Self { projection, keys: keys.map(|key| key.to_string()).collect(), is_list: false }
    }

    /// The rows on a page of a list, with keys as in [`Shown::rows`].
    pub fn list(projection: Projection, keys: impl Iterator<Item = impl ToString>) -> Self {
        Self { projection, keys: keys.map(|key| key.to_string()).collect(), is_list: true }
    }
}

/// Reads in the caller's snapshot whether any of these rows lacks events.
pub(super) async fn look(snapshot: &mut PgConnection, shown: &Shown) -> sqlx::Result<bool> {
    sqlx::query_file_scalar!("sql/stale/any.sql", shown.projection, &shown.keys, shown.is_list)
        .fetch_one(snapshot)
        .await
}
