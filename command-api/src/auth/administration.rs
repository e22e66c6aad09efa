//! Administration over HTTP: who may see and change the access of users ([`UserAccess`]).
//!
//! Nobody gives or takes a role that allows more than they may. Users see and end their own
//! sessions and API keys without a permission.
//!
//! [`UserAccess`]: super::user_access::UserAccess

use access::{Caller, Permission, Reach, RoleName};
use uuid::Uuid;

use super::api_key::ListedKey;
use super::session::end::Why;
use super::session::standing::standing;
use super::user_access::{ListedSession, Manager, RoleChange};
use super::{Identity, IdentityError};

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
        self.user_access().roles(user_id).await
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
        let manager = Manager { user_id: self.manager(caller).await?, grants: &caller.grants };
        self.user_access().change_role(user_id, role, change, Some(manager)).await
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
        self.user_access().sessions(user_id).await
    }

    /// Ends a session of a user. Only its own end of itself is a log-out.
    ///
    /// # Errors
    /// [`IdentityError::Unknown`] if the user has no such session. It may have ended already.
    pub async fn end_session(
        &self,
        caller: &Caller,
        user_id: Uuid,
        session: Uuid,
    ) -> Result<(), IdentityError> {
        self.self_or_manager(caller, user_id).await?;
        let is_own = caller.credential == Some(session);
        let why = if is_own { Why::LoggedOut } else { Why::Revoked };
        self.user_access().end_session(user_id, session, why).await
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
        self.user_access().keys(user_id).await
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
        self.user_access().revoke_key(user_id, key).await
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
