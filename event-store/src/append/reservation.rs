//! Uniqueness reservations. They enforce rules over a set (one user per e-mail address) without a
//! race and without personal data in the store.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

use crate::stream::StreamName;

/// The secret key that hashes reserved values.
pub struct ReservationKey(SecretSlice<u8>);

impl ReservationKey {
    /// Makes a key from a secret of at least 32 random bytes.
    pub fn new(secret: Vec<u8>) -> Self {
        Self(secret.into())
    }

    /// Hashes `value` within `scope` (for example `user.email`).
    pub fn hash(&self, scope: &str, value: &str) -> ReservedValue {
        // HMAC accepts a key of any length (RFC 2104), so this cannot fail. An empty hash would be
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

/// A reserved value, hashed with a [`ReservationKey`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReservedValue {
    /// The kind of value, such as `user.email`.
    pub scope: Box<str>,
    /// The keyed hash of scope and value.
    pub hash: [u8; 32],
}

/// A change to the set of reserved values, made together with the append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReservationChange {
    /// `owner` takes the value. The append is refused if another stream holds it. Nothing changes
    /// if `owner` already holds it.
    Take {
        /// The reserved value.
        reservation: ReservedValue,
        /// The stream that takes the value.
        owner: StreamName,
    },
    /// `owner` releases the value. Nothing changes if it does not hold the value.
    Release {
        /// The reserved value.
        reservation: ReservedValue,
        /// The stream that releases the value.
        owner: StreamName,
    },
}
