//! Grants: permissions with their reach.

use std::fmt;
use std::str::FromStr;

use crate::permission::Permission;

/// The suffix of a grant that reaches only the holder's own resources.
const OWN: &str = ".own";

/// Which resources a permission reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reach {
    /// The resources that belong to the caller.
    Own,
    /// All resources.
    Any,
}

/// The permissions that somebody holds, each with its reach.
///
/// The text form is a list of scopes with blanks between them (RFC 6749, section 3.3). A scope is a
/// permission, with `.own` if it reaches only the holder's own resources:
///
/// ```
/// use access::{Grants, Permission, Reach};
///
/// let grants: Grants = "orders:read.own products:read".parse()?;
/// assert_eq!(grants.reach(Permission::OrdersRead), Some(Reach::Own));
/// assert_eq!(grants.reach(Permission::ProductsRead), Some(Reach::Any));
/// assert_eq!(grants.reach(Permission::UsersRead), None);
/// # Ok::<(), access::InvalidGrant>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grants([Option<Reach>; PERMISSIONS]);

/// The number of permissions. The reach of each has a place, in their order, so that grants are
/// copied and compared without an allocation: that is done for every request.
const PERMISSIONS: usize = Permission::ALL.len();

/// The error for a text that is no list of scopes. It names the first scope that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a permission, with or without `.own`")]
pub struct InvalidGrant(pub String);

impl Default for Grants {
    /// Nothing.
    fn default() -> Self {
        Self([None; PERMISSIONS])
    }
}

impl Grants {
    /// Every permission on every resource.
    pub fn all() -> Self {
        Permission::ALL.iter().map(|permission| (*permission, Reach::Any)).collect()
    }

    /// The reach of a permission; `None` if it is not granted.
    pub fn reach(&self, permission: Permission) -> Option<Reach> {
        self.0.get(permission as usize).copied().flatten()
    }

    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// All grants in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Permission, Reach)> + '_ {
        Permission::ALL
            .iter()
            .zip(self.0)
            .filter_map(|(permission, held)| Some((*permission, held?)))
    }

    /// What either holds; the further reach counts.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        for (held, reach) in self.0.iter_mut().zip(other.0) {
            *held = reach.max(*held);
        }
        self
    }

    /// What both hold; the nearer reach counts. A credential with scopes of its own never allows
    /// more than its owner holds.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let both = |(permission, reach): (Permission, Reach)| {
            Some((permission, reach.min(other.reach(permission)?)))
        };
        self.iter().filter_map(both).collect()
    }

    /// Whether these hold all that `other` holds. Nobody may grant what their own do not cover.
    pub fn cover(&self, other: &Self) -> bool {
        other.iter().all(|(permission, reach)| self.reach(permission) >= Some(reach))
    }
}

impl FromIterator<(Permission, Reach)> for Grants {
    fn from_iter<I: IntoIterator<Item = (Permission, Reach)>>(grants: I) -> Self {
        let mut all = Self::default();
        for (permission, reach) in grants {
            if let Some(held) = all.0.get_mut(permission as usize) {
                *held = Some(reach).max(*held);
            }
        }
        all
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (permission, reach)) in self.iter().enumerate() {
            let own = if reach == Reach::Own { OWN } else { "" };
            write!(f, "{}{permission}{own}", if index > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Grants {
    type Err = InvalidGrant;

    fn from_str(text: &str) -> Result<Self, InvalidGrant> {
        let grant = |scope: &str| {
            let (name, reach) = match scope.strip_suffix(OWN) {
                Some(name) => (name, Reach::Own),
                None => (scope, Reach::Any),
            };
            let permission = name.parse().map_err(|_| InvalidGrant(scope.to_owned()))?;
            Ok((permission, reach))
        };
        text.split(' ').filter(|scope| !scope.is_empty()).map(grant).collect()
    }
}

#[cfg(test)]
mod tests;
