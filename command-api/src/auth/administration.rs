//! Administration: roles, and the sessions and API keys of others.
//!
//! Nobody gives or takes more than they hold, and the last administrator stays. What a change takes
//! away is revoked in the same transaction, so that access tokens of before are refused.

use access::{Caller, Permission, Reach, RoleName};
use chrono::{DateTime, Utc};
use identity::Subject;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::account::{self, ADMIN};
use super::api_key::ListedKey;
use super::session::end::{Why, end_one, revoke};
use super::session::standing::{EVERYBODY, known, standing};
use super::{Identity, IdentityError};

/// The maximum number of sessions in a list: the ones that were begun last.
const MAX_LISTED: i64 = 200;

/// A session in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it ended.
    pub ended_why: Option<String>,
}

/// What is done with a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleChange {
    /// The user gets the role.
    Grant,
    /// The user loses the role.
    Revoke,
}

impl Identity {
    /// The names of a user's roles, with the one that everybody holds.
    ///
    /// # Errors
    /// The caller may not, there is no such account, or the database failed.
    pub async fn roles(
        &self,
        caller: &Caller,
        user_id: Uuid,
    ) -> Result<Vec<String>, IdentityError> {
        self.manager(caller).await?;
        let database = &self.parts().database;
        let found = database.transaction(async |transaction| {
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
    /// [`IdentityError::BeyondOwn`] if the role allows more than the caller may,
    /// [`IdentityError::LastAdministrator`], [`IdentityError::Unknown`] for an account or a role
    /// that is not there.
    pub async fn change_role(
        &self,
        caller: &Caller,
        user_id: Uuid,
        role: &RoleName,
        change: RoleChange,
    ) -> Result<(), IdentityError> {
        let manager = self.manager(caller).await?;
        let takes_admin = (role.as_str(), change) == (ADMIN, RoleChange::Revoke);
        let is_last = takes_admin && self.is_last_administrator(user_id).await?;
        let changed = self.parts().database.transaction(async |transaction| {
            // One change at a time, so that no two take the role from the last two administrators.
            lock_roles(transaction).await?;
            let grants = sqlx::query_scalar!(
                "SELECT grants FROM auth.roles WHERE name = $1 AND name <> $2",
                role.as_str(),
                EVERYBODY
            );
            let grants = grants.fetch_optional(&mut *transaction).await?;
            let grants = grants.ok_or(IdentityError::Unknown)?;
            if !account::lock(transaction, user_id).await? {
                return Err(IdentityError::Unknown);
            }
            let now = self.parts().clock.now();
            let held = standing(transaction, manager).await?.grants;
            let grants = known(&grants);
            if !held.cover(&grants) || !caller.grants.cover(&grants) {
                return Err(IdentityError::BeyondOwn);
            }
            if is_last {
                return Err(IdentityError::LastAdministrator);
            }
            let made = apply(transaction, user_id, role, change).await?;
            if made {
                let revocations = &self.parts().revocations;
                let tokens = std::iter::once(Subject::User(user_id));
                revoke(transaction, revocations, tokens, now).await?;
            }
            Ok(())
        });
        changed.await?;
        tracing::info!(%user_id, %role, ?change, by = %manager, "a role was changed");
        Ok(())
    }

    /// Whether the user is an administrator, and no other one may sign in.
    ///
    /// # Errors
    /// A store cannot be asked.
    pub async fn is_last_administrator(&self, user_id: Uuid) -> Result<bool, IdentityError> {
        let holders =
            sqlx::query_scalar!("SELECT user_id FROM auth.memberships WHERE role = $1", ADMIN);
        let holders = holders.fetch_all(self.parts().database.pool()).await?;
        if !holders.contains(&user_id) {
            return Ok(false);
        }
        for other in holders.into_iter().filter(|holder| *holder != user_id) {
            if self.parts().directory.may_sign_in(other).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The sessions of a user, the newest first.
    ///
    /// # Errors
    /// The caller may not, or the database failed.
    pub async fn sessions(
        &self,
        caller: &Caller,
        user_id: Uuid,
    ) -> Result<Vec<ListedSession>, IdentityError> {
        self.self_or_manager(caller, user_id).await?;
        let sessions = sqlx::query_as!(
            ListedSession,
            r#"SELECT session_id, client, host(address) AS address, created_at, used_at, ended_at,
                 ended_why
               FROM auth.sessions WHERE user_id = $1
               ORDER BY created_at DESC, session_id DESC LIMIT $2"#,
            user_id,
            MAX_LISTED
        );
        Ok(sessions.fetch_all(self.parts().database.pool()).await?)
    }

    /// Ends a session of a user.
    ///
    /// # Errors
    /// [`IdentityError::Unknown`] if the user has no such session. It may have ended already.
    pub async fn end_session(
        &self,
        caller: &Caller,
        user_id: Uuid,
        session: Uuid,
    ) -> Result<(), IdentityError> {
        let by = self.self_or_manager(caller, user_id).await?;
        let why = if by == user_id { Why::LoggedOut } else { Why::Revoked };
        let now = self.parts().clock.now();
        let ended = self.parts().database.transaction(async |transaction| {
            let found = sqlx::query_scalar!(
                "SELECT session_id FROM auth.sessions WHERE session_id = $1 AND user_id = $2",
                session,
                user_id
            );
            found.fetch_optional(&mut *transaction).await?.ok_or(IdentityError::Unknown)?;
            Ok(end_one(transaction, &self.parts().revocations, session, why, now).await?)
        });
        ended.await
    }

    /// The API keys of a user, the newest first.
    ///
    /// # Errors
    /// The caller may not, or the database failed.
    pub async fn user_keys(
        &self,
        caller: &Caller,
        user_id: Uuid,
    ) -> Result<Vec<ListedKey>, IdentityError> {
        self.self_or_manager(caller, user_id).await?;
        self.keys_of(user_id).await
    }

    /// Revokes an API key of a user.
    ///
    /// # Errors
    /// [`IdentityError::Unknown`] if the user has no such key. It may be revoked already.
    pub async fn revoke_user_key(
        &self,
        caller: &Caller,
        user_id: Uuid,
        key: Uuid,
    ) -> Result<(), IdentityError> {
        self.self_or_manager(caller, user_id).await?;
        self.revoke_key_of(user_id, key).await
    }

    /// The caller, if they may manage the access of others now. The roles are looked up again, so a
    /// token from before they were taken away does not count.
    async fn manager(&self, caller: &Caller) -> Result<Uuid, IdentityError> {
        let id = self.session_user(caller).await?;
        let by_token = caller.grants.reach(Permission::AccessManage);
        let held =
            self.parts().database.transaction(async |transaction| standing(transaction, id).await);
        let held: super::issuer::Standing = held.await?;
        match (by_token, held.grants.reach(Permission::AccessManage)) {
            (Some(Reach::Any), Some(Reach::Any)) => Ok(id),
            _ => Err(IdentityError::Forbidden(Permission::AccessManage)),
        }
    }

    /// The caller, if the user is themselves or they may manage the access of others. To anybody
    /// else, others do not exist.
    async fn self_or_manager(&self, caller: &Caller, user: Uuid) -> Result<Uuid, IdentityError> {
        let id = self.session_user(caller).await?;
        if id == user {
            return Ok(id);
        }
        match self.manager(caller).await {
            Err(IdentityError::Forbidden(_)) => Err(IdentityError::Unknown),
            result => result,
        }
    }
}

/// Waits until no other transaction changes roles. The name of the lock is permanent.
async fn lock_roles(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    let lock = sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('auth roles', 0))");
    lock.execute(transaction).await.map(drop)
}

/// Changes the role, and returns whether that made a difference.
async fn apply(
    transaction: &mut PgConnection,
    user_id: Uuid,
    role: &RoleName,
    change: RoleChange,
) -> Result<bool, IdentityError> {
    let changed = match change {
        RoleChange::Grant => account::give_role(transaction, user_id, role.as_str()).await?,
        RoleChange::Revoke => {
            let taken = sqlx::query!(
                "DELETE FROM auth.memberships WHERE user_id = $1 AND role = $2",
                user_id,
                role.as_str()
            );
            taken.execute(&mut *transaction).await?.rows_affected() > 0
        }
    };
    if changed && (role.as_str(), change) == (ADMIN, RoleChange::Revoke) {
        let left = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM auth.memberships WHERE role = $1"#,
            ADMIN
        );
        if left.fetch_one(&mut *transaction).await? == 0 {
            return Err(IdentityError::LastAdministrator);
        }
    }
    Ok(changed)
}
