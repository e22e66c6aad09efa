//! Signed values for clients: bytes with an HMAC, as base64url. Clients can read them, so they
//! contain no secrets. Without the key, nobody can make or change one.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::Sha256;

/// The minimum length of a key, in bytes.
pub const MIN_KEY_BYTES: usize = 32;
/// The maximum length of a signed value; a longer one is refused unread.
pub const MAX_SIGNED_CHARS: usize = 2048;
/// The length of the truncated HMAC-SHA256, in bytes.
const MAC_BYTES: usize = 16;

/// A key that signs values.
#[derive(Debug, Clone)]
pub struct SigningKey(SecretSlice<u8>);

/// Why a key was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not base64.
    #[error("the key is not base64")]
    NotBase64,
    /// The key is too short, and so too easy to guess.
    #[error("the key has fewer than {MIN_KEY_BYTES} bytes")]
    TooShort,
}

/// Why a signed value was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The text does not have the form of a signed value.
    #[error("not a signed value")]
    Malformed,
    /// The value was made or changed without the key, or signed for another purpose.
    #[error("the signature does not fit")]
    Forged,
}

impl SigningKey {
    /// Decodes a key from base64 (any alphabet, padded or not).
    ///
    /// # Errors
    /// [`KeyError`]: not base64, or shorter than [`MIN_KEY_BYTES`].
    pub fn from_secret(secret: &SecretString) -> Result<Self, KeyError> {
        let text = secret.expose_secret().trim();
        let bytes = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD]
            .iter()
            .find_map(|engine| engine.decode(text).ok())
            .ok_or(KeyError::NotBase64)?;
        if bytes.len() < MIN_KEY_BYTES {
            Err(KeyError::TooShort)
        } else {
            Ok(Self(SecretSlice::from(bytes)))
        }
    }

    /// Signs `payload` for one `purpose`. It verifies for the same purpose only.
    pub fn sign(&self, purpose: &str, payload: &[u8]) -> String {
        let mut signed = payload.to_vec();
        if let Some(mac) = self.mac(purpose, payload) {
            signed.extend_from_slice(&mac.finalize().into_bytes()[..MAC_BYTES]);
        }
        URL_SAFE_NO_PAD.encode(signed)
    }

    /// Verifies a signed value and returns its payload.
    ///
    /// # Errors
    /// [`SignatureError`]: not a signed value, or not signed with this key for this purpose.
    pub fn verify(&self, purpose: &str, signed: &str) -> Result<Vec<u8>, SignatureError> {
        if signed.len() > MAX_SIGNED_CHARS {
            return Err(SignatureError::Malformed);
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(signed).map_err(|_| SignatureError::Malformed)?;
        let end = bytes.len().checked_sub(MAC_BYTES).ok_or(SignatureError::Malformed)?;
        let mac = self.mac(purpose, &bytes[..end]).ok_or(SignatureError::Forged)?;
        mac.verify_truncated_left(&bytes[end..]).map_err(|_| SignatureError::Forged)?;
        bytes.truncate(end);
        Ok(bytes)
    }

    /// A number that nobody without the key can guess, the same for each `purpose`.
    pub fn seed(&self, purpose: &str) -> u64 {
        let mac = self.mac(purpose, &[]).map(|mac| mac.finalize().into_bytes());
        let bytes = mac.as_ref().and_then(|mac| mac.first_chunk::<8>());
        bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// Always `Some`, because HMAC takes keys of any length. A value without a MAC would not verify
    /// anyway.
    fn mac(&self, purpose: &str, payload: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(self.0.expose_secret()).ok()?;
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(payload);
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_secret(&STANDARD.encode([byte; 32]).into()).unwrap()
    }

    #[test]
    fn what_was_signed_verifies_with_the_same_key_and_purpose_only() {
        let signed = key(1).sign("cursor", b"hello");
        assert_eq!(key(1).verify("cursor", &signed).unwrap(), b"hello");
        assert_eq!(key(2).verify("cursor", &signed), Err(SignatureError::Forged));
        assert_eq!(key(1).verify("token", &signed), Err(SignatureError::Forged));
    }

    #[test]
    fn any_changed_character_breaks_the_signature() {
        let signed = key(1).sign("cursor", b"hello");
        for at in 0..signed.len() {
            let mut changed = signed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(key(1).verify("cursor", &changed).is_err(), "{changed}");
        }
        for nonsense in ["", "AAAA", "%%%", &"A".repeat(MAX_SIGNED_CHARS + 1)] {
            assert!(key(1).verify("cursor", nonsense).is_err());
        }
    }

    #[test]
    fn a_short_or_garbled_key_is_refused() {
        assert_eq!(
            SigningKey::from_secret(&STANDARD.encode([1; 31]).into()).unwrap_err(),
            KeyError::TooShort
        );
        assert_eq!(
            SigningKey::from_secret(&"not base64!".into()).unwrap_err(),
            KeyError::NotBase64
        );
    }
}
