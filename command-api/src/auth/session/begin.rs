//! Begins a session after a log-in.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use identity::Revocations;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::end::{Why, end_beyond};
use super::standing::standing;
use super::{MAX_SESSIONS, Tokens};
use crate::auth::issuer::{Bearer, Standing, issue};
use crate::auth::token::Pepper;
use crate::auth::{Identity, IdentityError, account};

/// A log-in that was proven right.
pub(in crate::auth) struct Proven {
    /// The id of the user.
    pub user_id: Uuid,
    /// The hash that the password was compared with. If it is another one by now, the password was
    /// changed meanwhile, and the log-in fails.
    pub password_hash: String,
    /// The name of the frontend: 1 to 64 lower-case letters, digits and hyphens.
    pub client: String,
    /// The network address.
    pub address: Option<IpAddr>,
}

impl Identity {
    /// Begins a session and makes its first tokens.
    pub(in crate::auth) async fn begin(&self, proven: Proven) -> Result<Tokens, IdentityError> {
        let parts = self.parts();
        let (session_id, now) = (Uuid::now_v7(), parts.clock.now());
        let token = Pepper::first(session_id);
        let begun = parts.database.transaction(async |transaction| {
            record(transaction, &parts.revocations, (session_id, &token.hash()), &proven, now).await
        });
        let standing = begun.await?;
        let Proven { user_id, client, .. } = proven;
        let bearer = Bearer { user_id, credential: session_id, client, standing };
        Ok(Tokens {
            user_id,
            session_id,
            access: issue(&parts.issuer, bearer, now)?,
            refresh: parts.pepper.write(&token),
            refresh_expires_at: parts.limits.expiry(now, now),
        })
    }
}

async fn record(
    transaction: &mut PgConnection,
    revocations: &Revocations,
    (session_id, token_hash): (Uuid, &[u8; 32]),
    proven: &Proven,
    now: DateTime<Utc>,
) -> Result<Standing, IdentityError> {
    // The row stays locked, so no change of the password ends all sessions just before this one
    // begins, and no change of roles revokes the tokens of before.
    let (user_id, password_hash) = (proven.user_id, &proven.password_hash);
    if !account::hold_with_password(transaction, user_id, password_hash).await? {
        return Err(IdentityError::WrongCredentials);
    }
    sqlx::query!(
        "INSERT INTO auth.sessions (session_id, user_id, client, address, created_at, used_at,
             token_hash)
         VALUES ($1, $2, $3, $4::text::inet, $5, $5, $6)",
        session_id,
        proven.user_id,
        proven.client,
        proven.address.map(|address| address.to_canonical().to_string()),
        now,
        token_hash
    )
    .execute(&mut *transaction)
    .await?;
    end_beyond(transaction, revocations, proven.user_id, MAX_SESSIONS, Why::TooMany, now).await?;
    Ok(standing(transaction, proven.user_id).await?)
}
