//! Tokens that are accepted, and the attacks that are not.
#![allow(clippy::unwrap_used, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::signing::SigningKeys;

const ISSUER: &str = "https://id.example.com";
const AUDIENCE: &str = "daybook";

/// Keys made of these bytes, the first one signing.
fn keys(seeds: &[u8]) -> SigningKeys {
    let lines: Vec<String> = seeds.iter().map(|seed| STANDARD.encode([*seed; 32])).collect();
    SigningKeys::parse(&lines.join("\n").into()).unwrap()
}

fn verifier(keys: &SigningKeys) -> Verifier {
    Verifier::new(ISSUER, AUDIENCE, keys.published())
}

fn claims() -> Claims {
    Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: Uuid::from_u128(7),
        client_id: "shop".to_owned(),
        iat: now(),
        iat_us: None,
        exp: now() + 300,
        jti: Uuid::from_u128(8),
        sid: Uuid::from_u128(9),
        scope: "orders:read.own products:read".to_owned(),
        roles: vec!["user".to_owned()],
    }
}

/// A token with this header and these claims, signed with the key of `keys(&[seed])`.
fn forged(header: &Value, claims: &Value, seed: u8) -> String {
    forged_texts(&header.to_string(), &claims.to_string(), seed)
}

fn forged_texts(header: &str, claims: &str, seed: u8) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(header), part(claims));
    let der = [&PKCS8[..], &[seed; 32]].concat();
    let key = EncodingKey::from_ed_der(&der);
    let signed = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).unwrap();
    format!("{message}.{signed}")
}

/// RFC 8410, section 7.
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

fn header(keys: &SigningKeys) -> Value {
    let kid = keys.published().keys[0].common.key_id.clone();
    json!({"typ": "at+jwt", "alg": "EdDSA", "kid": kid})
}

#[test]
fn a_token_says_who_calls_and_what_they_may_do() {
    let keys = keys(&[1]);
    let (verifier, token) = (verifier(&keys), keys.sign(&claims()).unwrap());
    for _ in 0..2 {
        let found = verifier.verify(&token).unwrap();
        assert_eq!(*found, Verified { caller: claims().caller(), claims: claims() });
    }
    let caller = claims().caller();
    assert_eq!(caller.principal.to_string(), format!("user:{}", Uuid::from_u128(7)));
    assert_eq!(caller.grants.to_string(), "orders:read.own products:read");
    assert_eq!(caller.credential, Some(Uuid::from_u128(9)));
    // A newer program may know more scopes.
    let newer = Claims { scope: "products:read moon:travel".to_owned(), ..claims() };
    assert_eq!(newer.caller().grants.to_string(), "products:read");
}

#[test]
fn a_key_is_rotated_without_a_break() {
    let (old, both, new) = (keys(&[1]), keys(&[2, 1]), keys(&[2]));
    let token = old.sign(&claims()).unwrap();
    let verifier = verifier(&both);
    assert!(verifier.verify(&token).is_ok());
    assert!(verifier.verify(&both.sign(&claims()).unwrap()).is_ok());
    // Also a remembered token is refused once its key is gone.
    verifier.replace_keys(new.published());
    assert_eq!(verifier.verify(&token), Err(InvalidToken::UnknownKey));
    assert!(verifier.verify(&both.sign(&claims()).unwrap()).is_ok());
}

#[test]
fn the_published_keys_hold_no_secret() {
    let keys = keys(&[1]);
    let published = serde_json::to_value(keys.published()).unwrap();
    let key = published["keys"][0].as_object().unwrap();
    let fields: std::collections::BTreeSet<&str> = key.keys().map(String::as_str).collect();
    assert_eq!(fields, ["alg", "crv", "kid", "kty", "use", "x"].into());
    assert!(!format!("{keys:?}").contains(&STANDARD.encode([1; 32])));
}

#[test]
fn keys_that_are_none_are_refused_by_line_and_not_shown() {
    use crate::signing::InvalidKeys;
    for (text, error) in [
        ("", InvalidKeys::Absent),
        ("\n\n", InvalidKeys::Absent),
        ("secret", InvalidKeys::Line { line: 1 }),
        (&format!("{}\nc2hvcnQ=", STANDARD.encode([1; 32])), InvalidKeys::Line { line: 2 }),
    ] {
        let found = SigningKeys::parse(&text.to_owned().into()).unwrap_err();
        assert_eq!(found, error);
        assert!(!found.to_string().contains("secret"));
    }
}

