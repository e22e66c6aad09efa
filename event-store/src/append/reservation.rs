//! Unique reservations: set-wide rules (one user per e-mail address) without a race and without a
//! personal value in the store.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

use crate::stream::StreamName;

/// The secret under which reserved values are hashed.
pub struct ReservationKey(SecretSlice<u8>);

impl ReservationKey {
    /// Takes the secret; at least 32 bytes of randomness.
    pub fn new(secret: Vec<u8>) -> Self {
        Self(secret.into())
    }

    /// Hashes `value` in `scope` (`user.email`).
    pub fn hash(&self, scope: &str, value: &str) -> ReservedValue {
        // HMAC takes a key of any length (RFC 2104), so this cannot fail; an empty hash would be
        // worse than a panic.
        #[expect(clippy::expect_used, reason = "HMAC accepts every key length")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("any key length");
        mac.update(scope.as_bytes());
        mac.update(&[0]);
        mac.update(value.as_bytes());
        ReservedValue { scope: scope.into(), hash: mac.finalize().into_bytes().into() }
    }
}

impl fmt::Debug for ReservationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReservationKey(..)")
    }
}

/// A reserved value, hashed under a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReservedValue {
    /// What kind of value.
    pub scope: Box<str>,
    /// Keyed hash of scope and value.
    pub hash: [u8; 32],
}

/// A change to the set of reserved values, made with the append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReservationChange {
    /// `owner` takes the value: refused when another stream holds it, nothing to do when `owner`
    /// itself does.
    Take {
        /// The reserved value.
        reservation: ReservedValue,
        /// Who holds it from now on.
        owner: StreamName,
    },
    /// `owner` gives the value back; nothing to do when it does not hold it.
    Release {
        /// The reserved value.
        reservation: ReservedValue,
        /// Who held it.
        owner: StreamName,
    },
}
