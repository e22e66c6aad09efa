//! The access of users: their roles, sessions and API keys. An administrator changes it over HTTP
//! ([`administration`](super::administration)), and an operator by command line.
//!
//! The last administrator keeps the role. A change revokes the older access tokens in the same
//! transaction, so that they are refused.

use access::{Grants, Role, RoleName};
use chrono::{DateTime, Utc};
use identity::{Revocations, Subject};
use serde::Serialize;
use service_kit::clock::SharedClock;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::api_key::ListedKey;
use super::session::end::{Why, end_one, revoke};
use super::session::standing::{known, standing};
use super::{Database, Directory, Identity, IdentityError, account, administrators};

/// The maximum number of sessions or API keys in a list: the newest ones.
const MAX_LISTED: i64 = 200;

/// A session in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedSession {
    /// The session's id.
    pub session_id: Uuid,
    /// The name of the frontend, as it gave it at the log-in.
    pub client: String,
    /// The network address, as long as it is kept.
    pub address: Option<String>,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// When it was last refreshed.
    pub used_at: DateTime<Utc>,
    /// When it ended; `None` if it has not.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it ended, such as `logged-out`; `None` if it has not.
    pub ended_why: Option<String>,
}

/// How the role of a user changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleChange {
    /// The user gets the role.
    Grant,
    /// The user loses the role.
    Revoke,
}

/// The user who changes a role over HTTP or GraphQL. An operator at the command line needs none.
#[derive(Debug, Clone, Copy)]
pub struct Manager<'a> {
    /// The id of the user.
    pub user_id: Uuid,
    /// The rights of the manager's access token.
    pub grants: &'a Grants,
}

/// The access of users, for HTTP, GraphQL and command lines.
#[derive(Clone)]
pub struct UserAccess {
    /// The database of the credentials.
    pub database: Database,
    /// The users in the event store.
    pub directory: Directory,
    /// The revocations that this process knows.
    pub revocations: Revocations,
    /// The source of the current time.
    pub clock: SharedClock,
}

impl Identity {
    /// The access of users.
    pub fn user_access(&self) -> UserAccess {
        let parts = self.parts();
        UserAccess {
            database: parts.database.clone(),
            directory: parts.directory.clone(),
            revocations: parts.revocations.clone(),
            clock: parts.clock.clone(),
        }
    }
}

impl UserAccess {
    /// The names of a user's roles, with the one that everybody holds.
    ///
    /// # Errors
    /// There is no such account, or the database failed.
    pub async fn roles(&self, user_id: Uuid) -> Result<Vec<String>, IdentityError> {
        let found = self.database.transaction(async |transaction| {
            if !account::hold(transaction, user_id).await? {
                return Err(IdentityError::Unknown);
            }
            let standing = standing(transaction, user_id).await?;
            Ok(standing.roles.into_iter().collect())
        });
        found.await
    }

    /// Gives a user a role, or takes it away. Doing it twice has no further effect.
    ///
    /// # Errors
    /// [`IdentityError::BeyondOwn`] if the role allows more than the manager may,
    /// [`IdentityError::LastAdministrator`], [`IdentityError::Unknown`] for an account or a role
    /// that is not there.
    pub async fn change_role(
        &self,
        user_id: Uuid,
        role: &RoleName,
        change: RoleChange,
        manager: Option<Manager<'_>>,
    ) -> Result<(), IdentityError> {
        let takes_admin = (role.as_str(), change) == (Role::ADMIN, RoleChange::Revoke);
        let changed = self.database.transaction(async |transaction| {
            // One change at a time, and none while a user is deactivated.
            administrators::lock(transaction).await?;
            let grants = sqlx::query_scalar!(
                "SELECT grants FROM auth.roles WHERE name = $1 AND name <> $2",
                role.as_str(),
                Role::EVERYBODY
            );
            let grants = grants.fetch_optional(&mut *transaction).await?;
            let grants = known(&grants.ok_or(IdentityError::Unknown)?);
            if !account::lock(transaction, user_id).await? {
                return Err(IdentityError::Unknown);
            }
            let now = self.clock.now();
            if let Some(manager) = manager {
                let held = standing(transaction, manager.user_id).await?.grants;
                if !held.cover(&grants) || !manager.grants.cover(&grants) {
                    return Err(IdentityError::BeyondOwn);
                }
            }
            if takes_admin {
                let leaving = &[user_id];
                let last = administrators::last(transaction, &self.directory, leaving).await?;
                if last.is_some() {
                    return Err(IdentityError::LastAdministrator);
                }
            }
            if apply(transaction, user_id, role, change).await? {
                let tokens = std::iter::once(Subject::User(user_id));
                revoke(transaction, &self.revocations, tokens, now).await?;
            }
            Ok(())
        });
        changed.await?;
        let by = manager.map(|manager| manager.user_id);
        tracing::info!(%user_id, %role, ?change, ?by, "a role was changed");
        Ok(())
    }

