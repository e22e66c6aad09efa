//! Who calls, by the headers of a request.
#![allow(clippy::unwrap_used, reason = "tests")]

use access::{Permission, Principal, Reach};
use axum::http::HeaderValue;
use axum::http::header::WWW_AUTHENTICATE;
use jsonwebtoken::jwk::JwkSet;
use uuid::Uuid;

use super::*;
use crate::claims::MAX_LIFETIME;
use crate::issuer::{Holder, Issuer};
use crate::signing::SigningKeys;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const ADA: Uuid = Uuid::from_u128(1);
const SESSION: Uuid = Uuid::from_u128(2);

fn issuer() -> Issuer {
    Issuer::new(SigningKeys::parse(&KEY.into()).unwrap(), "issuer", "audience")
}

fn gate(keys: &JwkSet) -> Gate {
    Gate::new(Arc::new(Verifier::new("issuer", "audience", keys)), Revocations::default())
}

fn token() -> String {
    let holder = Holder {
        user: ADA,
        credential: SESSION,
        client: "frontend".to_owned(),
        grants: "orders:read.own".parse().unwrap(),
        roles: Vec::new(),
    };
    issuer().issue(&holder, crate::Moment::of_seconds(crate::now()), MAX_LIFETIME).unwrap()
}

fn headers(values: &[&str]) -> HeaderMap {
    let value = |text: &&str| (AUTHORIZATION, HeaderValue::from_str(text).unwrap());
    values.iter().map(value).collect()
}

#[test]
fn a_token_names_the_caller_and_its_absence_nobody() {
    let gate = gate(issuer().keys().published());
    assert_eq!(gate.caller(&headers(&[])).unwrap(), Caller::anonymous());
    for scheme in ["Bearer", "bearer", "BEARER "] {
        let caller = gate.caller(&headers(&[&format!("{scheme} {}", token())])).unwrap();
        assert_eq!(caller.principal, Principal::User { id: ADA });
        assert_eq!(caller.grants.reach(Permission::OrdersRead), Some(Reach::Own));
        assert_eq!(
            (caller.credential, caller.client.as_deref()),
            (Some(SESSION), Some("frontend"))
        );
    }
}

#[test]
fn credentials_that_are_not_valid_are_refused_and_never_count_as_nobody() {
    let (gate, token) = (gate(issuer().keys().published()), token());
    let (bearer, cut) = (format!("Bearer {token}"), format!("Bearer {}", &token[..40]));
    let lists: [&[&str]; 8] = [
        &[""],
        &["Bearer"],
        &["Bearer "],
        &["Basic YTpi"],
        &[&token],
        &[&cut],
        &[&bearer, &bearer],
        &[&format!("{bearer} x")],
    ];
    for values in lists {
        let refused = gate.caller(&headers(values)).unwrap_err();
        assert_eq!(
            (refused.status().as_u16(), refused.code()),
            (401, "invalid-token"),
            "{values:?}"
        );
        let challenge = refused.into_response().headers()[WWW_AUTHENTICATE].clone();
        assert_eq!(challenge, "Bearer error=\"invalid_token\"");
    }
}

#[test]
fn a_revoked_token_is_refused_like_any_other_that_is_not_valid() {
    let gate = gate(issuer().keys().published());
    let headers = headers(&[&format!("Bearer {}", token())]);
    assert!(gate.caller(&headers).is_ok());
    gate.revocations().revoke(crate::revocation::Subject::Session(SESSION), crate::Moment::MAX);
    let refused = gate.caller(&headers).unwrap_err();
    assert_eq!((refused.status().as_u16(), refused.code()), (401, "invalid-token"));
}

#[test]
fn while_nobody_knows_what_is_revoked_no_token_is_accepted() {
    let verifier = Verifier::new("issuer", "audience", issuer().keys().published());
    let gate = Gate::new(Arc::new(verifier), Revocations::unknown());
    let headers = headers(&[&format!("Bearer {}", token())]);
    assert_eq!(gate.caller(&headers).unwrap_err().status().as_u16(), 503);
    assert_eq!(gate.caller(&HeaderMap::new()).unwrap(), Caller::anonymous());
    gate.revocations().merge([]);
    assert!(gate.caller(&headers).is_ok());
}

#[test]
fn while_no_key_is_known_a_token_is_neither_valid_nor_invalid() {
    let gate = gate(&JwkSet { keys: Vec::new() });
    let refused = gate.caller(&headers(&[&format!("Bearer {}", token())])).unwrap_err();
    assert_eq!(refused.status().as_u16(), 503);
    assert_eq!(gate.caller(&headers(&[])).unwrap(), Caller::anonymous());
}
