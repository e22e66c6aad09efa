//! Passwords. A user who knows the password changes it, and one who proves the mailbox resets it.
//! Either ends the sessions that the old password may have begun, and a mail announces it.
//!
//! A reset also revokes the user's API keys: somebody else may have learned the lost password and
//! made some. A change keeps the keys, because programs depend on them, and the mail says how many
//! there are.

use access::Caller;
use domain::value::Email;
use identity::Subject;
use secrecy::SecretString;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{Ask, Purpose, Waiting, claim, forget};
use crate::auth::log_in::Visitor;
use crate::auth::mail::Kind;
use crate::auth::mail::outbox::{self, Entry};
use crate::auth::password::Password;
use crate::auth::session::Tokens;
use crate::auth::session::begin::Proven;
use crate::auth::session::end::{Why, end_beyond, end_others, revoke};
use crate::auth::{Identity, IdentityError, api_key};

/// What a new password ends: somebody who knew the old one may have asked for it.
const MAILED_BEFORE: [Purpose; 2] = [Purpose::PasswordReset, Purpose::EmailChange];

impl Identity {
    /// Mails a token for a new password, if the address belongs to a user. The token counts as long
    /// as the user holds the address.
    ///
    /// # Errors
    /// [`IdentityError::Throttled`], or a store cannot be asked. Never because the address is
    /// nobody's.
    pub async fn ask_reset(&self, email: &Email, visitor: &Visitor) -> Result<(), IdentityError> {
        let purpose = Purpose::PasswordReset;
        let request = async {
            let holder = self.parts().directory.holder(email).await?;
            let mail = if holder.is_some() { Kind::PasswordReset } else { Kind::Nothing };
            let ask = Ask {
                purpose,
                user_id: holder.unwrap_or_default(),
                email: None,
                name: None,
                held: Some(email),
                mail,
                recipient: email,
                password_hash: None,
                session: None,
            };
            self.ask(ask).await
        };
        self.within_budget((purpose, email), visitor, request).await
    }

    /// Sets the password, ends all sessions, revokes all API keys, and begins a new session. A user
    /// without an account gets one: the mailbox is proven.
    ///
    /// # Errors
    /// [`IdentityError::InvalidToken`], or a store cannot be reached.
    pub async fn reset_password(
        &self,
        token: &SecretString,
        password: Password,
        visitor: Visitor,
    ) -> Result<Tokens, IdentityError> {
        let parts = self.parts();
        let waiting = self.waiting(token, Purpose::PasswordReset).await?;
        let user_id = waiting.user_id;
        let held = parts.directory.email_of(user_id).await?.ok_or(IdentityError::InvalidToken)?;
        if !waiting.is_of(&parts.directory, &held) {
            return Err(IdentityError::InvalidToken);
        }
        let password_hash = if waiting.done_at.is_some() {
            self.same_password(user_id, password, &visitor).await?
        } else {
            let hash = parts.passwords.hash(password.clone(), visitor.network()).await?;
            match self.reset_once(&waiting, &held, &hash).await {
                Ok(()) => hash,
                // Another confirmation was faster. With the same password, this one repeats it.
                Err(IdentityError::InvalidToken) => {
                    self.same_password(user_id, password, &visitor).await?
                }
                Err(error) => return Err(error),
            }
        };
        let Visitor { client, address } = visitor;
        let begun = self.begin(Proven { user_id, password_hash, client, address }).await?;
        begun.ok_or(IdentityError::InvalidToken)
    }

    /// Stores the new password, ends all sessions, revokes all API keys, voids older mailed tokens,
    /// and mails a notice, if this is the first confirmation with its token.
    async fn reset_once(
        &self,
        waiting: &Waiting,
        held: &Email,
        hash: &str,
    ) -> Result<(), IdentityError> {
        let (parts, now) = (self.parts(), self.parts().clock.now());
        let Waiting { user_id, pending_id, .. } = *waiting;
        let reset = parts.database.transaction(async |transaction| {
            // It locks the account first, like all that forgets what waits.
            if !store(transaction, user_id, hash, now).await? {
                return Err(IdentityError::InvalidToken);
            }
            if !claim(transaction, pending_id, now).await? {
                return Err(IdentityError::InvalidToken);
            }
            end_beyond(transaction, &parts.revocations, user_id, 0, Why::PasswordChanged, now)
                .await?;
            let keys = Some(api_key::count_valid(transaction, user_id, now).await?);
            let revoked = api_key::revoke_made_by(transaction, user_id, None, now).await?;
            let tokens = revoked.into_iter().map(Subject::Key);
            revoke(transaction, &parts.revocations, tokens, now).await?;
            forget(transaction, user_id, &MAILED_BEFORE, pending_id).await?;
            let notice = Entry::notice(Kind::PasswordWasReset, held.as_str(), user_id);
            outbox::add(transaction, &Entry { keys, ..notice }, now).await
        });
        reset.await
    }

    /// Changes the password of the caller, and ends all other sessions. The caller's API keys stay
    /// valid; a mail says how many there are.
    ///
    /// # Errors
    /// [`IdentityError::WrongCredentials`] if the current password is another one,
    /// [`IdentityError::Throttled`], or the caller has no session.
    pub async fn change_password(
        &self,
        caller: &Caller,
        current: SecretString,
        new: Password,
        visitor: &Visitor,
    ) -> Result<(), IdentityError> {
        let user_id = self.session_user(caller).await?;
        let (old, email) = self.present_password(user_id, current, visitor).await?;
        let parts = self.parts();
        let hash = parts.passwords.hash(new, visitor.network()).await?;
        let now = parts.clock.now();
        let kept = caller.credential.unwrap_or_default();
        let changed = parts.database.transaction(async |transaction| {
            // Of two changes at once, the second one does not know the current password any more.
            let changed = sqlx::query!(
                "UPDATE auth.accounts SET password_hash = $3, password_changed_at = $4
                 WHERE user_id = $1 AND password_hash = $2",
                user_id,
                old,
                hash,
                now
            );
            if changed.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Err(IdentityError::WrongCredentials);
            }
            end_others(transaction, &parts.revocations, user_id, kept, Why::PasswordChanged, now)
                .await?;
            forget(transaction, user_id, &MAILED_BEFORE, Uuid::nil()).await?;
            let keys = Some(api_key::count_valid(transaction, user_id, now).await?);
            let notice = Entry::notice(Kind::PasswordChanged, email.as_str(), user_id);
            outbox::add(transaction, &Entry { keys, ..notice }, now).await
        });
        changed.await
    }
}

/// Sets the password, and opens the account if there is none. Returns false if the user is erased.
async fn store(
    transaction: &mut PgConnection,
    user_id: Uuid,
    hash: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<bool, sqlx::Error> {
    let stored = sqlx::query!(
        "INSERT INTO auth.accounts AS a (user_id, password_hash, created_at,
             password_changed_at)
         VALUES ($1, $2, $3, $3)
         ON CONFLICT (user_id) DO UPDATE
         SET password_hash = excluded.password_hash,
             password_changed_at = excluded.password_changed_at
         WHERE a.erased_at IS NULL",
        user_id,
        hash,
        now
    );
    Ok(stored.execute(transaction).await?.rows_affected() == 1)
}
