//! Turns a panic in a projection's code into a refusal: it affects only its event, not the process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use event_store::Position;
use futures::FutureExt as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::past::PastRow;
use super::{Incoming, Projection, Reason, row};

/// The code of a projection panicked.
#[derive(Debug, thiserror::Error)]
#[error("{0} panicked: {1}")]
pub(crate) struct Panicked(&'static str, &'static str);

impl Panicked {
    /// Names what panicked, and the message. Only a constant message is repeated, because any other
    /// may contain values.
    pub(crate) fn new(what: &'static str, payload: &(dyn Any + Send)) -> Self {
        let words = payload.downcast_ref::<&'static str>().copied();
        Self(
            what,
            words.unwrap_or(
                "the message may contain values, so it is only in the process's standard error",
            ),
        )
    }
}

/// Runs `work` and turns a panic into a refusal. After a panic, values changed by `work` must not
/// be used.
pub(super) fn guarded<T>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, Reason>,
) -> Result<T, Reason> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|payload| Err(Panicked::new(what, payload.as_ref()).into()))
}

/// Calls [`Projection::fold`].
pub(super) fn fold<P: Projection>(
    key: &P::Key,
    row: Option<P::Row>,
    incoming: &Incoming<P::Event>,
) -> Result<P::Row, Reason> {
    guarded("the fold", || P::fold(key, row, incoming))
}

/// Calls [`Projection::keys`].
pub(super) fn keys<P: Projection>(event: &P::Event) -> Result<Vec<P::Key>, Reason> {
    guarded("computing the keys", || Ok(P::keys(event)))
}

/// Calls [`Projection::rows_of_subject`].
pub(super) fn rows_of_subject<P: Projection>(subject: Uuid) -> Result<Option<Vec<P::Key>>, Reason> {
    guarded("finding the rows of a subject", || Ok(P::rows_of_subject(subject)))
}

/// Returns the row after [`Projection::blank`].
pub(super) fn blank<P: Projection>(
    row: &P::Row,
    erased: &Incoming<Uuid>,
) -> Result<P::Row, Reason> {
    guarded("blanking", || {
        let mut row = row.clone();
        P::blank(&mut row, erased);
        Ok(row)
    })
}

/// Loads the existing rows of these keys.
pub(super) async fn load<P: Projection>(
    connection: &mut PgConnection,
    keys: &[P::Key],
) -> sqlx::Result<Vec<(P::Key, P::Row)>> {
    let loaded = AssertUnwindSafe(row::load(connection, keys)).catch_unwind().await;
    loaded.unwrap_or_else(|payload| {
        Err(sqlx::Error::Decode(Panicked::new("loading rows", payload.as_ref()).into()))
    })
}

/// Inserts or replaces these rows. Keys must be distinct.
pub(super) async fn save<P: Projection>(
    connection: &mut PgConnection,
    rows: &[P::Row],
) -> sqlx::Result<()> {
    let saved = AssertUnwindSafe(row::save(connection, rows)).catch_unwind().await;
    saved.unwrap_or_else(|payload| {
        Err(sqlx::Error::Encode(Panicked::new("saving rows", payload.as_ref()).into()))
    })
}

/// Loads past rows of a key, in order, after a position and at most this many.
pub(super) async fn load_past<P: Projection>(
    connection: &mut PgConnection,
    key: &P::Key,
    (after, limit): (Position, usize),
) -> sqlx::Result<Vec<PastRow<P::Row>>> {
    let loading = row::load_past(connection, key, (after, limit));
    AssertUnwindSafe(loading).catch_unwind().await.unwrap_or_else(|payload| {
        Err(sqlx::Error::Decode(Panicked::new("loading past rows", payload.as_ref()).into()))
    })
}

/// Inserts or replaces these past rows. No two may have the same key and position.
pub(super) async fn save_past<P: Projection>(
    connection: &mut PgConnection,
    rows: &[PastRow<P::Row>],
) -> sqlx::Result<()> {
    let saved = AssertUnwindSafe(row::save_past(connection, rows)).catch_unwind().await;
    saved.unwrap_or_else(|payload| {
        Err(sqlx::Error::Encode(Panicked::new("saving past rows", payload.as_ref()).into()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn a_panic_is_a_refusal_and_repeats_no_value() {
        let refused = guarded::<()>("the fold", || panic!("a fixed text")).unwrap_err();
        assert_eq!(refused.to_string(), "the fold panicked: a fixed text");
        let name = "Ada".to_owned();
        let refused = guarded::<()>("the fold", || panic!("of {name}")).unwrap_err();
        assert!(!refused.to_string().contains("Ada"), "{refused}");
        assert!(guarded("the fold", || Ok(7)).is_ok_and(|seven| seven == 7));
    }
}
