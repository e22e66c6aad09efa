//! What a user may do now: the union of the grants of their roles.

use access::{Grants, Role};
use identity::{Moment, Subject};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::auth::issuer::Standing;

/// Reads what a user may do now. A transaction that issues a token on it holds the account.
///
/// # Errors
/// The database failed.
pub async fn standing(
    connection: &mut PgConnection,
    user_id: Uuid,
) -> Result<Standing, sqlx::Error> {
    let roles = sqlx::query!(
        "SELECT name, grants FROM auth.roles
         WHERE name = $2 OR name IN (SELECT role FROM auth.memberships WHERE user_id = $1)",
        user_id,
        Role::EVERYBODY
    );
    let roles = roles.fetch_all(&mut *connection).await?;
    let revoked = sqlx::query_scalar!(
        "SELECT before FROM auth.revocations WHERE hash = $1",
        &Subject::User(user_id).hash()[..]
    );
    let revoked_before = revoked.fetch_optional(&mut *connection).await?.map(Moment::of_micros);
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
}
