//! A gate that accepts the tokens of an outside issuer next to our own.

use std::sync::Arc;

use access::Grants;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use serde_json::json;
use uuid::Uuid;

use super::pairs::{AUDIENCE, Pair, claims};
use super::tokens::{ISSUER, OWN, settings, verifier, with};
use crate::outside::{OutsideVerifier, Pace};
use crate::verifier::now;
use crate::{Gate, Holder, Issuer, Revocations, SigningKeys, Subject, Verifier};

const OWN_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A gate that accepts our own tokens and those of the outside issuer.
fn gate(outside: OutsideVerifier) -> Gate {
    let keys = SigningKeys::parse(&OWN_KEY.into()).unwrap();
    let own = Verifier::new(OWN, AUDIENCE, keys.published());
    Gate::new(Arc::new(own), Revocations::default()).accepting(Some(Arc::new(outside)))
}

fn status(gate: &Gate, token: &str) -> u16 {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    gate.caller(&headers).map_or_else(|problem| problem.status().as_u16(), |_| 200)
}

fn own_token(issuer: &str, key: &str) -> String {
    let holder = Holder {
        user: Uuid::now_v7(),
        credential: Uuid::now_v7(),
        client: "frontend".to_owned(),
        grants: Grants::all(),
        roles: Vec::new(),
    };
    let keys = SigningKeys::parse(&key.into()).unwrap();
    Issuer::new(keys, issuer, AUDIENCE)
        .issue(&holder, crate::Moment::of_seconds(now()), crate::MAX_LIFETIME)
        .unwrap()
}

#[test]
fn the_keys_of_one_issuer_verify_no_token_of_the_other() {
    // Both issuers have the same key id, each with its own key.
    let own = SigningKeys::parse(&OWN_KEY.into()).unwrap();
    let id = own.published().keys[0].common.key_id.clone().unwrap();
    let outside = Pair::ed25519(Box::leak(id.into_boxed_str()), 9);
    let gate = gate(verifier(&[&outside], &[]));
    assert_eq!(status(&gate, &own_token(OWN, OWN_KEY)), 200);
    assert_eq!(status(&gate, &outside.sign(&claims(ISSUER))), 200);
    assert_eq!(status(&gate, &own_token(ISSUER, OWN_KEY)), 401, "our key, their name");
    let mut ours = serde_json::to_value(claims(OWN)).unwrap();
    for (name, value) in [("jti", json!(Uuid::nil())), ("sid", json!(Uuid::nil()))] {
        ours[name] = value;
    }
    for (name, value) in [("scope", "access:manage"), ("client_id", "x")] {
        ours[name] = json!(value);
    }
    ours["sub"] = json!(Uuid::now_v7());
    ours["roles"] = json!([]);
    assert_eq!(status(&gate, &outside.sign(&ours)), 401, "their key, our name");
    for both in [json!([ISSUER, OWN]), json!([ISSUER])] {
        assert_eq!(status(&gate, &outside.sign(&with("iss", both.clone()))), 401, "{both}");
    }
}

#[test]
fn a_user_is_revoked_whoever_issued_the_tokens() {
    let pair = Pair::ed25519("a", 1);
    let gate = gate(verifier(&[&pair], &[]));
    let issued = now();
    let token = pair.sign(&claims(ISSUER));
    assert_eq!(status(&gate, &token), 200);
    let user = verifier(&[&pair], &[]).verify(&token).unwrap().user;
    gate.revocations().revoke(Subject::User(user), crate::Moment::of_seconds(issued - 31));
    assert_eq!(status(&gate, &token), 200, "newer tokens count");
    // The issuer's clock may be ahead.
    gate.revocations().revoke(Subject::User(user), crate::Moment::of_seconds(issued - 15));
    assert_eq!(status(&gate, &token), 401);
    assert_eq!(status(&gate, &pair.sign(&with("sub", json!("grace")))), 200);
}

#[test]
fn without_keys_a_token_of_the_outside_issuer_waits_and_our_own_count() {
    let pair = Pair::ed25519("a", 1);
    let outside = settings(ISSUER, &[]).verifier(OWN, Pace::default()).unwrap().unwrap();
    let gate = gate(outside);
    assert_eq!(status(&gate, &pair.sign(&claims(ISSUER))), 503);
    assert_eq!(status(&gate, &own_token(OWN, OWN_KEY)), 200);
    assert_eq!(status(&gate, &pair.sign(&claims("https://elsewhere.example.com"))), 401);
}
