//! Refresh tokens: random, authenticated, and derived from each other.
//!
//! A token names its session, has a secret of 256 bits, and ends with a MAC under the pepper. The
//! MAC proves that this system made it: only such a token can end a session as reused, so nobody
//! ends the session of somebody else by guessing.
//!
//! The secret of a successor is a MAC of its predecessor's. So two requests with one token get the
//! same successor, and nothing but hashes is stored for it. Without the pepper, nobody who once saw
//! a token can compute the next one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::proof::Proof;

/// What every refresh token begins with, so that people and scanners recognise it.
pub const PREFIX: &str = "daybook_rt_";
/// The maximum length of a refresh token, in bytes. A longer text is none.
pub const MAX_LEN: usize = 128;
const SECRET_LEN: usize = 32;
const SESSION_LEN: usize = 16;
/// The length of the truncated HMAC-SHA256, in bytes.
const MAC_LEN: usize = 16;

/// The purposes that the pepper is used for.
const PEPPER: &[u8] = b"auth pepper v1";
const TOKEN: &[u8] = b"refresh token";
const SUCCESSOR: &[u8] = b"successor of a refresh token";
const PROOF: &[u8] = b"proof by mail";

/// The secret that refresh tokens are derived and authenticated with.
#[derive(Clone)]
pub struct Pepper(SecretSlice<u8>);

/// A refresh token.
pub struct RefreshToken {
    session: Uuid,
    secret: Zeroizing<[u8; SECRET_LEN]>,
}

impl Pepper {
    /// Derives the pepper from another secret of at least 32 bytes, which it does not reveal.
    pub fn derive(secret: &[u8]) -> Self {
        Self(SecretSlice::from(mac(secret, &[PEPPER]).to_vec()))
    }

    /// The first token of a session.
    pub fn first(session: Uuid) -> RefreshToken {
        let mut secret = Zeroizing::new([0; SECRET_LEN]);
        rand::rng().fill(secret.as_mut_slice());
        RefreshToken { session, secret }
    }

    /// The token after this one; always the same.
    pub fn successor(&self, token: &RefreshToken) -> RefreshToken {
        let secret = self.mac(SUCCESSOR, token);
        RefreshToken { session: token.session, secret: Zeroizing::new(secret) }
    }

    /// The text of a token.
    pub fn write(&self, token: &RefreshToken) -> SecretString {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SESSION_LEN + SECRET_LEN + MAC_LEN));
        bytes.extend_from_slice(token.session.as_bytes());
        bytes.extend_from_slice(token.secret.as_slice());
        bytes.extend_from_slice(&self.mac(TOKEN, token)[..MAC_LEN]);
        let mut text = String::with_capacity(MAX_LEN);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        SecretString::from(text)
    }

    /// Reads a token that this system made; `None` for any other text.
    pub fn read(&self, text: &SecretString) -> Option<RefreshToken> {
        let text = text.expose_secret();
        let text = text.strip_prefix(PREFIX).filter(|_| text.len() <= MAX_LEN)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        let (session, rest) = bytes.split_at_checked(SESSION_LEN)?;
        let (secret, given) = rest.split_at_checked(SECRET_LEN)?;
        let session = Uuid::from_slice(session).ok()?;
        let token = RefreshToken { session, secret: Zeroizing::new(secret.try_into().ok()?) };
        let is_ours = given.len() == MAC_LEN && same(&self.mac(TOKEN, &token)[..MAC_LEN], given);
        is_ours.then_some(token)
    }

    /// The text of a token that is mailed.
    pub(super) fn proof_text(&self, proof: &Proof) -> SecretString {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SESSION_LEN + SECRET_LEN));
        bytes.extend_from_slice(proof.pending_id.as_bytes());
        bytes.extend_from_slice(&self.proof_mac(proof));
        let mut text = String::with_capacity(MAX_LEN);
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        SecretString::from(text)
    }

    /// Whether this is the MAC in the token of the proof.
    pub(super) fn proves(&self, proof: &Proof, given: &[u8; SECRET_LEN]) -> bool {
        same(&self.proof_mac(proof), given)
    }

    fn proof_mac(&self, proof: &Proof) -> [u8; 32] {
        mac(self.0.expose_secret(), &[PROOF, &[0], proof.pending_id.as_bytes(), &proof.nonce])
    }

    fn mac(&self, purpose: &[u8], token: &RefreshToken) -> [u8; 32] {
        let session = token.session.as_bytes();
        mac(self.0.expose_secret(), &[purpose, &[0], session, token.secret.as_slice()])
    }
}

