//! Finds rows that Postgres refuses, so that each affects only its own key.

use postgres_kit::sqlstate::{
    DATA_EXCEPTION, EXCLUSION_VIOLATION, INTEGRITY_CONSTRAINT_VIOLATION, UNIQUE_VIOLATION,
    has_sqlstate,
};
use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection as _, PgConnection};

use super::Projection;
use super::batch::Touched;
use super::guard::{self, Panicked};

/// Why rows could not be loaded or saved. The text contains no values, which Postgres's own message
/// might repeat.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Refused {
    text: String,
    /// Whether the refusal is a conflict with another row. The order in time decides which one is
    /// refused.
    across: bool,
}

/// The rows that were not saved.
pub(super) enum NotSaved<K> {
    /// Each of these is refused by itself.
    These(Vec<K>),
    /// Rows conflict with each other.
    Across,
}

/// Whether an error would recur. Either Postgres rejects the data (SQLSTATE class 22) or a
/// constraint does (class 23), or the program cannot encode or decode a value.
pub(crate) fn is_refusal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => {
            has_sqlstate(error, &[DATA_EXCEPTION, INTEGRITY_CONSTRAINT_VIOLATION])
        }
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        _ => false,
    }
}

/// Unique and exclusion constraints, which compare rows with each other.
const ACROSS_ROWS: [&str; 2] = [UNIQUE_VIOLATION, EXCLUSION_VIOLATION];

/// Describes why Postgres refused.
pub(crate) fn why(error: &sqlx::Error) -> Refused {
    Refused { text: in_words(error), across: has_sqlstate(error, &ACROSS_ROWS) }
}

fn in_words(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => {
            let of = error.try_downcast_ref::<PgDatabaseError>();
            let named = [
                ("table", of.and_then(PgDatabaseError::table)),
                ("column", of.and_then(PgDatabaseError::column)),
                ("constraint", of.and_then(PgDatabaseError::constraint)),
            ];
            let named =
                named.into_iter().filter_map(|(what, name)| Some(format!(", {what} {}", name?)));
            let code =
                format!("Postgres refuses its row: SQLSTATE {}", error.code().unwrap_or_default());
            std::iter::once(code).chain(named).collect()
        }
        sqlx::Error::Encode(cause) => cause
            .downcast_ref::<Panicked>()
            .map_or_else(|| "a value of its row cannot be written".to_owned(), ToString::to_string),
        sqlx::Error::Decode(cause) => cause
            .downcast_ref::<Panicked>()
            .map_or_else(|| "a value of its row cannot be read".to_owned(), ToString::to_string),
        _ => "a value of its row cannot be read".to_owned(),
    }
}

/// Loads the rows of these keys. Also returns the keys that Postgres cannot search for, with
/// reasons. Call it inside a transaction.
pub(super) async fn load<P: Projection>(
    connection: &mut PgConnection,
    keys: &[P::Key],
) -> sqlx::Result<(Touched<P>, Vec<(P::Key, Refused)>)> {
    let (mut rows, mut refused, mut waiting) = (Touched::<P>::new(), Vec::new(), vec![keys]);
    while let Some(keys) = waiting.pop() {
        let mut attempt = connection.begin().await?;
        match guard::load::<P>(&mut attempt, keys).await {
            Ok(loaded) => {
                attempt.commit().await?;
                rows.extend(loaded);
            }
            Err(error) if is_refusal(&error) => {
                attempt.rollback().await?;
                match keys {
                    [key] => refused.push((key.clone(), why(&error))),
                    _ => waiting.extend([&keys[keys.len() / 2..], &keys[..keys.len() / 2]]),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok((rows, refused))
}

/// Saves the rows, halving them if one is refused. Returns the refused keys. Call it inside a
/// transaction; if rows conflict with each other, roll it back.
pub(super) async fn save<P: Projection>(
    connection: &mut PgConnection,
    rows: Vec<(P::Key, P::Row)>,
) -> sqlx::Result<NotSaved<P::Key>> {
    let (mut refused, mut waiting) = (Vec::new(), vec![rows]);
    while let Some(mut rows) = waiting.pop() {
        let values: Vec<P::Row> = rows.iter().map(|(_, row)| row.clone()).collect();
        if values.is_empty() {
            continue;
        }
        match try_save::<P>(connection, &values).await? {
            Ok(()) => {}
            Err(why) if why.across => return Ok(NotSaved::Across),
            Err(_) if rows.len() == 1 => refused.extend(rows.into_iter().map(|(key, _)| key)),
            Err(_) => {
                waiting.push(rows.split_off(rows.len() / 2));
                waiting.push(rows);
            }
        }
    }
    Ok(NotSaved::These(refused))
}

/// Saves the rows. If they are refused, it leaves the transaction unchanged and returns the reason.
pub(super) async fn try_save<P: Projection>(
    connection: &mut PgConnection,
    rows: &[P::Row],
) -> sqlx::Result<Result<(), Refused>> {
    let mut attempt = connection.begin().await?;
    match guard::save::<P>(&mut attempt, rows).await {
        Ok(()) => attempt.commit().await.map(Ok),
        Err(error) if is_refusal(&error) => {
            attempt.rollback().await?;
            Ok(Err(why(&error)))
        }
        Err(error) => Err(error),
    }
}
