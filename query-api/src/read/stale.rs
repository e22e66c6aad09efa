//! Whether an answer lacks events: those that the projector had to park, by the keys of the rows
//! that it shows.

use sqlx::PgConnection;

use super::Projection;

/// The rows that an answer shows.
#[derive(Debug)]
pub struct Shown {
    projection: Projection,
    keys: Vec<String>,
    /// Whether rows that are not there yet might belong to it.
    is_list: bool,
}

impl Shown {
    /// These rows. The key as text: the columns of the primary key, joined by `/`.
    pub fn rows(projection: Projection, keys: impl Iterator<Item = impl ToString>) -> Self {
        Self { projection, keys: keys.map(|key| key.to_string()).collect(), is_list: false }
    }

    /// A page of a list.
    pub fn list(projection: Projection, keys: impl Iterator<Item = impl ToString>) -> Self {
        Self { projection, keys: keys.map(|key| key.to_string()).collect(), is_list: true }
    }
}

/// Asks in the caller's snapshot whether any of them lacks events.
pub(super) async fn look(snapshot: &mut PgConnection, shown: &Shown) -> sqlx::Result<bool> {
    sqlx::query_file_scalar!("sql/stale/any.sql", shown.projection, &shown.keys, shown.is_list)
        .fetch_one(snapshot)
        .await
}
