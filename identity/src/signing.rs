//! Signs access tokens, and publishes the public keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::claims::Claims;

/// The media type of an access token in the header of a JWT (RFC 9068, section 2.1).
pub(crate) const TYPE: &str = "at+jwt";
/// The length of the secret of an Ed25519 key, in bytes.
const SEED_LEN: usize = 32;
/// What precedes the secret in PKCS #8 (RFC 8410, section 7).
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The keys that sign access tokens. The first one signs. The others are published, so that
/// tokens which they signed stay valid: a key is rotated by putting a new one first.
pub struct SigningKeys {
    signs: EncodingKey,
    kid: String,
    published: JwkSet,
}

/// Why a text holds no signing keys. The text is not shown, because it is secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// There is no key.
    #[error("there is no signing key")]
    Absent,
    /// A line is no key.
    #[error("line {line} of the signing keys is not base64 of {SEED_LEN} bytes")]
    Line {
        /// The number of the line, from 1.
        line: usize,
    },
}

/// The error when a token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the access token could not be signed")]
pub struct NotSigned(#[source] jsonwebtoken::errors::Error);

impl SigningKeys {
    /// Reads the keys: one per line, each base64 of 32 random bytes. Empty lines do not count.
    ///
    /// # Errors
    /// [`InvalidKeys`].
    pub fn parse(text: &SecretString) -> Result<Self, InvalidKeys> {
        let lines = text.expose_secret().lines().map(str::trim).enumerate();
        let keys = lines
            .filter(|(_, text)| !text.is_empty())
            .map(|(index, text)| read(text).ok_or(InvalidKeys::Line { line: index + 1 }))
            .collect::<Result<Vec<_>, _>>()?;
        let published = JwkSet { keys: keys.iter().map(|(_, public)| public.clone()).collect() };
        let (signs, public) = keys.into_iter().next().ok_or(InvalidKeys::Absent)?;
        let kid = public.common.key_id.ok_or(InvalidKeys::Absent)?;
        Ok(Self { signs, kid, published })
    }

    /// Signs a token.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn sign(&self, claims: &Claims) -> Result<String, NotSigned> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.signs).map_err(NotSigned)
    }

    /// The public keys. It holds no secret.
    pub const fn published(&self) -> &JwkSet {
        &self.published
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeys").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Reads one key. Its id is its thumbprint (RFC 7638), so the same key has the same id everywhere.
fn read(text: &str) -> Option<(EncodingKey, Jwk)> {
    let seed = Zeroizing::new(STANDARD.decode(text).ok().filter(|seed| seed.len() == SEED_LEN)?);
    let key = EncodingKey::from_ed_der(&Zeroizing::new([&PKCS8, seed.as_slice()].concat()));
    let mut public = Jwk::from_encoding_key(&key, Algorithm::EdDSA).ok()?;
    public.common.key_id = Some(public.thumbprint(ThumbprintHash::SHA256).ok()?);
    public.common.public_key_use = Some(PublicKeyUse::Signature);
    Some((key, public))
}
