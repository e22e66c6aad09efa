//! The keys of an outside issuer, and tokens signed with them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::verifier::now;

pub(super) const AUDIENCE: &str = "daybook";
/// What precedes the secret of Ed25519 in PKCS #8 (RFC 8410, section 7).
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// The private key of RSA, as base64 of PKCS #1. Only these tests know it.
const RSA: &str = "\
    MIIEpAIBAAKCAQEAtXLmC3OFyIfULqoCzXaz9l6pHZsgE3s9IpfEqnLCTC9TEph2Vx823Y6v17Hq5dgCzbFB\
    /Mx4UJcawEe5veUTb1IZTc6Hm9nue/ukYqiuAqlNdGR0I23/CQ7XMZU6ljkUyI+gJLlihyNEST7597RBSNdo\
    3nYofQcqbgV5mGr/+2hb190yj4NQbdtP9EILojFWUnwkDDjEqva01nblOUtzz9tUfe0yqPqfwElOtoYLWYwH\
    gDiHJNDfj+MBfqEzVti/rrqsL/Ku5Vlx8MABBBIteZyWYHaEaQjXtxCh5XWLcIy3hNWHg9QNmKTIBJr9+y9m\
    SSlWlXLN2YzDN18C2CVj4wIDAQABAoIBABRx8GLc7vej+nARnwQ4ullp3CNmXcxkKATUVgggqyz7biBbxoXV\
    khCP6ddjiETCvLohnX5XKb1m8VA2JMM1YyW5eflu6o/QlBMrTSACwqyxF/Wj9gQh+kkyf2PqXTIdF27r5A8P\
    Rn9UpXadXnwfNvX2s63RYYmI+6pu+n8Gm3Zf4M35sSPbO5gpvjWVpQMrGm9Vv9RQw2oX1BsaWfVTv+7lGrFH\
    3a0dPwAuknUyj/N1uZ/m+sJ2AP2z24e69QcOK4iU0S/EGnEfrxjFz0A/2KMO2VtM2kTemAvLURpcPOijC226\
    wbincjLdFZnEW9osPcWNxcMOk8zBhNg8LOAt7SECgYEA4c6KYmmdwSHDw0TDLuN/XMXj2DwY+8u8483p9Ddz\
    REo4kqzCrmqU+r3h+LWwmldDMtWU+thjYPCKHV24+WyR7wvHT2+w5Ts2s3O/p6pD902ugInuTvBFQlVLm0iF\
    /O5kDpjMBqgOTuGjS74VOlB2IApxo1cOSasCLjUnKrEnvyECgYEAzbX3X9MZNzGy1BJACrzI1ZEYYsKriZv6\
    +a7eMwHjpsWuoKlveJ0TbWNq1R5aKOIOIt8RxE40NW7NEfkOv/kJunDYKBawitKJNnSmWiVnFKJn21lpLegV\
    zLtjnVKUguHFyWVL7WwEUwuMn5+0j5h8S/RxCZab4oRdxW4RL8Lp1oMCgYEAydtzRgqYZcAjWnor6cyhXHPi\
    /ListNsq3pKDJDg1qMSY0jXySy0oRQZd7ZGucCq1/cmExsGOBWjCbwILi52Mz5896zszbZiDi+RbXi0NWRRu\
    fKXRDWwo3eWWExi//p21gH8DVKgDMmzvJ5SjMWAgWQA9GgGG2kAvUNNfUgDQQUECgYEAgmGtEr03pDYJxER0\
    9tlE6af3LtF369ZDMnHVP7sY0SFGV2pMzsOwBosWsVF1j6gHka6VEjkG+j7qF1QmNyLfOZ5AQthuuO5MLYmt\
    zkEanod5EBwRgBkzh/nVX2dx3aq/s7BSeX8XFpOhY6LTzJe3YGTkKFGfJ+kBjhr/JaiCkYUCgYACN6eSnAd6\
    /1gugZHS6CsQJEakG0J9/6H3LJ2ASEht48Ei2FopNqNzMgF22h/xwd8/z8Vxnnti3AuvQ40q/UKNW86piiX+\
    xS2jmlwirFhfRdyGwAMhVVrwnuctEdWhXGFV6Llb+4ZfSxmuJWu8KQlap/keMddLQ5eZKHVGsWOnTA==";
/// The private key on the curve P-256, as base64 of PKCS #8. Only these tests know it.
const P256: &str = "\
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgpvQ5waRRw3hgtGY/x4XE6CHeW2LjTQQ6iDJb\
    dI1Yfh+hRANCAATrcCEZuCn7SPeAWeb8sNNBWach+5lMuiwFqoSdtNNxciFMcy2Yy0zZXfONPHZlHRELv9YD\
    xbh0+1ayQhe4FDuz";

/// A key pair of the issuer.
pub(super) struct Pair {
    pub(super) id: &'static str,
    pub(super) algorithm: Algorithm,
    secret: EncodingKey,
}

impl Pair {
    /// A key of Ed25519 made of this byte.
    pub(super) fn ed25519(id: &'static str, seed: u8) -> Self {
        let secret = EncodingKey::from_ed_der(&[&PKCS8[..], &[seed; 32]].concat());
        Self { id, algorithm: Algorithm::EdDSA, secret }
    }

    /// A key of RSA, for this algorithm.
    pub(super) fn rsa(id: &'static str, algorithm: Algorithm) -> Self {
        Self { id, algorithm, secret: EncodingKey::from_rsa_der(&STANDARD.decode(RSA).unwrap()) }
    }

    /// A key on the curve P-256.
    pub(super) fn p256(id: &'static str) -> Self {
        let secret = EncodingKey::from_ec_der(&STANDARD.decode(P256).unwrap());
        Self { id, algorithm: Algorithm::ES256, secret }
    }

    /// The public key as a JWK.
    pub(super) fn public(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.secret, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    /// The header of an access token.
    pub(super) fn header(&self) -> Value {
        let algorithm = format!("{:?}", self.algorithm);
        json!({"typ": "at+jwt", "alg": algorithm, "kid": self.id})
    }

    /// A token with these claims.
    pub(super) fn sign(&self, claims: &Value) -> String {
        self.forge(&self.header(), claims)
    }

    /// A token with this header, signed with this key whatever the header says.
    pub(super) fn forge(&self, header: &Value, claims: &Value) -> String {
        forge(&header.to_string(), &claims.to_string(), &self.secret, self.algorithm)
    }

    /// A token with these claims as they stand here.
    pub(super) fn sign_text(&self, claims: &str) -> String {
        forge(&self.header().to_string(), claims, &self.secret, self.algorithm)
    }
}

/// A token with any header, signed in any way.
pub(super) fn forge(header: &str, claims: &str, key: &EncodingKey, how: Algorithm) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(header), part(claims));
    let signed = jsonwebtoken::crypto::sign(message.as_bytes(), key, how).unwrap();
    format!("{message}.{signed}")
}

/// Good claims of a token of this issuer.
pub(super) fn claims(issuer: &str) -> Value {
    json!({"iss": issuer, "aud": AUDIENCE, "sub": "ada", "iat": now(), "exp": now() + 300})
}

/// The JWK set of these keys.
pub(super) fn set(pairs: &[&Pair]) -> Value {
    json!({"keys": pairs.iter().map(|pair| pair.public()).collect::<Vec<_>>()})
}
