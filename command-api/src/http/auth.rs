//! The problem for each reason why identity refuses or fails.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{HeaderValue, WWW_AUTHENTICATE};
use postgres_kit::sqlstate::{Meaning, meaning};
use service_kit::Problem;
use service_kit::shed::{LINE_EVERY, LogLimit};

use crate::auth::IdentityError;
use crate::auth::password::PasswordError;

/// The value of `Retry-After` after the database was away, in seconds.
const RETRY_LATER: u64 = 2;
/// The value of `Retry-After` after an overload, in seconds.
const RETRY_SOON: u64 = 1;
/// The maximum number of log lines for failures with one code in a window of [`LINE_EVERY`].
const MAX_LINES: u32 = 10;

static LINES: LogLimit = LogLimit::new(LINE_EVERY);

impl From<IdentityError> for Problem {
    fn from(error: IdentityError) -> Self {
        match error {
            // It logs what failed.
            IdentityError::Command(error) => error.into(),
            error => of(&error),
        }
    }
}

fn of(error: &IdentityError) -> Problem {
    let problem = match error {
        IdentityError::WrongCredentials => {
            unauthorized("auth/wrong-credentials", "The e-mail address or the password is wrong")
        }
        IdentityError::InvalidToken => {
            unauthorized("auth/invalid-token", "The token is not valid, or no longer")
        }
        IdentityError::Throttled { wait } => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "auth/too-many-attempts",
            "There were too many attempts; try again later",
        )
        .retry_after(whole_seconds(*wait)),
        IdentityError::SignIn => unauthorized("sign-in", "Sign in first"),
        IdentityError::SessionNeeded => Problem::new(
            StatusCode::FORBIDDEN,
            "auth/session-needed",
            "This takes a session, not an API key",
        ),
        IdentityError::BeyondOwn => Problem::new(
            StatusCode::FORBIDDEN,
            "auth/beyond-own",
            "Nobody gives more than they hold",
        ),
        IdentityError::TooManyKeys => {
            Problem::conflict("auth/too-many-keys", "You have too many API keys; revoke one first")
        }
        IdentityError::Unknown => Problem::not_found(),
        IdentityError::Forbidden(permission) => {
            Problem::new(StatusCode::FORBIDDEN, "insufficient-scope", "You may not do this here")
                .detail(format!("it takes the permission {permission}"))
        }
        IdentityError::LastAdministrator => last_administrator(),
        IdentityError::TooManyMails => {
            Problem::shed("overloaded", "Too many mails wait to be sent", RETRY_LATER)
        }
        IdentityError::Password(PasswordError::Busy) => {
            Problem::shed("overloaded", "Too many passwords are being checked", RETRY_SOON)
        }
        IdentityError::Database(error) if is_away(error) => unavailable(),
        IdentityError::Database(_) => Problem::internal(),
        IdentityError::Password(_) | IdentityError::NotSigned(_) | IdentityError::Command(_) => {
            Problem::internal()
        }
    };
    if problem.status().is_server_error()
        && !problem.is_shed()
        && let Some(unlogged) = LINES.admit(problem.code(), MAX_LINES)
    {
        let error: &(dyn std::error::Error + 'static) = error;
        tracing::error!(error, code = problem.code(), unlogged, "identity failed");
    }
    problem
}

/// 503: the database of credentials cannot be asked.
pub(super) fn unavailable() -> Problem {
    Problem::unavailable(
        "auth/unavailable",
        "The database of credentials cannot be used now",
        RETRY_LATER,
    )
}

/// 409: nobody could administrate any more.
pub(super) fn last_administrator() -> Problem {
    Problem::conflict("auth/last-administrator", "The last administrator stays one")
}

/// Whether the database cannot be used for now: it does not answer, or it refuses this program. The
/// latter is up to an operator, and nothing is wrong with the request.
fn is_away(error: &sqlx::Error) -> bool {
    match meaning(error) {
        Meaning::Busy | Meaning::Lost => true,
        Meaning::Unusable => matches!(error, sqlx::Error::Database(_)),
        Meaning::Data => false,
    }
}

/// 401: the credentials in the request are wrong.
fn unauthorized(code: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, title)
        .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// Rounded up, at least one.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}
