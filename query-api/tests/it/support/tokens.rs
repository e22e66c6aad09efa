//! Access tokens for tests, signed with a key that only tests use.

use access::{Grants, Role};
use identity::config::{AUDIENCE, ISSUER};
use identity::{Holder, Issuer, MAX_LIFETIME, SigningKeys};
use uuid::Uuid;

const KEYS: &str = "dGVzdHMtc2lnbi10aGVpci10b2tlbnMtd2l0aC10aGk=";
/// The administrator who sends a test's requests, unless the test names somebody else.
const ADMIN: Uuid = Uuid::from_u128(0xad);

pub(crate) fn issuer() -> Issuer {
    Issuer::new(SigningKeys::parse(&KEYS.into()).unwrap(), ISSUER, AUDIENCE)
}

/// A token of this user with these permissions.
pub(crate) fn token(user: Uuid, grants: Grants) -> String {
    issued(user, grants, identity::now())
}

fn issued(user: Uuid, grants: Grants, at: i64) -> String {
    let (client, roles) = ("tests".to_owned(), Vec::new());
    let holder = Holder { user, credential: Uuid::from_u128(0x5e), client, grants, roles };
    issuer().issue(&holder, identity::Moment::of_seconds(at), MAX_LIFETIME).unwrap()
}

/// A token of this user with these permissions that expired an hour ago.
pub(crate) fn expired(user: Uuid, grants: Grants) -> String {
    issued(user, grants, identity::now() - 3_600)
}

/// A token of this user with these permissions that counts for so many seconds from now on, 30 of
/// them because clocks differ.
pub(crate) fn expiring(user: Uuid, grants: Grants, seconds: i64) -> String {
    let lifetime = i64::try_from(MAX_LIFETIME.as_secs()).unwrap();
    issued(user, grants, identity::now() - lifetime - 30 + seconds)
}

/// A token of the administrator.
pub(crate) fn admin() -> String {
    token(ADMIN, Grants::all())
}

/// A token of a user with this role.
pub(crate) fn with_role(user: Uuid, name: &str) -> String {
    let role = Role::seed().into_iter().find(|role| role.name.as_str() == name).unwrap();
    token(user, role.grants)
}

/// The public keys, as the command API publishes them.
pub(crate) fn published() -> Vec<u8> {
    serde_json::to_vec(issuer().keys().published()).unwrap()
}
