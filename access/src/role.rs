//! Roles: names for grants. They are data: a deployment may define its own.

use std::fmt;
use std::str::FromStr;

use crate::grant::{Grants, Reach};
use crate::name::{self, is_name};
use crate::permission::Permission;

/// The maximum length of a [`RoleName`], in bytes.
pub const MAX_ROLE_LEN: usize = name::MAX_LEN;

/// The name of a role: 1 to [`MAX_ROLE_LEN`] lower-case ASCII letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleName(String);

/// The error for a text that is not a [`RoleName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name of a role has 1 to {MAX_ROLE_LEN} lower-case letters, digits and hyphens")]
pub struct InvalidRoleName;

/// A name for grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The name.
    pub name: RoleName,
    /// What its holders may do.
    pub grants: Grants,
}

impl Role {
    /// The name of the role that may do everything. Somebody always holds it. A migration gives it
    /// the permissions that are new.
    pub const ADMIN: &str = "admin";
    /// The name of the role that everybody holds.
    pub const EVERYBODY: &str = "user";

    /// The roles of a new deployment: `admin`, `support` and `user`.
    ///
    /// - `admin` may do everything.
    /// - `support` sees users, orders and figures, changes orders, and records what happened to
    ///   them.
    /// - `user` is every signed-up person: they read products, and reach what is theirs.
    pub fn seed() -> [Self; 3] {
        use Permission::{
            OrdersFulfil, OrdersRead, OrdersWrite, ProductsRead, SalesRead, UsersDelete, UsersRead,
            UsersWrite,
        };
        let any = |permissions: &[Permission]| {
            permissions.iter().map(|permission| (*permission, Reach::Any)).collect::<Grants>()
        };
        let own = [UsersRead, UsersWrite, UsersDelete, OrdersRead, OrdersWrite];
        let own: Grants = own.into_iter().map(|permission| (permission, Reach::Own)).collect();
        let support =
            any(&[UsersRead, OrdersRead, OrdersWrite, OrdersFulfil, ProductsRead, SalesRead]);
        let everybody = own.or(&any(&[ProductsRead]));
        [(Self::ADMIN, Grants::all()), ("support", support), (Self::EVERYBODY, everybody)]
            .map(|(name, grants)| Self { name: RoleName(name.to_owned()), grants })
    }
}

impl RoleName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RoleName {
    type Err = InvalidRoleName;

    fn from_str(text: &str) -> Result<Self, InvalidRoleName> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(InvalidRoleName) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_roles_of_a_new_deployment_have_names_and_only_the_administrator_holds_all() {
        for role in Role::seed() {
            assert_eq!(role.name.as_str().parse::<RoleName>().unwrap(), role.name);
            let is_admin = role.name.as_str() == "admin";
            assert_eq!(role.grants.cover(&Grants::all()), is_admin, "{}", role.name);
            assert_eq!(role.grants.to_string().parse::<Grants>().unwrap(), role.grants);
        }
    }

    #[test]
    fn each_role_holds_these_grants_and_no_others() {
        let held = Role::seed().map(|role| (role.name.to_string(), role.grants.to_string()));
        let expected = [
            (
                "admin",
                "users:read users:write users:delete users:classify users:erase orders:read \
                 orders:write \
                 orders:fulfil products:read products:write sales:read import:write \
                 projections:operate sagas:operate webhooks:operate webhooks:personal \
                 log:operate audit:read access:manage",
            ),
            (
                "support",
                "users:read orders:read orders:write orders:fulfil products:read sales:read",
            ),
            (
                "user",
                "users:read.own users:write.own users:delete.own orders:read.own \
                 orders:write.own products:read",
            ),
        ];
        assert_eq!(held, expected.map(|(name, grants)| (name.to_owned(), grants.to_owned())));
    }

    #[test]
    fn a_person_reaches_only_what_is_theirs_except_products() {
        let [.., user] = Role::seed();
        for (permission, reach) in user.grants.iter() {
            let is_public = permission == Permission::ProductsRead;
            assert_eq!(reach == Reach::Any, is_public, "{permission}");
        }
    }

    #[test]
    fn any_other_text_is_no_name() {
        let long = "n".repeat(MAX_ROLE_LEN + 1);
        for text in ["", "Admin", "a b", "ä", "a:b", &long] {
            assert_eq!(text.parse::<RoleName>(), Err(InvalidRoleName), "{text:?}");
        }
    }
}
