//! A new e-mail address: changed when its mailbox is proven. The old address gets a notice.
//!
//! The change is void once the session that asked for it was taken away: its user or an
//! administrator ended it from elsewhere, or its refresh token was stolen. Otherwise the thief of a
//! session could take over the account with the change. A plain log-out of the session does not
//! void the change: people ask, log out or change the device, and then open the mail. A user who
//! suspects that somebody else asked and logged out again changes the password or logs out
//! everywhere. Both end every change that waits.

use access::Caller;
use domain::value::Email;
use secrecy::SecretString;
use uuid::Uuid;

use super::{Ask, Purpose, claim};
use crate::application::idempotency::{IdempotencyKey, KeyedRequest};
use crate::application::use_case::ChangeUser;
use crate::auth::log_in::Visitor;
use crate::auth::mail::Kind;
use crate::auth::mail::outbox::{self, Entry};
use crate::auth::session::end::Why;
use crate::auth::{Identity, IdentityError};

/// The ends of a session that do not void its change of the address.
const HARMLESS: [Why; 2] = [Why::LoggedOut, Why::TooMany];

impl Identity {
    /// Mails a token to the new address if it is free, and a notice if it is taken. It takes the
    /// current password, because the holder of the address can set a new one.
    ///
    /// # Errors
    /// [`IdentityError::WrongCredentials`] if the current password is another one,
    /// [`IdentityError::Throttled`], or the caller has no session. Never because the address is
    /// taken.
    pub async fn ask_email(
        &self,
        caller: &Caller,
        new: &Email,
        current: SecretString,
        visitor: &Visitor,
    ) -> Result<(), IdentityError> {
        let user_id = self.session_user(caller).await?;
        let (password_hash, held) = self.present_password(user_id, current, visitor).await?;
        let purpose = Purpose::EmailChange;
        let request = async {
            let holder = self.parts().directory.holder(new).await?;
            let is_free = holder.is_none_or(|holder| holder == user_id);
            let mail = if is_free { Kind::EmailChange } else { Kind::AlreadyRegistered };
            let password_hash = Some(&*password_hash);
            let (email, name, recipient) = (Some(new), None, new);
            let held = Some(&held);
            let session = caller.credential;
            let ask = Ask {
                purpose,
                user_id,
                email,
                name,
                held,
                mail,
                recipient,
                password_hash,
                session,
            };
            self.ask(ask).await
        };
        self.within_budget((purpose, new), visitor, request).await
    }

    /// Changes the address in the event store, unless the session that asked was taken away. This
    /// voids all tokens that were mailed while the user held the old one. A repeat completes what
    /// was interrupted.
    ///
    /// # Errors
    /// [`IdentityError::InvalidToken`], the address was taken meanwhile, or a store cannot be
    /// reached.
    pub async fn confirm_email(&self, token: &SecretString) -> Result<(), IdentityError> {
        let waiting = self.waiting(token, Purpose::EmailChange).await?;
        if waiting.done_at.is_some() {
            return Ok(());
        }
        let (parts, user_id) = (self.parts(), waiting.user_id);
        let new = waiting.email.as_deref().and_then(|email| Email::parse(email).ok());
        let new = new.ok_or(IdentityError::InvalidToken)?;
        let old = parts.directory.email_of(user_id).await?.ok_or(IdentityError::InvalidToken)?;
        let is_same_mailbox = old.normalised() == new.normalised();
        if !waiting.is_of(&parts.directory, &old) {
            // If the user holds the new address by now, another confirmation made the change. It
            // sends the notice, because only it knew the old address. The notice is lost if the
            // process crashed between the change and the notice.
            return if is_same_mailbox { Ok(()) } else { Err(IdentityError::InvalidToken) };
        }
        if !self.may_count(waiting.pending_id).await? {
            return Err(IdentityError::InvalidToken);
        }
        let key = IdempotencyKey::new(format!("email-change-{}", waiting.pending_id));
        let key = key.map_err(|_| IdentityError::InvalidToken)?;
        let keyed = KeyedRequest::new(key, &[waiting.pending_id.as_bytes()]);
        let reservations = parts.directory.reservations.clone();
        let use_case = ChangeUser::email(user_id, new.clone(), reservations);
        parts.directory.run(use_case, user_id, keyed).await?;
        let now = parts.clock.now();
        let told = parts.database.transaction(async |transaction| {
            let is_first = claim(transaction, waiting.pending_id, now).await?;
            if !is_first || is_same_mailbox {
                return Ok(());
            }
            let entry = Entry::notice(Kind::EmailChanged, old.as_str(), user_id);
            outbox::add(transaction, &entry, now).await
        });
        told.await
    }

    /// Whether the session that asked for a change is alive, or has ended in a harmless way.
    async fn may_count(&self, pending_id: Uuid) -> Result<bool, IdentityError> {
        let harmless = HARMLESS.map(|why| why.as_str().to_owned());
        let asked = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM auth.pending p JOIN auth.sessions s USING (session_id)
                   WHERE p.pending_id = $1
                       AND (s.ended_at IS NULL OR s.ended_why = ANY ($2::text[]))) AS "may!""#,
            pending_id,
            &harmless[..]
        );
        Ok(asked.fetch_one(self.parts().database.pool()).await?)
    }
}
