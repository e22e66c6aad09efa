//! The envelope of one encrypted value: AES-256-GCM-SIV (RFC 8452), versioned and bound to its
//! place.
//!
//! The format is `base64url(version ‖ nonce ‖ ciphertext and tag)`. The nonce is 12 random bytes,
//! with which one key may encrypt at least 2^32 values (RFC 8452, section 9). A repeated nonce
//! would only reveal whether two values of one place are equal. The value's JSON is padded with
//! blanks to a multiple of 32 bytes, to hide most of its length.

use aes_gcm_siv::aead::{Aead as _, AeadInOut as _, Payload};
use aes_gcm_siv::{Aes256GcmSiv, KeyInit as _, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;
use uuid::Uuid;

use super::master::SubjectKey;

const VERSION: u8 = 1;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
/// The block size in bytes to which values are padded.
const STEP: usize = 32;

/// The place of a value. Its envelope cannot be decrypted anywhere else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) stream: &'a str,
    pub(super) event_id: Uuid,
    pub(super) subject: Uuid,
    pub(super) path: &'a str,
}

/// The error when a value cannot be decrypted: changed, moved, of an unknown version, or under
/// another key. The text is always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an encrypted value cannot be decrypted")]
pub(super) struct DoesNotOpen;

impl Place<'_> {
    /// Encodes each component after its length, so no two places have the same encoding.
    fn associated(&self, version: u8) -> Vec<u8> {
        let mut data = Vec::with_capacity(96);
        data.extend_from_slice(b"personal field");
        data.push(version);
        for part in [
            self.stream.as_bytes(),
            self.event_id.as_bytes(),
            self.subject.as_bytes(),
            self.path.as_bytes(),
        ] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part);
        }
        data
    }
}

/// Encrypts the JSON of a value.
pub(super) fn encrypt(
    key: &SubjectKey,
    place: Place<'_>,
    json: &str,
) -> Result<String, DoesNotOpen> {
    let (from, length) = (1 + NONCE_LEN, json.len().next_multiple_of(STEP));
    let mut nonce = [0_u8; NONCE_LEN];
    rand::rng().fill(&mut nonce);
    // Encrypts in place. The buffer never grows, so no copy of the value stays in memory.
    let mut envelope = Vec::with_capacity(from + length + TAG_LEN);
    envelope.push(VERSION);
    envelope.extend_from_slice(&nonce);
    envelope.extend_from_slice(json.as_bytes());
    envelope.resize(from + length, b' ');
    let cipher = Aes256GcmSiv::new(key.expose().into());
    let (_, plain) = envelope.split_at_mut(from);
    let tag = cipher.encrypt_inout_detached(
        &Nonce::from(nonce),
        &place.associated(VERSION),
        plain.into(),
    );
    envelope.extend_from_slice(&tag.map_err(|_| DoesNotOpen)?);
    Ok(URL_SAFE_NO_PAD.encode(envelope))
}

/// Decrypts a value that [`encrypt`] encrypted under this key in this place.
pub(super) fn decrypt(
    key: &SubjectKey,
    place: Place<'_>,
    encrypted: &str,
) -> Result<String, DoesNotOpen> {
    let envelope = URL_SAFE_NO_PAD.decode(encrypted).map_err(|_| DoesNotOpen)?;
    let (version, rest) = envelope.split_first().ok_or(DoesNotOpen)?;
    if *version != VERSION {
        return Err(DoesNotOpen);
    }
    let (nonce, encrypted) = rest.split_first_chunk::<NONCE_LEN>().ok_or(DoesNotOpen)?;
    let payload = Payload { msg: encrypted, aad: &place.associated(VERSION) };
    let plain = Aes256GcmSiv::new(key.expose().into())
        .decrypt(&Nonce::from(*nonce), payload)
        .map_err(|_| DoesNotOpen)?;
    let mut json = String::from_utf8(plain).map_err(|_| DoesNotOpen)?;
    json.truncate(json.trim_end_matches(' ').len());
    Ok(json)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const PLACE: Place<'_> = Place {
        stream: "thing-1",
        event_id: Uuid::from_u128(1),
        subject: Uuid::from_u128(2),
        path: "/a/b",
    };

    #[test]
    fn a_value_opens_in_its_place_and_nowhere_else() {
        let key = SubjectKey::random();
        let encrypted = encrypt(&key, PLACE, "\"Ada\"").unwrap();
        assert_eq!(decrypt(&key, PLACE, &encrypted).unwrap(), "\"Ada\"");
        for elsewhere in [
            Place { stream: "thing-2", ..PLACE },
            Place { event_id: Uuid::from_u128(9), ..PLACE },
            Place { subject: Uuid::from_u128(9), ..PLACE },
            Place { path: "/a", ..PLACE },
            Place { stream: "thing-1/", path: "a/b", ..PLACE },
        ] {
            assert_eq!(decrypt(&key, elsewhere, &encrypted), Err(DoesNotOpen), "{elsewhere:?}");
        }
        assert_eq!(decrypt(&SubjectKey::random(), PLACE, &encrypted), Err(DoesNotOpen));
    }

    #[test]
    fn a_changed_or_cut_value_does_not_open() {
        let key = SubjectKey::random();
        let encrypted = encrypt(&key, PLACE, "\"Ada\"").unwrap();
        let envelope = URL_SAFE_NO_PAD.decode(&encrypted).unwrap();
        for at in 0..envelope.len() {
            let mut changed = envelope.clone();
            changed[at] ^= 1;
            assert_eq!(
                decrypt(&key, PLACE, &URL_SAFE_NO_PAD.encode(changed)),
                Err(DoesNotOpen),
                "byte {at}"
            );
            assert_eq!(
                decrypt(&key, PLACE, &URL_SAFE_NO_PAD.encode(&envelope[..at])),
                Err(DoesNotOpen),
                "cut at {at}"
            );
        }
        assert_eq!(decrypt(&key, PLACE, "no base64"), Err(DoesNotOpen));
    }

    #[test]
    fn the_same_value_is_never_encrypted_alike_and_short_ones_are_equally_long() {
        let key = SubjectKey::random();
        let all: std::collections::HashSet<String> =
            (0..100).map(|_| encrypt(&key, PLACE, "\"Ada\"").unwrap()).collect();
        assert_eq!(all.len(), 100);
        assert_eq!(
            encrypt(&key, PLACE, "1").unwrap().len(),
            encrypt(&key, PLACE, "\"ada@example.com\"").unwrap().len()
        );
    }
}
