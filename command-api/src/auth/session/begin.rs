//! Begins a session after a log-in.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use identity::Revocations;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::end::{Why, end_beyond, end_one};
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
    /// changed meanwhile, and no session begins.
    pub password_hash: String,
    /// The name of the frontend: 1 to 64 lower-case letters, digits and hyphens.
    pub client: String,
    /// The network address.
    pub address: Option<IpAddr>,
}

impl Identity {
    /// Begins a session and makes its first tokens. `None` if the password was changed or the user
    /// left since the log-in was proven.
    pub(in crate::auth) async fn begin(
        &self,
        proven: Proven,
    ) -> Result<Option<Tokens>, IdentityError> {
        let parts = self.parts();
        let (session_id, now) = (Uuid::now_v7(), parts.clock.now());
        let token = Pepper::first(session_id);
        let begun = parts.database.transaction(async |transaction| {
            record(transaction, &parts.revocations, (session_id, &token.hash()), &proven, now).await
        });
        let Some(standing) = begun.await? else { return Ok(None) };
        // The session is stored, so the user's departure ends it if it comes later than this
        // question. If it came earlier, it may have ended the others before this session was there.
        if !parts.directory.may_sign_in(proven.user_id).await? {
            let ended = parts.database.transaction(async |transaction| {
                let why = Why::UserGone;
                end_one(transaction, &parts.revocations, session_id, why, now).await
            });
            ended.await?;
            return Ok(None);
        }
        let Proven { user_id, client, .. } = proven;
        let bearer = Bearer { user_id, credential: session_id, client, standing };
        Ok(Some(Tokens {
            user_id,
            session_id,
            access: issue(&parts.issuer, bearer, now)?,
            refresh: parts.pepper.write(&token),
            refresh_expires_at: parts.limits.expiry(now, now),
        }))
    }
}

async fn record(
    transaction: &mut PgConnection,
    revocations: &Revocations,
    (session_id, token_hash): (Uuid, &[u8; 32]),
    proven: &Proven,
    now: DateTime<Utc>,
) -> Result<Option<Standing>, sqlx::Error> {
    // The row stays locked, so no change of the password ends all sessions just before this one
    // begins, and no change of roles revokes only the older tokens.
    let (user_id, password_hash) = (proven.user_id, &proven.password_hash);
    if !account::hold_with_password(transaction, user_id, password_hash).await? {
        return Ok(None);
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
    Ok(Some(standing(transaction, proven.user_id).await?))
}
