//! What identity asks the event store: who holds an e-mail address, and who is still a user.

use std::sync::{Arc, OnceLock};

use access::{Caller, Grants, Policy, Principal};
use domain::user::User;
use domain::value::Email;
use uuid::Uuid;

use super::IdentityError;
use super::throttle::AccountKey;
use crate::application::access::Permit;
use crate::application::idempotency::KeyedRequest;
use crate::application::use_case::{EmailReservations, UseCase};
use crate::application::{CommandError, Commands, Context};

/// The users in the event store.
#[derive(Clone)]
pub struct Directory {
    /// The commands. They are absent until the event store is connected.
    pub commands: Arc<OnceLock<Arc<Commands>>>,
    /// Hashes e-mail addresses.
    pub reservations: EmailReservations,
}

impl Directory {
    /// The hash of an address, for limits that must not hold the address itself.
    pub fn key(&self, email: &Email) -> AccountKey {
        self.reservations.reserved(email).hash
    }

    /// The user who holds the address.
    ///
    /// # Errors
    /// The event store cannot be asked.
    pub async fn holder(&self, email: &Email) -> Result<Option<Uuid>, CommandError> {
        let reserved = self.reservations.reserved(email);
        let owner = self.commands()?.repository().reservation_owner(&reserved).await?;
        Ok(owner.and_then(|stream| stream.id().parse().ok()))
    }

    /// Who registered a user: an actor as events name it.
    ///
    /// # Errors
    /// The event store cannot be asked.
    pub async fn maker(&self, user_id: Uuid) -> Result<Option<String>, CommandError> {
        Ok(self.commands()?.repository().maker::<User>(user_id).await?)
    }

    /// Whether the user may sign in: registered, not deactivated and not erased.
    ///
    /// # Errors
    /// The event store cannot be asked.
    pub async fn may_sign_in(&self, user_id: Uuid) -> Result<bool, CommandError> {
        let repository = self.commands()?.repository();
        let epoch = repository.epoch().await?;
        let user = repository.load::<User>(epoch, user_id).await?.state;
        Ok(user.customer().is_ok() && user.email().is_some())
    }

    /// The e-mail address of a user; `None` if there is no such user any more.
    ///
    /// # Errors
    /// The event store cannot be asked.
    pub async fn email_of(&self, user_id: Uuid) -> Result<Option<Email>, CommandError> {
        let repository = self.commands()?.repository();
        let epoch = repository.epoch().await?;
        let user = repository.load::<User>(epoch, user_id).await?.state;
        Ok(user.email().filter(|_| user.customer().is_ok()).cloned())
    }

    /// Runs a command for a user who has proven the mailbox. A repeat has no further effect.
    ///
    /// # Errors
    /// The command was refused or failed.
    pub(super) async fn run<U: UseCase>(
        &self,
        use_case: U,
        user_id: Uuid,
        keyed: KeyedRequest,
    ) -> Result<(), IdentityError> {
        // The proof of the mailbox stands for a session, which does not exist yet.
        let principal = Principal::User { id: user_id };
        let caller = Caller { principal, grants: Grants::all(), credential: None, client: None };
        let permit = Permit::of::<U>(&Policy::default(), &caller)?;
        let context = Context { keyed: Some(keyed), ..Context::new(caller) };
        self.commands()?.run(use_case, permit, context).await?;
        Ok(())
    }

    /// The commands, once the event store is connected.
    pub(super) fn commands(&self) -> Result<&Arc<Commands>, CommandError> {
        self.commands.get().ok_or(CommandError::NotReady)
    }
}
