//! Sign-up: the mailbox is proven before a user exists.
//!
//! The answer to a sign-up is the same whether the address is free or taken. The mail tells which.
//! The password is chosen with the token, so nobody prepares an account for the owner of a mailbox.
//!
//! The confirmation has two steps: the user is registered in the event store, then the account is
//! opened here. The user's id was chosen at sign-up and the registration has an idempotency key, so
//! a repeat completes what a crash interrupted.

use domain::value::{Email, PersonName};
use secrecy::SecretString;
use uuid::Uuid;

use super::{Ask, Purpose, Waiting, done};
use crate::application::idempotency::{IdempotencyKey, KeyedRequest};
use crate::application::input::NewId;
use crate::application::use_case::RegisterUser;
use crate::auth::log_in::Visitor;
use crate::auth::mail::Kind;
use crate::auth::password::Password;
use crate::auth::session::Tokens;
use crate::auth::session::begin::Proven;
use crate::auth::{Identity, IdentityError, account};

impl Identity {
    /// Mails a token to a free address, and a notice to one that is taken.
    ///
    /// # Errors
    /// [`IdentityError::Throttled`], or a store cannot be asked. Never because the address is
    /// taken.
    pub async fn sign_up(
        &self,
        email: &Email,
        name: &PersonName,
        visitor: &Visitor,
    ) -> Result<(), IdentityError> {
        let purpose = Purpose::SignUp;
        let request = async {
            let holder = self.parts().directory.holder(email).await?;
            let mail = if holder.is_some() { Kind::AlreadyRegistered } else { Kind::SignUp };
            let ask = Ask {
                purpose,
                user_id: holder.unwrap_or_else(Uuid::now_v7),
                email: Some(email),
                name: Some(name.as_str()),
                held: None,
                mail,
                recipient: email,
                password_hash: None,
                session: None,
            };
            self.ask(ask).await
        };
        self.within_budget((purpose, email), visitor, request).await
    }

    /// Registers the user, opens the account with this password, and begins a session.
    ///
    /// # Errors
    /// [`IdentityError::InvalidToken`], also for a repeat after the user was deactivated; the
    /// address was taken meanwhile, or a store cannot be reached: then a repeat completes it.
    pub async fn confirm_sign_up(
        &self,
        token: &SecretString,
        password: Password,
        visitor: Visitor,
    ) -> Result<Tokens, IdentityError> {
        let waiting = self.waiting(token, Purpose::SignUp).await?;
        if waiting.done_at.is_none() {
            self.register(&waiting).await?;
        }
        // A repeat may come after the user was deactivated.
        if !self.parts().directory.may_sign_in(waiting.user_id).await? {
            return Err(IdentityError::InvalidToken);
        }
        let password_hash = self.set_password(&waiting, password, &visitor).await?;
        let Visitor { client, address } = visitor;
        let user_id = waiting.user_id;
        let begun = self.begin(Proven { user_id, password_hash, client, address }).await?;
        begun.ok_or(IdentityError::InvalidToken)
    }

    /// The first step: the user in the event store.
    async fn register(&self, waiting: &Waiting) -> Result<(), IdentityError> {
        let stored = |text: &Option<String>| text.clone().ok_or(IdentityError::InvalidToken);
        let (email, name) = (stored(&waiting.email)?, stored(&waiting.name)?);
        // Both were checked at sign-up.
        let email = Email::parse(&email).map_err(|_| IdentityError::InvalidToken)?;
        let name = PersonName::parse(&name).map_err(|_| IdentityError::InvalidToken)?;
        let key = format!("sign-up-{}", waiting.pending_id);
        let key = IdempotencyKey::new(key).map_err(|_| IdentityError::InvalidToken)?;
        let keyed = KeyedRequest::new(key, &[waiting.pending_id.as_bytes()]);
        let directory = &self.parts().directory;
        let reservations = directory.reservations.clone();
        let user_id = waiting.user_id;
        let id = NewId::Given(user_id);
        let use_case = RegisterUser { user_id: id, email, name, reservations };
        directory.run(use_case, user_id, keyed).await
    }

    /// The second step: the account with its password. A repeat with the same password succeeds,
    /// so that a lost answer does no harm. With another one it is refused, because the token was
    /// used.
    async fn set_password(
        &self,
        waiting: &Waiting,
        password: Password,
        visitor: &Visitor,
    ) -> Result<String, IdentityError> {
        let (parts, now) = (self.parts(), self.parts().clock.now());
        let user_id = waiting.user_id;
        if waiting.done_at.is_some() {
            return self.same_password(user_id, password, visitor).await;
        }
        let hash = parts.passwords.hash(password.clone(), visitor.network()).await?;
        let opened = parts.database.transaction(async |transaction| {
            let opened = account::open(transaction, user_id, &hash, now).await?;
            done(transaction, waiting.pending_id, now).await?;
            Ok::<_, sqlx::Error>(opened)
        });
        if opened.await? { Ok(hash) } else { self.same_password(user_id, password, visitor).await }
    }

    /// The stored hash, if it is that of this password. Another one counts as a guess.
    ///
    /// # Errors
    /// [`IdentityError::InvalidToken`], [`IdentityError::Throttled`], or a store cannot be asked.
    pub(super) async fn same_password(
        &self,
        user_id: Uuid,
        password: Password,
        visitor: &Visitor,
    ) -> Result<String, IdentityError> {
        match self.present_password(user_id, password.into_text(), visitor).await {
            Ok((stored, _)) => Ok(stored),
            // The token was used, and that is all that the caller learns.
            Err(IdentityError::WrongCredentials | IdentityError::SignIn) => {
                Err(IdentityError::InvalidToken)
            }
            Err(error) => Err(error),
        }
    }
}
