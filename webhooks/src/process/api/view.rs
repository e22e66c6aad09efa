//! The answers that are more than a row of the tables. The command line reads the same types.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A subscription with its new secret. This is the only answer that has one, and it has no
/// `Debug`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) id: Uuid,
    pub(crate) secret: String,
}

impl Made {
    pub(crate) fn new(id: Uuid, secret: &SecretString) -> Self {
        Self { id, secret: secret.expose_secret().to_owned() }
    }
}

/// A replay that was begun or ended.
#[derive(Serialize, Deserialize)]
pub(crate) struct Replayed {
    pub(crate) id: Uuid,
}
