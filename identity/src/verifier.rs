//! Verifies access tokens.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use access::Caller;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::claims::{Claims, MAX_LIFETIME};
use crate::signing::TYPE;

/// The maximum length of a token, in bytes.
pub const MAX_TOKEN_LEN: usize = 8 * 1024;
/// The difference between two clocks that is tolerated, in seconds.
pub(crate) const LEEWAY: u64 = 30;
/// The maximum number of verified tokens that are remembered.
pub(crate) const MAX_REMEMBERED: usize = 10_000;

type Keys = HashMap<String, DecodingKey>;
/// The SHA-256 of a token.
pub(crate) type Fingerprint = [u8; 32];

/// Verifies the access tokens of one issuer. A verified token is remembered by its hash until it
/// expires, because a signature costs more than a hash.
#[derive(Debug)]
pub struct Verifier {
    rules: Validation,
    keys: RwLock<Arc<Keys>>,
    remembered: Cache<Fingerprint, Arc<Verified>>,
}

/// An access token that is accepted.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// The caller that it stands for.
    pub caller: Caller,
}

/// Why a token is not accepted. Clients learn only that it is not; the reason is for logs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// It is longer than [`MAX_TOKEN_LEN`].
    #[error("the token is too long")]
    TooLong,
    /// It is not a signed token, or a claim is missing or of another type.
    #[error("the token is malformed")]
    Malformed,
    /// It is a token of another kind, such as an ID token, or its header asks for more than an
    /// access token does.
    #[error("the token is not an access token")]
    NotAccess,
    /// No key has this id. It may be newer than the known keys.
    #[error("no key has the id that the token names")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("the signature is wrong")]
    Signature,
    /// Issuer or audience is another one.
    #[error("the token is from another issuer or for another audience")]
    Elsewhere,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It is issued in the future, or for longer than [`MAX_LIFETIME`].
    #[error("the token is not valid at this time")]
    Time,
}

/// The error for bytes that hold no JWK set with a usable key.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKeySet {
    /// The bytes are not a JWK set.
    #[error("this is not a JWK set")]
    Malformed(#[source] serde_json::Error),
    /// No key of the set can verify access tokens.
    #[error("no key of the JWK set can verify access tokens")]
    NoKey,
    /// The set has more keys than are read.
    #[error("the JWK set has more than {limit} keys")]
    TooMany {
        /// The maximum number of keys.
        limit: usize,
    },
}

impl Verifier {
    /// Creates a verifier that knows no key yet.
    pub fn without_keys(issuer: &str, audience: &str) -> Self {
        Self::new(issuer, audience, &JwkSet { keys: Vec::new() })
    }

    /// Replaces the known keys by those of a published JWK set.
    ///
    /// # Errors
    /// [`InvalidKeySet`]; the known keys stay as they are.
    pub fn learn(&self, published: &[u8]) -> Result<(), InvalidKeySet> {
        let keys = serde_json::from_slice(published).map_err(InvalidKeySet::Malformed)?;
        if usable(&keys).is_empty() {
            return Err(InvalidKeySet::NoKey);
        }
        self.replace_keys(&keys);
        Ok(())
    }

    /// Creates a verifier for the tokens of `issuer` that are meant for `audience`.
    pub fn new(issuer: &str, audience: &str, keys: &JwkSet) -> Self {
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[issuer]);
        rules.set_audience(&[audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.validate_nbf = true;
        rules.leeway = LEEWAY;
        let keys = RwLock::new(Arc::new(usable(keys)));
        Self { rules, keys, remembered: Cache::new(MAX_REMEMBERED) }
    }

    /// Replaces the known keys. Tokens of keys that are gone are refused from now on.
    pub fn replace_keys(&self, keys: &JwkSet) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(usable(keys));
        self.remembered.clear();
    }

