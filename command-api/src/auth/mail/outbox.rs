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
    /// The number of API keys that it tells of.
    pub(in crate::auth) keys: Option<u32>,
}

impl<'a> Entry<'a> {
    /// A mail without a token.
    pub(in crate::auth) const fn notice(kind: Kind, recipient: &'a str, user_id: Uuid) -> Self {
        Self { kind, recipient, user_id, pending_id: None, keys: None }
    }
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
        "INSERT INTO auth.mail_outbox (mail_id, kind, recipient, user_id, pending_id, key_count,
             created_at, next_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $7
         WHERE (SELECT count(*) FROM auth.mail_outbox) < $8",
        Uuid::now_v7(),
        entry.kind.as_str(),
        entry.recipient,
        entry.user_id,
        entry.pending_id,
        entry.keys.and_then(|keys| i32::try_from(keys).ok()),
        now,
        MAX_WAITING
    );
    match added.execute(transaction).await?.rows_affected() {
        0 => Err(IdentityError::TooManyMails),
        _ => Ok(()),
    }
}
