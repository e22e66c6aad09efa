//! The public keys of an outside issuer.

use std::collections::HashMap;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use crate::verifier::InvalidKeySet;

/// The maximum number of keys of a set, whatever they are for.
pub(super) const MAX_KEYS: usize = 64;

/// A public key, with the only algorithm that it verifies.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// The usable keys, by id.
#[derive(Debug)]
pub(super) struct Keys(HashMap<String, Key>);

impl Keys {
    /// Reads a JWK set (RFC 7517). Keys for other uses are left out, and so are keys without an id.
    /// Of two keys with one id, the first one counts.
    ///
    /// # Errors
    /// [`InvalidKeySet`].
    pub(super) fn read(set: &[u8]) -> Result<Self, InvalidKeySet> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let Set { keys } = serde_json::from_slice(set).map_err(InvalidKeySet::Malformed)?;
        if keys.len() > MAX_KEYS {
            return Err(InvalidKeySet::TooMany { limit: MAX_KEYS });
        }
        let mut usable = HashMap::new();
        for (id, key) in keys.into_iter().filter_map(read) {
            usable.entry(id).or_insert(key);
        }
        if usable.is_empty() { Err(InvalidKeySet::NoKey) } else { Ok(Self(usable)) }
    }

    /// The key with this id.
    pub(super) fn get(&self, id: &str) -> Option<&Key> {
        self.0.get(id)
    }
}

/// Reads one key, with its id. The result is `None` for a key of another kind, which must not keep
/// the others from being read.
fn read(key: Value) -> Option<(String, Key)> {
    let jwk = Jwk::deserialize(key).ok()?;
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    let verifies = common
        .key_operations
        .as_ref()
        .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let algorithm = algorithm(&jwk).filter(|_| signs && verifies)?;
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    Some((common.key_id.clone()?, Key { algorithm, decoding }))
}

/// The algorithm of a key. It depends on the kind of the key, and the key may name it. An RSA key
/// that names none is for RS256, as OpenID Connect says. A secret that both sides share verifies
/// nothing here.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    use {AlgorithmParameters as Kind, KeyAlgorithm as Named};
    match (&jwk.algorithm, jwk.common.key_algorithm) {
        (Kind::OctetKeyPair(pair), None | Some(Named::EdDSA))
            if pair.curve == EllipticCurve::Ed25519 =>
        {
            Some(Algorithm::EdDSA)
        }
        (Kind::EllipticCurve(curve), None | Some(Named::ES256))
            if curve.curve == EllipticCurve::P256 =>
        {
            Some(Algorithm::ES256)
        }
        (Kind::RSA(_), None | Some(Named::RS256)) => Some(Algorithm::RS256),
        (Kind::RSA(_), Some(Named::PS256)) => Some(Algorithm::PS256),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn read_keys(keys: &[Value]) -> Result<Keys, InvalidKeySet> {
        Keys::read(json!({"keys": keys}).to_string().as_bytes())
    }

    fn ed25519() -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": X})
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    #[test]
    fn a_key_verifies_the_one_algorithm_of_its_kind() {
        let curve = json!({"kty": "EC", "crv": "P-256", "kid": "a", "x": X, "y": X});
        let rsa = json!({"kty": "RSA", "kid": "a", "n": X, "e": "AQAB"});
        for (key, expected) in [
            (ed25519(), Algorithm::EdDSA),
            (with(ed25519(), "alg", json!("EdDSA")), Algorithm::EdDSA),
            (with(ed25519(), "use", json!("sig")), Algorithm::EdDSA),
            (with(ed25519(), "key_ops", json!(["verify"])), Algorithm::EdDSA),
            (with(ed25519(), "x5t", json!("certificate")), Algorithm::EdDSA),
            (curve.clone(), Algorithm::ES256),
            (with(curve.clone(), "alg", json!("ES256")), Algorithm::ES256),
            (rsa.clone(), Algorithm::RS256),
            (with(rsa.clone(), "alg", json!("RS256")), Algorithm::RS256),
            (with(rsa.clone(), "alg", json!("PS256")), Algorithm::PS256),
        ] {
            let keys = read_keys(std::slice::from_ref(&key)).unwrap();
            assert_eq!(keys.get("a").unwrap().algorithm, expected, "{key}");
        }
        for key in [
            json!({"kty": "oct", "kid": "a", "k": X}),
            json!({"kty": "oct", "kid": "a", "k": X, "alg": "HS256"}),
            json!({"kty": "AKP", "kid": "a", "pub": X}),
            json!({"kty": "OKP", "crv": "X25519", "kid": "a", "x": X}),
            with(ed25519(), "alg", json!("HS256")),
            with(ed25519(), "alg", json!("ES256")),
            with(ed25519(), "alg", json!("none")),
            with(ed25519(), "use", json!("enc")),
            with(ed25519(), "key_ops", json!(["sign"])),
            with(ed25519(), "kid", json!(null)),
            with(ed25519(), "kid", json!(7)),
            with(ed25519(), "x", json!("?")),
            with(curve.clone(), "crv", json!("P-384")),
            with(curve, "alg", json!("EdDSA")),
            with(rsa.clone(), "alg", json!("HS256")),
            with(rsa.clone(), "alg", json!("RSA-OAEP")),
            with(rsa, "alg", json!("RS512")),
            json!("key"),
        ] {
            let refused = read_keys(std::slice::from_ref(&key));
            assert!(matches!(refused, Err(InvalidKeySet::NoKey)), "{key}");
            // It does not keep the others from being read.
            let kept = read_keys(&[key.clone(), with(ed25519(), "kid", json!("b"))]).unwrap();
            assert!(kept.get("a").is_none() && kept.get("b").is_some(), "{key}");
        }
    }

    #[test]
    fn of_two_keys_with_one_id_the_first_one_counts() {
        let rsa = json!({"kty": "RSA", "kid": "a", "n": X, "e": "AQAB"});
        let keys = read_keys(&[ed25519(), rsa]).unwrap();
        assert_eq!(keys.get("a").unwrap().algorithm, Algorithm::EdDSA);
    }

    #[test]
    fn a_set_has_a_limited_number_of_keys() {
        assert!(read_keys(&vec![ed25519(); MAX_KEYS]).is_ok());
        let refused = read_keys(&vec![ed25519(); MAX_KEYS + 1]);
        assert!(matches!(refused, Err(InvalidKeySet::TooMany { limit: MAX_KEYS })));
        for text in ["", "{}", "[]", r#"{"keys": 1}"#] {
            assert!(matches!(Keys::read(text.as_bytes()), Err(InvalidKeySet::Malformed(_))));
        }
        assert!(matches!(read_keys(&[]), Err(InvalidKeySet::NoKey)));
    }
}
