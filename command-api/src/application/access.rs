//! Asks the policy whether a caller may run a use case, and on which resources.
//!
//! The permission is checked before the input is read. If the owner of the resource is known by
//! then (a user in the path or in the input), ownership is checked before anything is loaded. If
//! not, the loaded aggregate says whose it is. A resource of somebody else is refused exactly as an
//! absent one.

use std::sync::atomic::{AtomicBool, Ordering};

use access::{Caller, Decision, Owner, Policy, Scope};
use domain::aggregate::Aggregate;
use domain::order::Order;
use domain::product::Product;
use domain::user::User;
use uuid::Uuid;

use super::error::CommandError;
use super::use_case::UseCase;

/// What a caller may change with one use case.
#[derive(Debug, Clone, Copy)]
pub struct Permit(Scope);

impl Permit {
    /// The permit of a caller for the use case `U`.
    ///
    /// # Errors
    /// [`CommandError::SignIn`] or [`CommandError::Forbidden`] if the caller has none.
    pub fn of<U: UseCase>(policy: &Policy, caller: &Caller) -> Result<Self, CommandError> {
        policy.scope(caller, U::PERMISSION).map(Self).map_err(|decision| match decision {
            Decision::SignIn => CommandError::SignIn,
            _ => CommandError::Forbidden(U::PERMISSION),
        })
    }

    /// Checks a use case whose owner is known before anything is loaded.
    ///
    /// # Errors
    /// [`UseCase::hidden`] if the resource is not the caller's. [`CommandError::Forbidden`] if it
    /// is to be created and would belong to nobody.
    pub fn check<U: UseCase>(self, use_case: &U) -> Result<(), CommandError> {
        match use_case.owner() {
            None => Ok(()),
            Some(owner) if self.covers(owner) => Ok(()),
            Some(Owner::Nobody) if U::CREATES => Err(CommandError::Forbidden(U::PERMISSION)),
            Some(_) => Err(use_case.hidden()),
        }
    }

    /// Whether the permit covers a resource of this owner.
    fn covers(self, owner: Owner) -> bool {
        match (self.0, owner) {
            (Scope::All, _) => true,
            (Scope::Of(user), Owner::User(other)) => user == other,
            (Scope::Of(_), Owner::Nobody) => false,
        }
    }
}

/// The permit of one attempt of a use case, and whether ownership was checked.
#[derive(Debug)]
pub(crate) struct Ownership {
    permit: Permit,
    is_checked: AtomicBool,
}

impl Ownership {
    /// Begins an attempt. An owner that is known before loading was checked already.
    pub(crate) fn new<U: UseCase>(permit: Permit, use_case: &U) -> Self {
        let is_checked = permit.0 == Scope::All || use_case.owner().is_some();
        Self { permit, is_checked: AtomicBool::new(is_checked) }
    }

    /// Whether the caller may change everybody's resources, and not only their own.
    pub(crate) fn is_for_all(&self) -> bool {
        self.permit.0 == Scope::All
    }

    /// Whether the caller may change the loaded aggregate.
    pub(crate) fn covers<A: Owned>(&self, aggregate: &A, id: Uuid) -> bool {
        if self.is_checked.load(Ordering::Relaxed) {
            return true;
        }
        let covers = self.permit.covers(aggregate.owner(id));
        self.is_checked.store(covers, Ordering::Relaxed);
        covers
    }

    /// Refuses a decision if nothing said whose the resource is.
    pub(crate) fn finish<U: UseCase>(&self, use_case: &U) -> Result<(), CommandError> {
        match (self.is_checked.load(Ordering::Relaxed), U::CREATES) {
            (true, _) => Ok(()),
            (false, true) => Err(CommandError::Forbidden(U::PERMISSION)),
            (false, false) => Err(use_case.hidden()),
        }
    }
}

/// An aggregate that says whose it is, once it is loaded.
pub trait Owned: Aggregate {
    /// The owner of the aggregate with this id. The default is nobody: only a caller who may
    /// change everybody's resources may change it.
    fn owner(&self, id: Uuid) -> Owner {
        let _ = id;
        Owner::Nobody
    }
}

impl Owned for User {
    fn owner(&self, id: Uuid) -> Owner {
        Owner::User(id)
    }
}

impl Owned for Order {
    fn owner(&self, _: Uuid) -> Owner {
        self.user_id().map_or(Owner::Nobody, Owner::User)
    }
}

impl Owned for Product {}