impl RefreshToken {
    /// The session that the token belongs to.
    pub const fn session(&self) -> Uuid {
        self.session
    }

    /// The only form in which the token is stored. The secret is random, so a plain hash is enough.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.session.as_bytes())
            .chain_update(self.secret.as_slice())
            .finalize()
            .into()
    }
}

impl std::fmt::Debug for Pepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pepper(..)")
    }
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshToken").field("session", &self.session).finish_non_exhaustive()
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC accepts every key length (RFC 2104)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The row and the MAC that a mailed token names; `None` for any other text.
pub(super) fn read_proof(text: &SecretString) -> Option<(Uuid, Zeroizing<[u8; SECRET_LEN]>)> {
    let text = text.expose_secret();
    let bytes = Some(text).filter(|text| text.len() <= MAX_LEN)?;
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(bytes).ok()?);
    let (id, mac) = bytes.split_at_checked(SESSION_LEN)?;
    Some((Uuid::from_slice(id).ok()?, Zeroizing::new(mac.try_into().ok()?)))
}

/// Compares in a time that does not tell where the first difference is.
fn same(ours: &[u8], given: &[u8]) -> bool {
    ours.ct_eq(given).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn pepper(byte: u8) -> Pepper {
        Pepper::derive(&[byte; 32])
    }

    #[test]
    fn a_token_is_read_back_by_the_system_that_made_it_and_by_no_other() {
        let token = Pepper::first(Uuid::from_u128(7));
        let text = pepper(1).write(&token);
        assert!(text.expose_secret().starts_with(PREFIX));
        assert!(text.expose_secret().len() <= MAX_LEN);
        let read = pepper(1).read(&text).unwrap();
        assert_eq!((read.session(), read.hash()), (Uuid::from_u128(7), token.hash()));
        assert!(pepper(2).read(&text).is_none());
    }

    #[test]
    fn a_changed_character_makes_it_no_token() {
        let text = pepper(1).write(&Pepper::first(Uuid::from_u128(7)));
        let text = text.expose_secret();
        for at in 0..text.len() {
            let mut changed = text.to_owned().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(pepper(1).read(&changed.as_str().into()).is_none(), "{at}");
        }
        for other in ["", PREFIX, "daybook_rt_AAAA", &text[..text.len() - 1], &text.repeat(2)] {
            assert!(pepper(1).read(&other.into()).is_none(), "{other}");
        }
    }

    #[test]
    fn a_successor_is_always_the_same_and_only_the_pepper_tells_it() {
        let token = Pepper::first(Uuid::from_u128(7));
        let next = pepper(1).successor(&token);
        assert_eq!(next.hash(), pepper(1).successor(&token).hash());
        assert_ne!(next.hash(), token.hash());
        assert_ne!(next.hash(), pepper(2).successor(&token).hash());
        assert_ne!(next.hash(), pepper(1).successor(&next).hash());
        let other = Pepper::first(Uuid::from_u128(7));
        assert_ne!(other.hash(), token.hash());
    }

    #[test]
    fn neither_is_shown() {
        let token = Pepper::first(Uuid::from_u128(7));
        let shown = format!("{token:?} {:?}", pepper(1));
        assert_eq!(
            shown,
            "RefreshToken { session: 00000000-0000-0000-0000-000000000007, .. } Pepper(..)"
        );
    }
}
