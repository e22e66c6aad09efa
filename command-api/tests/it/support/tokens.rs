//! Access tokens for tests, signed with a key that only tests use.

use access::{Grants, Role};
use axum::body::Body;
use axum::http::Request;
use axum::http::header::{AUTHORIZATION, HeaderValue};
use identity::config::{AUDIENCE, ISSUER};
use identity::{Holder, Issuer, MAX_LIFETIME, SigningKeys};
use uuid::Uuid;

/// The keys of access tokens in tests.
pub(crate) const KEYS: &str = "dGVzdHMtc2lnbi10aGVpci10b2tlbnMtd2l0aC10aGk=";
/// The administrator who sends a test's requests, unless the test names somebody else.
pub(crate) const ADMIN: Uuid = Uuid::from_u128(0xad);
/// The session of every token.
pub(crate) const SESSION: Uuid = Uuid::from_u128(0x5e);
/// The client of every token.
pub(crate) const CLIENT: &str = "tests";

pub(crate) fn issuer() -> Issuer {
    Issuer::new(SigningKeys::parse(&KEYS.into()).unwrap(), ISSUER, AUDIENCE)
}

pub(crate) fn role(name: &str) -> Role {
    Role::seed().into_iter().find(|role| role.name.as_str() == name).unwrap()
}

/// A token of this user with these permissions.
pub(crate) fn token(user: Uuid, grants: Grants) -> String {
    issued(SESSION, user, grants, identity::now())
}

/// A token of this user from a session of its own.
pub(crate) fn of_session(session: Uuid, user: Uuid, grants: Grants) -> String {
    issued(session, user, grants, identity::now())
}

fn issued(credential: Uuid, user: Uuid, grants: Grants, at: i64) -> String {
    let holder = Holder { user, credential, client: CLIENT.to_owned(), grants, roles: Vec::new() };
    issuer().issue(&holder, identity::Moment::of_seconds(at), MAX_LIFETIME).unwrap()
}

/// A token of this user with these permissions that expired an hour ago.
pub(crate) fn expired(user: Uuid, grants: Grants) -> String {
    issued(SESSION, user, grants, identity::now() - 3_600)
}

/// A token of the administrator.
pub(crate) fn admin() -> String {
    token(ADMIN, Grants::all())
}

/// Says who sends a request. Without it, the administrator does.
pub(crate) trait By: Sized {
    /// Sends the request with this token.
    fn with_token(self, token: &str) -> Self;

    /// Sends the request without a token.
    fn by_nobody(self) -> Self;

    /// Sends the request as a user with the role `user`.
    fn by(self, user: &str) -> Self {
        self.with_token(&token(user.parse().unwrap(), role("user").grants))
    }

    /// Sends the request as a user with these permissions.
    fn by_holder_of(self, user: &str, grants: &str) -> Self {
        self.with_token(&token(user.parse().unwrap(), grants.parse().unwrap()))
    }
}

/// Marks a request without a token.
#[derive(Clone, Copy)]
struct Nobody;

impl By for Request<Body> {
    fn with_token(mut self, token: &str) -> Self {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        self.headers_mut().insert(AUTHORIZATION, value);
        self
    }

    fn by_nobody(mut self) -> Self {
        self.extensions_mut().insert(Nobody);
        self
    }
}

/// The request with the administrator's token, if the test says nothing else.
pub(super) fn signed(request: Request<Body>) -> Request<Body> {
    let is_said = request.headers().contains_key(AUTHORIZATION)
        || request.extensions().get::<Nobody>().is_some();
    if is_said { request } else { request.with_token(&admin()) }
}
