//! The problems for callers who may not do what they ask for (RFC 6750, section 3).

use access::{Decision, Permission};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use service_kit::Problem;

/// The value of `Retry-After` while no key is known, in seconds.
const RETRY_SOON: u64 = 1;

/// 401: the caller must sign in.
pub fn sign_in() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "sign-in", "Sign in first")
        .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// 401: the access token is not valid, or no longer.
pub fn invalid_token() -> Problem {
    let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
    Problem::new(StatusCode::UNAUTHORIZED, "invalid-token", "The access token is not valid")
        .header(WWW_AUTHENTICATE, challenge)
}

/// 403: the caller lacks this permission.
pub fn forbidden(permission: Permission) -> Problem {
    forbidden_without(&[permission])
}

/// 403: the caller has none of these permissions, and needs one.
pub fn forbidden_without(permissions: &[Permission]) -> Problem {
    let names: Vec<_> = permissions.iter().map(Permission::to_string).collect();
    let problem =
        Problem::new(StatusCode::FORBIDDEN, "insufficient-scope", "You may not do this here")
            .detail(format!("it takes the permission {}", names.join(" or ")));
    let scope = names.join(" ");
    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
    match HeaderValue::try_from(challenge) {
        Ok(challenge) => problem.header(WWW_AUTHENTICATE, challenge),
        Err(_) => problem,
    }
}

/// The problem for a decision of the policy other than [`Decision::Allowed`].
pub fn refused(decision: Decision) -> Problem {
    match decision {
        Decision::SignIn => sign_in(),
        Decision::Forbidden(permission) => forbidden(permission),
        Decision::Hidden => Problem::not_found(),
        Decision::Allowed => {
            tracing::error!("an allowed request was about to be refused");
            Problem::internal()
        }
    }
}

/// 503: this process knows no key yet, so it cannot tell a valid token from an invalid one.
pub fn no_keys() -> Problem {
    Problem::unavailable(
        "access-token-keys/unavailable",
        "The keys of access tokens are not known yet",
        RETRY_SOON,
    )
}