    /// The sessions of a user, the newest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sessions(&self, user_id: Uuid) -> Result<Vec<ListedSession>, IdentityError> {
        let sessions = sqlx::query_as!(
            ListedSession,
            r#"SELECT session_id, client, host(address) AS address, created_at, used_at, ended_at,
                 ended_why
               FROM auth.sessions WHERE user_id = $1
               ORDER BY created_at DESC, session_id DESC LIMIT $2"#,
            user_id,
            MAX_LISTED
        );
        Ok(sessions.fetch_all(self.database.pool()).await?)
    }

    /// Ends a session of a user.
    ///
    /// # Errors
    /// [`IdentityError::Unknown`] if the user has no such session. It may have ended already.
    pub async fn end_session(
        &self,
        user_id: Uuid,
        session: Uuid,
        why: Why,
    ) -> Result<(), IdentityError> {
        let now = self.clock.now();
        let ended = self.database.transaction(async |transaction| {
            let found = sqlx::query_scalar!(
                "SELECT session_id FROM auth.sessions WHERE session_id = $1 AND user_id = $2",
                session,
                user_id
            );
            found.fetch_optional(&mut *transaction).await?.ok_or(IdentityError::Unknown)?;
            Ok(end_one(transaction, &self.revocations, session, why, now).await?)
        });
        ended.await
    }

    /// The API keys of a user, the newest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn keys(&self, user_id: Uuid) -> Result<Vec<ListedKey>, IdentityError> {
        let keys = sqlx::query_as!(
            ListedKey,
            "SELECT key_id, name, scopes, created_at, expires_at, used_at, revoked_at
             FROM auth.api_keys WHERE user_id = $1 ORDER BY created_at DESC, key_id DESC LIMIT $2",
            user_id,
            MAX_LISTED
        );
        Ok(keys.fetch_all(self.database.pool()).await?)
    }

    /// Revokes an API key of a user, and its access tokens.
    ///
    /// # Errors
    /// [`IdentityError::Unknown`] if the user has no such key. It may be revoked already.
    pub async fn revoke_key(&self, user_id: Uuid, key_id: Uuid) -> Result<(), IdentityError> {
        let now = self.clock.now();
        let revoked = self.database.transaction(async |transaction| {
            let found = sqlx::query_scalar!(
                "UPDATE auth.api_keys SET revoked_at = coalesce(revoked_at, $3)
                 WHERE key_id = $1 AND user_id = $2 RETURNING key_id",
                key_id,
                user_id,
                now
            );
            let found = found.fetch_optional(&mut *transaction).await?;
            let key = Subject::Key(found.ok_or(IdentityError::Unknown)?);
            Ok(revoke(transaction, &self.revocations, std::iter::once(key), now).await?)
        });
        revoked.await
    }
}

/// Changes the role, and returns whether that made a difference.
async fn apply(
    transaction: &mut PgConnection,
    user_id: Uuid,
    role: &RoleName,
    change: RoleChange,
) -> Result<bool, sqlx::Error> {
    Ok(match change {
        RoleChange::Grant => account::give_role(transaction, user_id, role.as_str()).await?,
        RoleChange::Revoke => {
            let taken = sqlx::query!(
                "DELETE FROM auth.memberships WHERE user_id = $1 AND role = $2",
                user_id,
                role.as_str()
            );
            taken.execute(&mut *transaction).await?.rows_affected() > 0
        }
    })
}
