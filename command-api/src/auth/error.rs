//! Why identity refuses or fails.

use std::time::Duration;

use access::Permission;
use identity::NotSigned;

use super::password::PasswordError;
use crate::application::CommandError;

/// Why a request to identity was refused or failed. None of them holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is no such account, or the password is another one.
    #[error("the e-mail address or the password is wrong")]
    WrongCredentials,
    /// The refresh token is none, or its session has ended.
    #[error("the refresh token is not valid")]
    InvalidToken,
    /// There were too many attempts.
    #[error("there were too many attempts")]
    Throttled {
        /// The time after which another attempt is allowed.
        wait: Duration,
    },
    /// The caller must sign in.
    #[error("the caller has no session")]
    SignIn,
    /// The caller acts with an API key, and this takes a session.
    #[error("this takes a session, not an API key")]
    SessionNeeded,
    /// Somebody would get more than the caller holds.
    #[error("nobody gives more than they hold")]
    BeyondOwn,
    /// The user has as many API keys as one may have.
    #[error("the user has too many API keys")]
    TooManyKeys,
    /// The caller lacks a permission.
    #[error("the caller lacks the permission {0}")]
    Forbidden(Permission),
    /// Nobody would be an administrator any more.
    #[error("the last administrator stays one")]
    LastAdministrator,
    /// Too many mails wait to be sent.
    #[error("too many mails wait to be sent")]
    TooManyMails,
    /// There is no such thing, or it belongs to somebody else.
    #[error("there is no such session, key or role")]
    Unknown,
    /// A password could not be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The event store refused, or could not be asked.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The database of credentials failed.
    #[error("the database of credentials failed")]
    Database(#[from] sqlx::Error),
    /// An access token could not be signed.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
}
