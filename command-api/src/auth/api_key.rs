//! API keys: long-lived credentials of programs that act for a user.
//!
//! A key is shown once and stored as a hash. It is exchanged for access tokens, which allow what
//! both its scopes and the user's roles of that moment allow. Only a session manages keys: a key
//! that leaked cannot make another one that outlives it.

use std::time::Duration;

use access::{Caller, Grants, Principal};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::issuer::{AccessToken, Bearer, Standing, issue};
use super::mail::Kind;
use super::mail::outbox::{self, Entry};
use super::session::standing::standing;
use super::{Identity, IdentityError, account};

/// What every key begins with, so that people and scanners recognise it.
pub const PREFIX: &str = "daybook_key_";
/// The maximum length of a key, in bytes. A longer text is none.
pub const MAX_LEN: usize = 64;
/// The maximum number of keys of one user that are not revoked.
pub const MAX_KEYS: i64 = 50;
/// How many keys a user may make at once, and the time until another. Each key that is revoked is
/// in the published list of what is revoked for some minutes, so this bounds the list.
pub const KEYS_MADE: (u32, Duration) = (50, Duration::from_mins(1));
const SECRET_LEN: usize = 32;
/// How exactly the last use is recorded. A finer time would cost a write per exchange.
const USE_EVERY: TimeDelta = TimeDelta::minutes(1);

/// A key to make.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The name, which access tokens name as their client.
    pub name: String,
    /// What the key allows.
    pub scopes: Grants,
    /// When it expires; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A key that was made.
#[derive(Debug)]
pub struct MadeKey {
    /// The key, which is shown once.
    pub key: SecretString,
    /// What is known of it later.
    pub listed: ListedKey,
}

/// A key without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedKey {
    /// The key's id.
    pub key_id: Uuid,
    /// The name.
    pub name: String,
    /// What it allows, as [`Grants`] in text form.
    pub scopes: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it expires; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last exchanged, to the minute.
    pub used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// The owner of a presented key.
struct Owner {
    key_id: Uuid,
    user_id: Uuid,
    name: String,
    scopes: String,
    used_at: Option<DateTime<Utc>>,
}

impl Identity {
    /// Makes a key for the caller. A mail announces it.
    ///
    /// # Errors
    /// [`IdentityError::BeyondOwn`] if it would allow more than the caller may now,
    /// [`IdentityError::TooManyKeys`], [`IdentityError::Throttled`] if they made too many of late,
    /// or the caller has no session.
    pub async fn make_key(&self, caller: &Caller, new: NewKey) -> Result<MadeKey, IdentityError> {
        let user_id = self.session_user(caller).await?;
        let session = caller.credential.unwrap_or_default();
        let admitted = self.made_keys().take(user_id, Instant::now());
        admitted.map_err(|wait| IdentityError::Throttled { wait })?;
        let (parts, now) = (self.parts(), self.parts().clock.now());
        let recipient = parts.directory.email_of(user_id).await?.ok_or(IdentityError::SignIn)?;
        let recipient = recipient.as_str().to_owned();
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        rand::rng().fill(secret.as_mut_slice());
        let hash = hash(secret.as_slice());
        let listed = ListedKey {
            key_id: Uuid::now_v7(),
            name: new.name,
            scopes: new.scopes.to_string(),
            created_at: now,
            expires_at: new.expires_at,
            used_at: None,
            revoked_at: None,
        };
        let made = parts.database.transaction(async |transaction| {
            let held = standing(transaction, user_id).await?;
            if !held.grants.cover(&new.scopes) || !caller.grants.cover(&new.scopes) {
                return Err(IdentityError::BeyondOwn);
            }
            record(transaction, (user_id, session), &listed, &hash).await?;
            let entry = Entry::notice(Kind::KeyMade, &recipient, user_id);
            outbox::add(transaction, &entry, now).await
        });
        made.await?;
        let mut text = String::with_capacity(MAX_LEN);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(secret.as_slice(), &mut text);
        Ok(MadeKey { key: SecretString::from(text), listed })
    }

    /// The caller's keys, the newest first.
    ///
    /// # Errors
    /// The caller has no session, or the database failed.
    pub async fn keys(&self, caller: &Caller) -> Result<Vec<ListedKey>, IdentityError> {
        let user_id = self.session_user(caller).await?;
        self.user_access().keys(user_id).await
    }

    /// Revokes a key of the caller, and its access tokens.
    ///
    /// # Errors
    /// [`IdentityError::Unknown`] if the caller has no such key. It may be revoked already.
    pub async fn revoke_key(&self, caller: &Caller, key_id: Uuid) -> Result<(), IdentityError> {
        let user_id = self.session_user(caller).await?;
        self.user_access().revoke_key(user_id, key_id).await
    }

    /// Exchanges a key for an access token.
    ///
    /// # Errors
    /// [`IdentityError::InvalidToken`] if the text is not a key, the key is revoked or expired, or
    /// its user is gone.
    pub async fn exchange_key(&self, key: &SecretString) -> Result<AccessToken, IdentityError> {
        let (parts, now) = (self.parts(), self.parts().clock.now());
        let hash = read(key).ok_or(IdentityError::InvalidToken)?;
        let database = &parts.database;
        let found = database.pool().run(async |connection| owner(connection, &hash, now).await);
        let owner = found.await?.ok_or(IdentityError::InvalidToken)?;
        if !parts.directory.may_sign_in(owner.user_id).await? {
            return Err(IdentityError::InvalidToken);
        }
        let used =
            database.transaction(async |transaction| used(transaction, &owner, &hash, now).await);
        let standing = used.await?;
        // The user may have left since. A token that is issued after that would not be revoked.
        if !parts.directory.may_sign_in(owner.user_id).await? {
            return Err(IdentityError::InvalidToken);
        }
        let Owner { key_id, user_id, name, scopes, .. } = owner;
        let scopes = super::session::standing::known(&scopes);
        let standing = Standing { grants: standing.grants.and(&scopes), ..standing };
        let bearer = Bearer { user_id, credential: key_id, client: name, standing };
        Ok(issue(&parts.issuer, bearer, now)?)
    }

