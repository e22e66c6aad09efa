//! Exchanges a refresh token for the next pair of tokens (RFC 9700, section 4.14).
//!
//! A session has one valid token. A client that presents it gets its successor. Two requests at
//! once, as from two tabs or after a lost answer, get the same successor within [`GRACE`]. A token
//! that is older was perhaps stolen: nobody can tell the thief from the owner, so the session ends
//! for both.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::end::{Why, end_one};
use super::standing::standing;
use super::{Limits, Tokens};
use crate::auth::issuer::{Bearer, Standing, issue};
use crate::auth::token::RefreshToken;
use crate::auth::{Identity, IdentityError, Parts, account};

/// How long the token before the valid one still gets the same successor.
pub const GRACE: TimeDelta = TimeDelta::seconds(10);

/// A session, as stored.
#[derive(Debug, Clone)]
struct Stored {
    user_id: Uuid,
    client: String,
    created_at: DateTime<Utc>,
    used_at: DateTime<Utc>,
    token_hash: Vec<u8>,
    previous_hash: Option<Vec<u8>>,
    rotated_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

/// What a presented token leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is the valid one: its successor takes its place.
    Exchange,
    /// It was exchanged a moment ago: its successor is given again.
    Repeat,
    /// It was exchanged earlier: the session ends.
    Reused,
    /// The session is over, or the token's successor is no longer known.
    Refuse,
}

/// The end of a rotation.
enum Rotated {
    Given { stored: Stored, standing: Standing },
    Refused,
}

impl Identity {
    /// Exchanges a refresh token for the next pair of tokens.
    ///
    /// # Errors
    /// [`IdentityError::InvalidToken`] if the session is over, the user is gone, or the token was
    /// exchanged before. The event store or the database cannot be asked.
    pub async fn refresh(&self, refresh: &SecretString) -> Result<Tokens, IdentityError> {
        let parts = self.parts();
        let token = parts.pepper.read(refresh).ok_or(IdentityError::InvalidToken)?;
        let (session_id, now) = (token.session(), parts.clock.now());
        // The event store is asked before anything changes. If it is away, the token stays valid.
        let user_id = self.live_user(session_id).await?.ok_or(IdentityError::InvalidToken)?;
        if !parts.directory.may_sign_in(user_id).await? {
            self.end_all(user_id, Why::UserGone).await?;
            return Err(IdentityError::InvalidToken);
        }
        let next = parts.pepper.successor(&token);
        let rotated = parts.database.transaction(async |transaction| {
            if !account::hold(transaction, user_id).await? {
                return Ok(Rotated::Refused);
            }
            rotate(transaction, parts, &token, &next.hash(), now).await
        });
        let Rotated::Given { stored, standing } = rotated.await? else {
            return Err(IdentityError::InvalidToken);
        };
        let refresh_expires_at = parts.limits.expiry(stored.created_at, now);
        let client = stored.client;
        let bearer = Bearer { user_id, credential: session_id, client, standing };
        let access = issue(&parts.issuer, bearer, now)?;
        let refresh = parts.pepper.write(&next);
        Ok(Tokens { user_id, session_id, access, refresh, refresh_expires_at })
    }

    /// Ends all sessions of the user of a valid refresh token.
    ///
    /// # Errors
    /// [`IdentityError::InvalidToken`] if the token is not the valid one of a session.
    pub async fn log_out_everywhere(&self, refresh: &SecretString) -> Result<(), IdentityError> {
        let parts = self.parts();
        let token = parts.pepper.read(refresh).ok_or(IdentityError::InvalidToken)?;
        let (limits, now) = (parts.limits, parts.clock.now());
        let found = parts
            .database
            .transaction(async |transaction| lock(transaction, token.session()).await);
        let stored: Option<Stored> = found.await?;
        let valid = stored.filter(|stored| {
            matches!(step(stored, &token.hash(), None, limits, now), Step::Exchange)
        });
        let user_id = valid.ok_or(IdentityError::InvalidToken)?.user_id;
        self.end_all(user_id, Why::LoggedOutEverywhere).await
    }

    async fn live_user(&self, session: Uuid) -> Result<Option<Uuid>, IdentityError> {
        let user = sqlx::query_scalar!(
            "SELECT user_id FROM auth.sessions WHERE session_id = $1 AND ended_at IS NULL",
            session
        );
        Ok(user.fetch_optional(self.parts().database.pool()).await?)
    }
}

async fn lock(
    transaction: &mut PgConnection,
    session: Uuid,
) -> Result<Option<Stored>, sqlx::Error> {
    let stored = sqlx::query_as!(
        Stored,
        "SELECT user_id, client, created_at, used_at, token_hash, previous_hash, rotated_at,
             ended_at
         FROM auth.sessions WHERE session_id = $1 FOR UPDATE",
        session
    );
    stored.fetch_optional(transaction).await
}

async fn rotate(
    transaction: &mut PgConnection,
    parts: &Parts,
    token: &RefreshToken,
    next: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<Rotated, sqlx::Error> {
    let Some(stored) = lock(transaction, token.session()).await? else {
        return Ok(Rotated::Refused);
    };
    match step(&stored, &token.hash(), Some(next), parts.limits, now) {
        Step::Exchange => {
            sqlx::query!(
                "UPDATE auth.sessions
                 SET token_hash = $2, previous_hash = token_hash, rotated_at = $3, used_at = $3
                 WHERE session_id = $1",
                token.session(),
                next,
                now
            )
            .execute(&mut *transaction)
            .await?;
        }
        Step::Repeat => {}
        Step::Reused => {
            tracing::warn!(session = %token.session(), user = %stored.user_id,
                "a refresh token came again after it had been exchanged: its session is ended");
            end_one(transaction, &parts.revocations, token.session(), Why::TokenReused, now)
                .await?;
            return Ok(Rotated::Refused);
        }
        Step::Refuse => return Ok(Rotated::Refused),
    }
    let standing = standing(transaction, stored.user_id).await?;
    Ok(Rotated::Given { stored, standing })
}

/// Decides what a token leads to. It was made for this session, because it is authenticated.
fn step(
    stored: &Stored,
    presented: &[u8; 32],
    next: Option<&[u8; 32]>,
    limits: Limits,
    now: DateTime<Utc>,
) -> Step {
    let is_over =
        stored.ended_at.is_some() || now >= limits.expiry(stored.created_at, stored.used_at);
    if is_over {
        return Step::Refuse;
    }
    if stored.token_hash == presented {
        return Step::Exchange;
    }
    let is_previous = stored.previous_hash.as_deref() == Some(presented);
    let is_recent = stored.rotated_at.is_some_and(|at| now - at <= GRACE);
    match (is_previous && is_recent, next) {
        (true, Some(next)) if stored.token_hash == next => Step::Repeat,
        // The pepper was changed since, so the successor that was given cannot be made again.
        (true, _) => Step::Refuse,
        (false, _) => Step::Reused,
    }
}

#[cfg(test)]
mod tests;
