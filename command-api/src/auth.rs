//! Who may sign in: passwords, sessions and API keys, in the schema `auth`. Nothing of it is in
//! events.
//!
//! A log-in begins a session and gives two tokens. The access token is short-lived, and both APIs
//! accept it. The refresh token is exchanged here for the next pair ([`session::rotation`]).

use std::sync::Arc;

use identity::{Issuer, Revocations};
use service_kit::clock::SharedClock;
use tokio::sync::Notify;

pub mod account;
pub mod administration;
mod administrators;
pub mod api_key;
pub mod appointment;
pub mod database;
pub mod departure;
pub mod directory;
pub mod error;
pub mod issuer;
pub mod log_in;
pub mod mail;
pub mod password;
pub mod proof;
pub mod revocations;
mod rounds;
pub mod session;
pub mod throttle;
pub mod token;
pub mod upkeep;
pub mod user_access;

pub use database::Database;
pub use directory::Directory;
pub use error::IdentityError;
pub use log_in::{Credentials, Visitor};
pub use session::{Limits, Tokens};
pub use token::Pepper;

use password::Passwords;
use throttle::{LogInThrottle, Throttle};

/// Identity: log-ins, sessions and what belongs to them. Clones share it.
#[derive(Clone)]
pub struct Identity(Arc<Shared>);

struct Shared {
    parts: Parts,
    throttle: LogInThrottle,
    departed_users: Notify,
    made_keys: Throttle,
}

/// What identity is made of.
pub struct Parts {
    /// The database of the credentials.
    pub database: Database,
    /// The users in the event store.
    pub directory: Directory,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// The secret of refresh tokens.
    pub pepper: Pepper,
    /// Makes access tokens.
    pub issuer: Arc<Issuer>,
    /// What is revoked: what ends here is refused at once.
    pub revocations: Revocations,
    /// How long sessions live.
    pub limits: Limits,
    /// The source of the current time.
    pub clock: SharedClock,
}

impl Identity {
    /// Identity from its parts.
    pub fn new(parts: Parts) -> Self {
        let (burst, every) = api_key::KEYS_MADE;
        let made_keys = Throttle::new(burst, every);
        let (throttle, departed_users) = (LogInThrottle::default(), Notify::new());
        Self(Arc::new(Shared { parts, throttle, departed_users, made_keys }))
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0.parts
    }

    /// Wakes the task that follows the log.
    fn departed_users(&self) -> &Notify {
        &self.0.departed_users
    }

    fn throttle(&self) -> &LogInThrottle {
        &self.0.throttle
    }

    fn made_keys(&self) -> &Throttle {
        &self.0.made_keys
    }
}
