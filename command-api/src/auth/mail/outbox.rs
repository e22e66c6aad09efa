//! The outbox: mails that wait to be sent.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Kind;
use crate::auth::IdentityError;

/// The maximum number of mails that wait. Requests for more are refused until some are sent.
pub const MAX_WAITING: i64 = 10_000;

/// A mail to put into the outbox.
#[derive(Debug)]
pub(in crate::auth) struct Entry<'a> {
    pub(in crate::auth) kind: Kind,
    pub(in crate::auth) recipient: &'a str,
    /// Whose mail it is: it goes when the user's data is erased.
    pub(in crate::auth) user_id: Uuid,
    /// Whose token it has.
    pub(in crate::auth) pending_id: Option<Uuid>,
}

/// Adds a mail, in the transaction that it tells of.
///
/// # Errors
/// [`IdentityError::TooManyMails`] if [`MAX_WAITING`] wait.
pub(in crate::auth) async fn add(
    transaction: &mut PgConnection,
    entry: &Entry<'_>,
    now: DateTime<Utc>,
) -> Result<(), IdentityError> {
    let added = sqlx::query!(
        "INSERT INTO auth.mail_outbox (mail_id, kind, recipient, user_id, pending_id, created_at,
             next_at)
         SELECT $1, $2, $3, $4, $5, $6, $6
         WHERE (SELECT count(*) FROM auth.mail_outbox) < $7",
        Uuid::now_v7(),
        entry.kind.as_str(),
        entry.recipient,
        entry.user_id,
        entry.pending_id,
        now,
        MAX_WAITING
    );
    match added.execute(transaction).await?.rows_affected() {
        0 => Err(IdentityError::TooManyMails),
        _ => Ok(()),
    }
}