    /// The user of the caller's session. The session is looked up, so one that has ended counts no
    /// more, even though its access tokens have not expired.
    ///
    /// # Errors
    /// [`IdentityError::SignIn`] without a live session, [`IdentityError::SessionNeeded`] for the
    /// access token of an API key.
    pub(in crate::auth) async fn session_user(
        &self,
        caller: &Caller,
    ) -> Result<Uuid, IdentityError> {
        let (Principal::User { id }, Some(credential)) = (&caller.principal, caller.credential)
        else {
            return Err(IdentityError::SignIn);
        };
        let found = sqlx::query!(
            r#"SELECT EXISTS (SELECT FROM auth.sessions
                   WHERE session_id = $1 AND user_id = $2 AND ended_at IS NULL) AS "is_session!",
                 EXISTS (SELECT FROM auth.api_keys
                   WHERE key_id = $1 AND user_id = $2) AS "is_key!""#,
            credential,
            id
        );
        let found = found.fetch_one(self.parts().database.pool()).await?;
        match (found.is_session, found.is_key) {
            (true, _) => Ok(*id),
            (false, true) => Err(IdentityError::SessionNeeded),
            (false, false) => Err(IdentityError::SignIn),
        }
    }
}

async fn record(
    transaction: &mut PgConnection,
    (user_id, session): (Uuid, Uuid),
    key: &ListedKey,
    hash: &[u8; 32],
) -> Result<(), IdentityError> {
    // The account's row stays locked, so no two keys are both the last one that is allowed.
    if !account::lock(transaction, user_id).await? {
        return Err(IdentityError::SignIn);
    }
    // A reset of the password may have ended the session and revoked all keys meanwhile.
    let lives = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM auth.sessions
               WHERE session_id = $1 AND ended_at IS NULL) AS "lives!""#,
        session
    );
    if !lives.fetch_one(&mut *transaction).await? {
        return Err(IdentityError::SignIn);
    }
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM auth.api_keys
           WHERE user_id = $1 AND revoked_at IS NULL"#,
        user_id
    );
    if count.fetch_one(&mut *transaction).await? >= MAX_KEYS {
        return Err(IdentityError::TooManyKeys);
    }
    sqlx::query!(
        "INSERT INTO auth.api_keys (key_id, user_id, name, key_hash, scopes, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        key.key_id,
        user_id,
        key.name,
        hash,
        key.scopes,
        key.created_at,
        key.expires_at
    )
    .execute(&mut *transaction)
    .await?;
    Ok(())
}

/// Revokes the keys of a user that were made by a time, or all of them, and returns their ids.
/// Revoke their access tokens, too.
///
/// # Errors
/// The database failed.
pub(super) async fn revoke_made_by(
    transaction: &mut PgConnection,
    user_id: Uuid,
    made_by: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let keys = sqlx::query_scalar!(
        "UPDATE auth.api_keys SET revoked_at = $3
         WHERE user_id = $1 AND revoked_at IS NULL
             AND ($2::timestamptz IS NULL OR created_at <= $2) RETURNING key_id",
        user_id,
        made_by,
        now
    );
    keys.fetch_all(transaction).await
}

/// The number of a user's keys that are neither revoked nor expired.
///
/// # Errors
/// The database failed.
pub(super) async fn count_valid(
    transaction: &mut PgConnection,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<u32, sqlx::Error> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM auth.api_keys
           WHERE user_id = $1 AND revoked_at IS NULL
               AND (expires_at IS NULL OR expires_at > $2)"#,
        user_id,
        now
    );
    let count = count.fetch_one(transaction).await?;
    // A user has at most `MAX_KEYS`.
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The owner of the key with this hash, if it is valid.
async fn owner(
    connection: &mut PgConnection,
    hash: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<Owner>, sqlx::Error> {
    let owner = sqlx::query_as!(
        Owner,
        "SELECT key_id, user_id, name, scopes, used_at FROM auth.api_keys
         WHERE key_hash = $1 AND revoked_at IS NULL
             AND (expires_at IS NULL OR expires_at > $2)",
        hash,
        now
    );
    owner.fetch_optional(connection).await
}

/// Records the use, and reads what the owner may do now.
///
/// # Errors
/// [`IdentityError::InvalidToken`] if the key was revoked meanwhile.
async fn used(
    transaction: &mut PgConnection,
    found: &Owner,
    hash: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<Standing, IdentityError> {
    if !account::hold(transaction, found.user_id).await? {
        return Err(IdentityError::InvalidToken);
    }
    if found.used_at.is_none_or(|last| now - last >= USE_EVERY) {
        let used = sqlx::query!(
            "UPDATE auth.api_keys SET used_at = greatest(used_at, $2) WHERE key_id = $1",
            found.key_id,
            now
        );
        used.execute(&mut *transaction).await?;
    }
    let standing = standing(transaction, found.user_id).await?;
    // The key may have been revoked since it was found.
    owner(transaction, hash, now).await?.ok_or(IdentityError::InvalidToken)?;
    Ok(standing)
}

fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// The hash of the secret in a key; `None` if the text has not the form of a key.
fn read(key: &SecretString) -> Option<[u8; 32]> {
    let text = key.expose_secret();
    let text = text.strip_prefix(PREFIX).filter(|_| text.len() <= MAX_LEN)?;
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
    (secret.len() == SECRET_LEN).then(|| hash(&secret))
}
