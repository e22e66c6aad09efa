//! Passwords: changed by who knows the old one, or reset by who proves the mailbox. Either ends the
//! sessions that the old password may have begun.

use access::Caller;
use domain::value::Email;
use secrecy::SecretString;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::{Ask, Purpose, done};
use crate::auth::log_in::Visitor;
use crate::auth::mail::Kind;
use crate::auth::mail::outbox::{self, Entry};
use crate::auth::password::{Password, Verdict};
use crate::auth::session::Tokens;
use crate::auth::session::begin::Proven;
use crate::auth::session::end::{Why, end_beyond, end_others};
use crate::auth::{Identity, IdentityError};

impl Identity {
    /// Mails a token for a new password, if the address belongs to a user.
    ///
    /// # Errors
    /// [`IdentityError::Throttled`], or a store cannot be asked. Never because the address is
    /// nobody's.
    pub async fn ask_reset(&self, email: &Email, visitor: &Visitor) -> Result<(), IdentityError> {
        self.admit_mail(email, visitor)?;
        let holder = self.parts().directory.holder(email).await?;
        let mail = if holder.is_some() { Kind::PasswordReset } else { Kind::Nothing };
        let ask = Ask {
            purpose: Purpose::PasswordReset,
            user_id: holder.unwrap_or_default(),
            email: None,
            name: None,
            mail,
            recipient: email,
        };
        self.ask(ask).await
    }

    /// Sets the password, ends all sessions, and begins a new one. A user without an account gets
    /// one: the mailbox is proven.
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
        let (user_id, now) = (waiting.user_id, parts.clock.now());
        if !parts.directory.may_sign_in(user_id).await? {
            return Err(IdentityError::InvalidToken);
        }
        let password_hash = if waiting.done_at.is_some() {
            self.same_password(user_id, password).await?
        } else {
            let hash = parts.passwords.hash(password).await?;
            let reset = parts.database.transaction(async |transaction| {
                if !store(transaction, user_id, &hash, now).await? {
                    return Err(IdentityError::InvalidToken);
                }
                end_beyond(transaction, &parts.revocations, user_id, 0, Why::PasswordChanged, now)
                    .await?;
                forget_resets(transaction, user_id, waiting.pending_id).await?;
                Ok(done(transaction, waiting.pending_id, now).await?)
            });
            reset.await?;
            hash
        };
        let Visitor { client, address } = visitor;
        self.begin(Proven { user_id, password_hash, client, address }).await
    }

    /// Changes the password of the caller, and ends all other sessions. A mail tells of it.
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
        let parts = self.parts();
        let email = parts.directory.email_of(user_id).await?.ok_or(IdentityError::SignIn)?;
        let attempt = self.begin_attempt(&email, visitor)?;
        let stored = sqlx::query_scalar!(
            "SELECT password_hash FROM auth.accounts WHERE user_id = $1",
            user_id
        );
        let stored = stored.fetch_optional(parts.database.pool()).await?.flatten();
        let verdict = parts.passwords.verify(current, stored.clone()).await?;
        let (Verdict::Right | Verdict::Outdated, Some(old)) = (verdict, stored) else {
            return Err(IdentityError::WrongCredentials);
        };
        self.throttle().forgive(attempt);
        let (hash, now) = (parts.passwords.hash(new).await?, parts.clock.now());
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
            forget_resets(transaction, user_id, Uuid::nil()).await?;
            let kind = Kind::PasswordChanged;
            let recipient = email.as_str();
            outbox::add(transaction, &Entry { kind, recipient, user_id, pending_id: None }, now)
                .await
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

/// Forgets the other tokens for a new password: they were mailed before this one was set.
async fn forget_resets(
    transaction: &mut PgConnection,
    user_id: Uuid,
    kept: Uuid,
) -> Result<(), sqlx::Error> {
    let forgotten = sqlx::query!(
        "DELETE FROM auth.pending
         WHERE user_id = $1 AND kind = 'password-reset' AND pending_id <> $2",
        user_id,
        kept
    );
    forgotten.execute(transaction).await.map(drop)
}