#[test]
fn a_forged_header_is_refused() {
    let keys = keys(&[1]);
    let (verifier, good) = (verifier(&keys), serde_json::to_value(claims()).unwrap());
    assert!(verifier.verify(&forged(&header(&keys), &good, 1)).is_ok(), "the forge works");
    let with = |change: Value| {
        let mut header = header(&keys);
        for (name, value) in change.as_object().unwrap() {
            header[name] = value.clone();
        }
        verifier.verify(&forged(&header, &good, 1))
    };
    for algorithm in ["none", "None", "NONE", "HS256", "RS256", "ES256", "EdDSA2", ""] {
        assert!(with(json!({"alg": algorithm})).is_err(), "{algorithm}");
    }
    for typ in [json!("JWT"), json!("rt+jwt"), json!(null), json!("id+jwt"), json!(1)] {
        assert!(with(json!({"typ": typ})).is_err(), "{typ}");
    }
    for kid in [json!("../../etc/passwd"), json!("' OR 1=1"), json!(null), json!(""), json!(7)] {
        assert!(with(json!({"kid": kid})).is_err(), "{kid}");
    }
    let evil = "http://127.0.0.1:1/keys";
    let jwk = serde_json::to_value(&keys.published().keys[0]).unwrap();
    for more in [
        json!({"jku": evil}),
        json!({"x5u": evil}),
        json!({"jwk": jwk}),
        json!({"x5c": ["AA=="]}),
        json!({"crit": ["exp"]}),
    ] {
        assert!(with(more.clone()).is_err(), "{more}");
    }
}

#[test]
fn forged_claims_are_refused() {
    let keys = keys(&[1]);
    let verifier = verifier(&keys);
    let with = |name: &str, value: Value| {
        let mut claims = serde_json::to_value(claims()).unwrap();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        verifier.verify(&forged(&header(&keys), &claims, 1))
    };
    for name in ["iss", "aud", "sub", "exp", "iat", "jti", "sid", "scope", "client_id"] {
        assert!(with(name, Value::Null).is_err(), "{name} is missing");
    }
    let (iss, aud) = (json!("https://evil.example.com"), json!("another"));
    assert_eq!(with("iss", iss), Err(InvalidToken::Elsewhere));
    assert_eq!(with("aud", aud), Err(InvalidToken::Elsewhere));
    assert_eq!(with("exp", json!(now() - 60)), Err(InvalidToken::Expired));
    assert_eq!(with("iat", json!(now() + 60)), Err(InvalidToken::Time));
    assert_eq!(with("nbf", json!(now() + 60)), Err(InvalidToken::Time));
    assert_eq!(with("exp", json!(now() + 3_600)), Err(InvalidToken::Time));
    for odd in [
        json!((now() + 300).to_string()),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!([now() + 300]),
        json!({}),
        json!(true),
    ] {
        for name in ["exp", "iat", "nbf"] {
            // A float or a text is not a time, even if it could be read as one.
            let found = with(name, odd.clone());
            let is_past = name == "nbf" && odd == json!(-1);
            assert!(found.is_err() || is_past, "{name} {odd}");
        }
    }
    for sub in [json!("ada"), json!(""), json!(7), json!(["x"])] {
        assert!(with("sub", sub.clone()).is_err(), "{sub}");
    }
}

#[test]
fn another_key_a_changed_or_cut_token_and_no_token_are_refused() {
    let keys = keys(&[1]);
    let verifier = verifier(&keys);
    let good = serde_json::to_value(claims()).unwrap();
    let stranger = forged(&header(&keys), &good, 2);
    assert_eq!(verifier.verify(&stranger), Err(InvalidToken::Signature));
    let token = keys.sign(&claims()).unwrap();
    let (message, _) = token.rsplit_once('.').unwrap();
    for text in [
        format!("{message}."),
        message.to_owned(),
        format!("{token}."),
        format!("{token}.x"),
        format!(".{token}"),
        token.to_uppercase(),
        String::new(),
        "..".to_owned(),
        "\0".to_owned(),
        "a.b.c".to_owned(),
    ] {
        assert!(verifier.verify(&text).is_err(), "{text:?}");
    }
    for index in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verifier.verify(&changed).is_err() || same_bits(&changed, &token), "{index}");
    }
    let long = "x".repeat(MAX_TOKEN_LEN + 1);
    assert_eq!(verifier.verify(&long), Err(InvalidToken::TooLong));
}

/// Whether both texts decode to the same bytes: the last character of a part has unused bits.
fn same_bits(one: &str, two: &str) -> bool {
    let bytes = |text: &str| -> Vec<Option<Vec<u8>>> {
        text.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok()).collect()
    };
    bytes(one) == bytes(two)
}

