//! What a user may do now: the union of the grants of their roles.

use access::Grants;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::auth::issuer::Standing;

/// The role that everybody with an account holds.
pub const EVERYBODY: &str = "user";

/// What can be revoked before it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// The tokens of one session.
    Session(Uuid),
    /// All tokens of a user.
    User(Uuid),
    /// The tokens of one API key.
    Key(Uuid),
}

impl Revoked {
    /// The hash under which it is in the list of revocations.
    pub fn hash(self) -> [u8; 32] {
        let (kind, id) = match self {
            Self::Session(id) => ("session", id),
            Self::User(id) => ("user", id),
            Self::Key(id) => ("key", id),
        };
        Sha256::digest(format!("{kind}:{id}")).into()
    }
}

/// Reads what a user may do now with a credential.
///
/// # Errors
/// The database failed.
pub async fn standing(
    connection: &mut PgConnection,
    user_id: Uuid,
    credential: Revoked,
) -> Result<Standing, sqlx::Error> {
    let roles = sqlx::query!(
        "SELECT name, grants FROM auth.roles
         WHERE name = $2 OR name IN (SELECT role FROM auth.memberships WHERE user_id = $1)",
        user_id,
        EVERYBODY
    );
    let roles = roles.fetch_all(&mut *connection).await?;
    let hashes = [Revoked::User(user_id).hash().to_vec(), credential.hash().to_vec()];
    let revoked = sqlx::query_scalar!(
        "SELECT max(before) FROM auth.revocations WHERE hash = ANY ($1)",
        &hashes[..]
    );
    let revoked_before = revoked.fetch_one(&mut *connection).await?;
    let grants = roles.iter().fold(Grants::default(), |all, role| all.or(&known(&role.grants)));
    let roles = roles.into_iter().map(|role| role.name).collect();
    Ok(Standing { roles, grants, revoked_before })
}

/// The grants of a role, without scopes that this program does not know: a newer one added them,
/// and nothing here asks for them.
pub(in crate::auth) fn known(text: &str) -> Grants {
    let scopes = text.split(' ').filter_map(|scope| scope.parse::<Grants>().ok());
    scopes.fold(Grants::default(), |all, one| all.or(&one))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_scope_that_is_not_known_is_left_out() {
        let expected: Grants = "orders:read.own products:read".parse().unwrap();
        assert_eq!(known("orders:read.own moons:eat products:read"), expected);
        assert_eq!(known(""), Grants::default());
    }

    #[test]
    fn each_kind_of_revocation_has_its_own_hash() {
        let id = Uuid::from_u128(7);
        let text = "session:00000000-0000-0000-0000-000000000007";
        assert_eq!(Revoked::Session(id).hash()[..], Sha256::digest(text)[..]);
        assert_ne!(Revoked::Session(id).hash(), Revoked::User(id).hash());
        assert_ne!(Revoked::Key(id).hash(), Revoked::User(id).hash());
    }
}