    /// Whether any key is known. Without one, no token can be told from an invalid one.
    pub fn knows_keys(&self) -> bool {
        !self.keys.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Verifies the signature and the claims of an access token of our own.
    ///
    /// # Errors
    /// [`InvalidToken`].
    pub fn verify(&self, token: &str) -> Result<Arc<Verified>, InvalidToken> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(InvalidToken::TooLong);
        }
        let fingerprint: Fingerprint = Sha256::digest(token.as_bytes()).into();
        if let Some(verified) = self.remembered.get(&fingerprint) {
            if verified.claims.exp.saturating_add(LEEWAY.cast_signed()) > now() {
                return Ok(verified);
            }
            self.remembered.remove(&fingerprint);
            return Err(InvalidToken::Expired);
        }
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let claims = self.check(token, &keys)?;
        let verified = Arc::new(Verified { caller: claims.caller(), claims });
        self.remembered.insert(fingerprint, Arc::clone(&verified));
        // Keys that were replaced meanwhile may have cleared the cache before this insertion.
        let now = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        if !Arc::ptr_eq(&keys, &now) {
            self.remembered.remove(&fingerprint);
        }
        Ok(verified)
    }

    fn check(&self, token: &str, keys: &Keys) -> Result<Claims, InvalidToken> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| InvalidToken::Malformed)?;
        if !is_access(&header) {
            return Err(InvalidToken::NotAccess);
        }
        let kid = header.kid.as_deref().ok_or(InvalidToken::UnknownKey)?;
        let key = keys.get(kid).ok_or(InvalidToken::UnknownKey)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &self.rules);
        let claims = claims.map_err(|error| reason(error.kind()))?.claims;
        let lifetime = claims.exp.checked_sub(claims.iat).and_then(|all| u64::try_from(all).ok());
        let fits = lifetime.is_some_and(|all| all <= MAX_LIFETIME.as_secs());
        if !fits || claims.iat > now().saturating_add(LEEWAY.cast_signed()) {
            return Err(InvalidToken::Time);
        }
        Ok(claims)
    }
}

/// The keys that can verify, by id. A key of another kind is left out.
fn usable(keys: &JwkSet) -> Keys {
    let keys = keys.keys.iter().filter_map(|key| {
        let decoding = DecodingKey::from_jwk(key).ok()?;
        let is_ours = decoding.family() == Algorithm::EdDSA.family();
        Some((key.common.key_id.clone()?, decoding)).filter(|_| is_ours)
    });
    keys.collect()
}

/// Whether the header is that of an access token, and names its key by id only.
fn is_access(header: &Header) -> bool {
    header.alg == Algorithm::EdDSA && is_of_type(header, TYPE) && names_its_key_by_id_only(header)
}

/// Whether the header is that of a token of this type, which is given in lower case.
pub(crate) fn is_of_type(header: &Header, expected: &str) -> bool {
    let is_type = |typ: &str| {
        let typ = typ.to_ascii_lowercase();
        typ.strip_prefix("application/").unwrap_or(&typ) == expected
    };
    header.typ.as_deref().is_some_and(is_type)
}

/// Whether the header brings no key with it, and requires nothing that this program does not know.
pub(crate) fn names_its_key_by_id_only(header: &Header) -> bool {
    header.jku.is_none()
        && header.jwk.is_none()
        && header.x5u.is_none()
        && header.x5c.is_none()
        && header.crit.is_none()
}

pub(crate) fn reason(kind: &ErrorKind) -> InvalidToken {
    match kind {
        ErrorKind::InvalidSignature => InvalidToken::Signature,
        ErrorKind::ExpiredSignature => InvalidToken::Expired,
        ErrorKind::ImmatureSignature => InvalidToken::Time,
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => InvalidToken::Elsewhere,
        ErrorKind::InvalidAlgorithm => InvalidToken::NotAccess,
        _ => InvalidToken::Malformed,
    }
}

/// The current time, in seconds since 1970 in UTC. It is that of the clock that `exp` and `nbf` are
/// compared with.
pub fn now() -> i64 {
    jsonwebtoken::get_current_timestamp().try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