#[test]
fn a_remembered_token_lets_in_no_other_and_nowhere_else() {
    let keys = keys(&[1]);
    let verifier = verifier(&keys);
    let token = keys.sign(&claims()).unwrap();
    let first = verifier.verify(&token).unwrap();
    assert!(Arc::ptr_eq(&first, &verifier.verify(&token).unwrap()), "it is remembered");
    let good = serde_json::to_value(claims()).unwrap();
    let stranger = forged(&header(&keys), &good, 2);
    assert_eq!(verifier.verify(&stranger), Err(InvalidToken::Signature));
    for index in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verifier.verify(&changed).is_err() || same_bits(&changed, &token), "{index}");
    }
    for (issuer, audience) in [(ISSUER, "another"), ("another", AUDIENCE)] {
        let other = Verifier::new(issuer, audience, keys.published());
        assert_eq!(other.verify(&token), Err(InvalidToken::Elsewhere), "{issuer} {audience}");
    }
}

#[test]
fn a_remembered_token_expires() {
    let keys = keys(&[1]);
    let verifier = verifier(&keys);
    let claims = Claims { iat: now() - 300, exp: now() - 28, ..claims() };
    let token = keys.sign(&claims).unwrap();
    assert!(verifier.verify(&token).is_ok(), "within the leeway");
    while now() < claims.exp + LEEWAY.cast_signed() {
        std::thread::yield_now();
    }
    assert_eq!(verifier.verify(&token), Err(InvalidToken::Expired));
}

#[test]
fn a_token_whose_key_is_replaced_at_the_same_moment_is_not_remembered() {
    let (old, new) = (keys(&[1]), keys(&[2]));
    let verifier = verifier(&old);
    for round in 0..200 {
        let token = old.sign(&Claims { jti: Uuid::from_u128(round), ..claims() }).unwrap();
        let together = std::sync::Barrier::new(2);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                together.wait();
                let _ = verifier.verify(&token);
            });
            together.wait();
            verifier.replace_keys(new.published());
        });
        assert_eq!(verifier.verify(&token), Err(InvalidToken::UnknownKey), "round {round}");
        verifier.replace_keys(old.published());
    }
}

#[test]
fn a_token_lives_for_the_maximum_and_not_for_a_second_more() {
    let keys = keys(&[1]);
    let verifier = verifier(&keys);
    let lives = |seconds: i64| {
        let iat = now() - 10;
        verifier.verify(&keys.sign(&Claims { iat, exp: iat + seconds, ..claims() }).unwrap())
    };
    let most = MAX_LIFETIME.as_secs().cast_signed();
    assert!(lives(most).is_ok());
    assert_eq!(lives(most + 1), Err(InvalidToken::Time));
    assert_eq!(lives(-1), Err(InvalidToken::Time), "it ends before it begins");
}

#[test]
fn what_is_said_twice_is_refused() {
    let keys = keys(&[1]);
    let verifier = verifier(&keys);
    let (header, good) =
        (header(&keys).to_string(), serde_json::to_value(claims()).unwrap().to_string());
    let also = |text: &str, more: &str| format!("{},{more}}}", text.strip_suffix('}').unwrap());
    assert!(verifier.verify(&forged_texts(&header, &also(&good, r#""x":1,"x":2"#), 1)).is_ok());
    let later = now() + 200;
    for more in [
        format!(r#""sub":"{}""#, Uuid::from_u128(1)),
        format!(r#""exp":{later}"#),
        format!(r#""iat":{}"#, now()),
        r#""scope":"access:manage""#.to_owned(),
        format!(r#""aud":"{AUDIENCE}""#),
        format!(r#""iss":"{ISSUER}""#),
        r#""nbf":1,"nbf":1"#.to_owned(),
    ] {
        let found = verifier.verify(&forged_texts(&header, &also(&good, &more), 1));
        assert_eq!(found, Err(InvalidToken::Malformed), "{more}");
    }
    for more in [r#""alg":"EdDSA""#, r#""typ":"at+jwt""#, r#""kid":"other""#] {
        let found = verifier.verify(&forged_texts(&also(&header, more), &good, 1));
        assert_eq!(found, Err(InvalidToken::Malformed), "{more}");
    }
}

#[test]
fn a_key_of_another_kind_verifies_nothing() {
    let keys = keys(&[1]);
    let kid = keys.published().keys[0].common.key_id.clone().unwrap();
    for other in [
        json!({"kty": "oct", "kid": kid, "k": "AAAA"}),
        json!({"kty": "RSA", "kid": kid, "n": "AQAB", "e": "AQAB"}),
    ] {
        let set: JwkSet = serde_json::from_value(json!({"keys": [other]})).unwrap();
        let verifier = Verifier::new(ISSUER, AUDIENCE, &set);
        let found = verifier.verify(&keys.sign(&claims()).unwrap());
        assert_eq!(found, Err(InvalidToken::UnknownKey));
    }
}
