//! The policy: may this caller do that? Every API asks it.
//!
//! A caller that holds a permission for any resource may act. One that holds it for their own
//! resources may act on those; others do not exist for them ([`Decision::Hidden`]), so that an
//! answer does not tell what is there. Lists are narrowed to the same resources ([`Scope`]).

use uuid::Uuid;

use crate::caller::Caller;
use crate::grant::{Grants, Reach};
use crate::permission::Permission;
use crate::principal::Principal;

/// Whose resource it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// It belongs to this user.
    User(Uuid),
    /// It belongs to nobody, such as a product, or does not exist.
    Nobody,
}

/// The answer to one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The caller may.
    Allowed,
    /// The caller must sign in first (HTTP 401).
    SignIn,
    /// The caller lacks the permission (HTTP 403).
    Forbidden(Permission),
    /// The resource does not exist for the caller (HTTP 404).
    Hidden,
}

/// Which rows a caller sees in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All rows.
    All,
    /// Only the rows that belong to this user.
    Of(Uuid),
}

impl Scope {
    /// The user whose rows are seen; `None` if all rows are.
    pub const fn owner(self) -> Option<Uuid> {
        match self {
            Self::All => None,
            Self::Of(user) => Some(user),
        }
    }
}

/// The rules of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What everybody may do, also without signing in.
    public: Grants,
}

impl Default for Policy {
    /// Everybody may read products.
    fn default() -> Self {
        Self::with_public([(Permission::ProductsRead, Reach::Any)].into_iter().collect())
    }
}

impl Policy {
    /// A policy in which everybody holds `public`. Nobody owns anything without signing in, so
    /// grants for own resources allow nothing there.
    pub const fn with_public(public: Grants) -> Self {
        Self { public }
    }

    /// Decides whether the caller may act on a resource of this owner.
    pub fn decide(&self, caller: &Caller, permission: Permission, owner: Owner) -> Decision {
        match (self.scope(caller, permission), owner) {
            (Ok(Scope::All), _) => Decision::Allowed,
            (Ok(Scope::Of(user)), Owner::User(other)) if user == other => Decision::Allowed,
            (Ok(Scope::Of(_)), _) => Decision::Hidden,
            (Err(refused), _) => refused,
        }
    }

    /// Decides which rows of a list the caller sees.
    ///
    /// # Errors
    /// [`Decision::SignIn`] or [`Decision::Forbidden`] if none.
    pub fn scope(&self, caller: &Caller, permission: Permission) -> Result<Scope, Decision> {
        let held = caller.grants.reach(permission).max(self.public.reach(permission));
        match (held, &caller.principal) {
            (Some(Reach::Any), _) => Ok(Scope::All),
            (Some(Reach::Own), Principal::User { id }) => Ok(Scope::Of(*id)),
            (_, Principal::Anonymous) => Err(Decision::SignIn),
            _ => Err(Decision::Forbidden(permission)),
        }
    }
}

#[cfg(test)]
mod tests;
