//! Who sends a request: the access token in `Authorization`, verified here.

use access::Caller;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use service_kit::Problem;

use super::Api;
use crate::auth::IdentityError;

/// The authentication scheme (RFC 6750).
const SCHEME: &str = "Bearer ";

/// The caller of a request. Without a token it is anonymous; with a bad one, the answer is 401.
pub(super) struct RequestCaller(pub(super) Caller);

impl FromRequestParts<Api> for RequestCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let mut lines = parts.headers.get_all(AUTHORIZATION).iter();
        let (first, second) = (lines.next(), lines.next());
        let Some(value) = first else { return Ok(Self(Caller::anonymous())) };
        let token = value.to_str().ok().filter(|_| second.is_none());
        let token = token.and_then(|value| value.strip_prefix(SCHEME));
        let identity = api.identity.as_ref().ok_or_else(Problem::not_found)?;
        let caller = token.and_then(|token| identity.caller(token));
        caller.map(Self).ok_or_else(|| IdentityError::InvalidToken.into())
    }
}
