//! Ends sessions. The revocation of their access tokens is recorded in the same transaction.

use chrono::{DateTime, TimeDelta, Utc};
use identity::{MAX_LIFETIME, Moment, Revocations, Subject};
use secrecy::SecretString;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::auth::proof::{Purpose, forget};
use crate::auth::{Identity, IdentityError};

/// How long a revocation is kept beyond the lifetime of an access token: more than the difference
/// of clocks that verifiers tolerate.
const MARGIN: TimeDelta = TimeDelta::minutes(2);

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its user logged out.
    LoggedOut,
    /// Its user logged out everywhere.
    LoggedOutEverywhere,
    /// A refresh token came again after it had been exchanged, so it was perhaps stolen.
    TokenReused,
    /// Its user had too many.
    TooMany,
    /// Its user was deactivated or erased.
    UserGone,
    /// The password was changed.
    PasswordChanged,
    /// Its user ended it from another session, or an administrator did.
    Revoked,
}

impl Why {
    /// The name in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LoggedOut => "logged-out",
            Self::LoggedOutEverywhere => "logged-out-everywhere",
            Self::TokenReused => "token-reused",
            Self::TooMany => "too-many",
            Self::UserGone => "user-gone",
            Self::PasswordChanged => "password-changed",
            Self::Revoked => "revoked",
        }
    }
}

impl Identity {
    /// Ends the session of a refresh token. It may be any token that the session ever had. Does
    /// nothing if the session has ended, or the text is not a token.
    ///
    /// # Errors
    /// The database failed.
    pub async fn log_out(&self, refresh: &SecretString) -> Result<(), IdentityError> {
        let parts = self.parts();
        let Some(token) = parts.pepper.read(refresh) else { return Ok(()) };
        let (session, now) = (token.session(), parts.clock.now());
        let ended = parts.database.transaction(async |transaction| {
            end_one(transaction, &parts.revocations, session, Why::LoggedOut, now).await
        });
        Ok(ended.await?)
    }

    /// Ends all sessions of a user, and forgets the changes of the e-mail address that were asked
    /// for in them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn end_all(&self, user_id: Uuid, why: Why) -> Result<(), IdentityError> {
        let parts = self.parts();
        let now = parts.clock.now();
        let ended = parts.database.transaction(async |transaction| {
            end_beyond(transaction, &parts.revocations, user_id, 0, why, now).await?;
            forget(transaction, user_id, &[Purpose::EmailChange], Uuid::nil()).await
        });
        Ok(ended.await?)
    }
}

/// Ends a session, if it has not ended yet.
pub(in crate::auth) async fn end_one(
    transaction: &mut PgConnection,
    revocations: &Revocations,
    session: Uuid,
    why: Why,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let ended = sqlx::query_scalar!(
        "UPDATE auth.sessions SET ended_at = $2, ended_why = $3
         WHERE session_id = $1 AND ended_at IS NULL RETURNING session_id",
        session,
        now,
        why.as_str()
    );
    let ended = ended.fetch_all(&mut *transaction).await?;
    revoke(transaction, revocations, ended.into_iter().map(Subject::Session), now).await
}

/// Ends the sessions of a user, except for the `kept` that were used last.
pub(in crate::auth) async fn end_beyond(
    transaction: &mut PgConnection,
    revocations: &Revocations,
    user_id: Uuid,
    kept: i64,
    why: Why,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let ended = sqlx::query_scalar!(
        "UPDATE auth.sessions SET ended_at = $3, ended_why = $4
         WHERE ended_at IS NULL AND session_id IN (
             SELECT session_id FROM auth.sessions WHERE user_id = $1 AND ended_at IS NULL
             ORDER BY used_at DESC, session_id DESC OFFSET $2)
         RETURNING session_id",
        user_id,
        kept,
        now,
        why.as_str()
    );
    let ended = ended.fetch_all(&mut *transaction).await?;
    revoke(transaction, revocations, ended.into_iter().map(Subject::Session), now).await
}

/// Ends the sessions of a user that began by a time, or all of them.
pub(in crate::auth) async fn end_begun_by(
    transaction: &mut PgConnection,
    revocations: &Revocations,
    user_id: Uuid,
    begun_by: Option<DateTime<Utc>>,
    (why, at): (Why, DateTime<Utc>),
) -> Result<(), sqlx::Error> {
    let ended = sqlx::query_scalar!(
        "UPDATE auth.sessions SET ended_at = $2, ended_why = $3
         WHERE user_id = $1 AND ended_at IS NULL
             AND ($4::timestamptz IS NULL OR created_at <= $4) RETURNING session_id",
        user_id,
        at,
        why.as_str(),
        begun_by
    );
    let ended = ended.fetch_all(&mut *transaction).await?;
    revoke(transaction, revocations, ended.into_iter().map(Subject::Session), at).await
}

/// Ends the sessions of a user, except for one.
pub(in crate::auth) async fn end_others(
    transaction: &mut PgConnection,
    revocations: &Revocations,
    user_id: Uuid,
    kept: Uuid,
    why: Why,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let ended = sqlx::query_scalar!(
        "UPDATE auth.sessions SET ended_at = $3, ended_why = $4
         WHERE user_id = $1 AND session_id <> $2 AND ended_at IS NULL RETURNING session_id",
        user_id,
        kept,
        now,
        why.as_str()
    );
    let ended = ended.fetch_all(&mut *transaction).await?;
    revoke(transaction, revocations, ended.into_iter().map(Subject::Session), now).await
}

/// Revokes access tokens: here at once, elsewhere when the transaction is committed and the table
/// is read.
///
/// A session or key that is revoked never issues a token again, so all of its tokens are refused,
/// also one that is issued while this transaction is in flight. Of a user, the tokens that were
/// issued until `now` are refused. A transaction that issues tokens for the user holds a lock that
/// excludes this transaction, so take the time after the lock. Each revocation is later than the
/// one before, because a token may count as issued a microsecond after that
/// ([`issue`](crate::auth::issuer)).
pub(in crate::auth) async fn revoke(
    transaction: &mut PgConnection,
    revocations: &Revocations,
    revoked: impl Iterator<Item = Subject>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let lifetime = TimeDelta::from_std(MAX_LIFETIME).unwrap_or(TimeDelta::MAX);
    let expires_at = now.checked_add_signed(lifetime + MARGIN).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let (mut hashes, mut befores) = (Vec::new(), Vec::new());
    for subject in revoked {
        let before = match subject {
            Subject::Session(_) | Subject::Key(_) => expires_at.timestamp_micros(),
            Subject::User(_) => now.timestamp_micros(),
        };
        hashes.push(subject.hash().to_vec());
        befores.push(before);
    }
    if hashes.is_empty() {
        return Ok(());
    }
    // Two transactions lock the same rows in the same sequence.
    let revoked = sqlx::query!(
        r#"INSERT INTO auth.revocations AS r (hash, before, expires_at)
           SELECT hash, before, $3 FROM unnest($1::bytea[], $2::bigint[]) AS u (hash, before)
           ORDER BY hash
           ON CONFLICT (hash) DO UPDATE
           SET before = greatest(r.before + 1, excluded.before),
               expires_at = greatest(r.expires_at, excluded.expires_at)
           RETURNING hash, before"#,
        &hashes[..],
        &befores[..],
        expires_at
    );
    let revoked = revoked.fetch_all(&mut *transaction).await?;
    // If the transaction fails, its tokens are refused until they expire. That is harmless.
    revocations.add(
        revoked
            .into_iter()
            .filter_map(|row| Some((row.hash.try_into().ok()?, Moment::of_micros(row.before)))),
    );
    Ok(())
}
