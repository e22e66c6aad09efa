//! Reads on a server that has all that this process knows.
//!
//! A connection may lead to a server that is behind: a standby, or a former primary. A new
//! connection proves that it does not, but an open one stays where it is when the name of the
//! server leads elsewhere. An answer from there is worse than none. A follower would take an empty
//! page for a stretch of the log without events, and skip what is there.
//!
//! A server that has the newest position that this process knows has everything up to it. So that
//! position is asked for first, on the same connection. Reads of streams are the most frequent, and
//! ask for it in their own statement (`stream.rs`, `tails.rs`).

use postgres_kit::{Meaning, Pool, meaning};
use sqlx::postgres::PgConnection;

use super::Inner;
use crate::error::StoreError;
use crate::event::{EventRef, Position};

/// Runs a statement of the inner store, by this method of it, on a server that is not behind. If
/// the first one is, it runs once more, on a new connection.
///
/// The statement is written down here and not handed over as a function: the compiler cannot tell
/// that such a future may change threads.
macro_rules! on_current {
    ($inner:ident.$pool:ident, $fetch:ident, $statement:expr) => {{
        let statement = || $statement;
        let asked = || {
            let statement = statement();
            async move |raw: &mut sqlx::postgres::PgConnection| statement.$fetch(raw).await
        };
        match $inner.unless_behind(&$inner.$pool, asked()).await {
            Ok(None) => {
                let again = $inner.unless_behind(&$inner.$pool, asked()).await;
                again.and_then(|answer| answer.ok_or_else(|| $inner.away()))
            }
            Ok(Some(answer)) => Ok(answer),
            Err(error) => Err(error),
        }
    }};
}
pub(super) use on_current;

impl Inner {
    /// Runs a read. `None` if the server is behind; its connections are then replaced.
    ///
    /// # Errors
    /// The read failed.
    pub(super) async fn unless_behind<T>(
        &self,
        pool: &Pool,
        read: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let known = self.continuity.newest();
        let answered =
            pool.run(
                async move |raw: &mut PgConnection| {
                    if has(raw, known).await? { read(raw).await.map(Some) } else { Ok(None) }
                },
            );
        match answered.await {
            Ok(Some(answer)) => Ok(Some(answer)),
            Ok(None) => {
                behind(pool, known.position);
                Ok(None)
            }
            Err(error) => {
                if matches!(meaning(&error), Meaning::Lost) {
                    pool.doubt();
                }
                Err(self.failed(error))
            }
        }
    }

    /// The error of a read without an answer, whose reason is in the log or with another read.
    pub(super) fn away(&self) -> StoreError {
        self.continuity.broken().unwrap_or(StoreError::Unavailable(None))
    }
}

/// Whether the server has this event, at its position. A server with another history may have
/// another one there.
async fn has(raw: &mut PgConnection, known: EventRef) -> sqlx::Result<bool> {
    let Some(event_id) = known.event_id else { return Ok(true) };
    let position = known.position.0;
    let found = sqlx::query_file!("sql/event_ref_at.sql", position).fetch_optional(raw).await?;
    Ok(found.is_some_and(|found| found.event_id == event_id))
}

/// Replaces the connections to a server that lacks a position which this process knows. New ones
/// prove the history.
pub(super) fn behind(pool: &Pool, known: Position) {
    tracing::warn!(
        position = known.0,
        "a server lacks an event that this process knows: its connections are replaced"
    );
    pool.renew();
}
