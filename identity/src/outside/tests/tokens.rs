//! Tokens of an outside issuer that are accepted, and the attacks that are not.

use access::{Caller, Grants, Principal, Role};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser as _;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use uuid::Uuid;

use super::pairs::{AUDIENCE, Pair, claims, forge, set};
use crate::outside::keys::Keys;
use crate::outside::{NotAccepted, OidcArgs, OutsideVerifier, Pace};
use crate::verifier::{InvalidToken, MAX_TOKEN_LEN, now};

pub(super) const ISSUER: &str = "https://id.example.com/";
pub(super) const OWN: &str = "command-api";

#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    oidc: OidcArgs,
}

/// The settings of an issuer with this name.
pub(super) fn settings(issuer: &str, more: &[&str]) -> OidcArgs {
    let base = ["program", "--oidc-issuer", issuer, "--oidc-audience", AUDIENCE];
    Program::try_parse_from(base.iter().chain(more)).unwrap().oidc
}

/// A verifier that knows these keys, fetched so many seconds ago.
fn verifier_of(pairs: &[&Pair], age: i64, more: &[&str]) -> OutsideVerifier {
    let verifier = settings(ISSUER, more).verifier(OWN, Pace::default()).unwrap().unwrap();
    let keys = Keys::read(set(pairs).to_string().as_bytes()).unwrap();
    verifier.replace(keys, now() - age);
    verifier
}

pub(super) fn verifier(pairs: &[&Pair], more: &[&str]) -> OutsideVerifier {
    verifier_of(pairs, 0, more)
}

pub(super) fn with(name: &str, value: Value) -> Value {
    let mut claims = claims(ISSUER);
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn grants_of(role: &str) -> Grants {
    Role::seed().into_iter().find(|seed| seed.name.as_str() == role).unwrap().grants
}

fn invalid(error: InvalidToken) -> NotAccepted {
    NotAccepted::Invalid(error)
}

#[test]
fn a_token_of_every_algorithm_says_who_calls() {
    for pair in [
        Pair::ed25519("a", 1),
        Pair::p256("a"),
        Pair::rsa("a", Algorithm::RS256),
        Pair::rsa("a", Algorithm::PS256),
    ] {
        let verifier = verifier(&[&pair], &[]);
        let mut claims = claims(ISSUER);
        claims["azp"] = json!("frontend");
        claims["aud"] = json!(["another", AUDIENCE]);
        let token = pair.sign(&claims);
        assert!(verifier.is_for(&token));
        for _ in 0..2 {
            let outsider = verifier.verify(&token).unwrap();
            let Caller { principal, grants, credential, client } = outsider.caller.clone();
            assert_eq!(principal, Principal::User { id: outsider.user });
            assert_eq!(grants, grants_of("user"), "nothing beyond the role of everybody");
            assert_eq!((credential, client.as_deref()), (None, Some("frontend")));
        }
    }
}

#[test]
fn a_key_verifies_only_its_own_algorithm() {
    let (curve, rsa) = (Pair::p256("a"), Pair::rsa("b", Algorithm::RS256));
    let verifier = verifier(&[&curve, &rsa], &[]);
    let good = claims(ISSUER);
    let pss = Pair::rsa("b", Algorithm::PS256);
    assert_eq!(verifier.verify(&pss.sign(&good)), Err(invalid(InvalidToken::NotAccess)));
    let mut header = rsa.header();
    header["kid"] = json!("a");
    let swapped = verifier.verify(&rsa.forge(&header, &good));
    assert_eq!(swapped, Err(invalid(InvalidToken::NotAccess)));
    // The public key as a secret that both sides share, in every form that an attacker knows.
    let (modulus, jwk) = (rsa.public()["n"].as_str().unwrap().to_owned(), rsa.public().to_string());
    let bytes = URL_SAFE_NO_PAD.decode(&modulus).unwrap();
    for secret in [modulus.as_bytes(), jwk.as_bytes(), bytes.as_slice()] {
        let key = EncodingKey::from_secret(secret).unwrap();
        let header = json!({"typ": "at+jwt", "alg": "HS256", "kid": "b"});
        let token = forge(&header.to_string(), &good.to_string(), &key, Algorithm::HS256);
        assert_eq!(verifier.verify(&token), Err(invalid(InvalidToken::NotAccess)));
    }
    for none in ["none", "None", "NONE", ""] {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({"typ": "at+jwt", "alg": none, "kid": "a"});
        let token = format!("{}.{}.", part(&header), part(&good));
        assert!(matches!(verifier.verify(&token), Err(NotAccepted::Invalid(_))), "{none}");
    }
    let stranger = Pair::ed25519("c", 3);
    let unknown = verifier.verify(&stranger.sign(&good));
    assert_eq!(unknown, Err(invalid(InvalidToken::UnknownKey)));
}

#[test]
fn forged_headers_are_refused() {
    let pair = Pair::ed25519("a", 1);
    let verifier = verifier(&[&pair], &[]);
    let another = Pair::ed25519("a", 2).sign(&claims(ISSUER));
    assert_eq!(verifier.verify(&another), Err(invalid(InvalidToken::Signature)));
    let evil = "http://127.0.0.1:1/keys";
    for (name, value) in [
        ("typ", json!("JWT")),
        ("typ", json!("id+jwt")),
        ("typ", json!(null)),
        ("typ", json!(1)),
        ("kid", json!(null)),
        ("kid", json!("")),
        ("kid", json!("../a")),
        ("jku", json!(evil)),
        ("x5u", json!(evil)),
        ("jwk", pair.public()),
        ("x5c", json!(["AA=="])),
        ("crit", json!(["exp"])),
    ] {
        let mut header = pair.header();
        header[name] = value.clone();
        let found = verifier.verify(&pair.forge(&header, &claims(ISSUER)));
        assert!(matches!(found, Err(NotAccepted::Invalid(_))), "{name} {value}");
    }
    let long = "x".repeat(MAX_TOKEN_LEN + 1);
    assert!(!verifier.is_for(&long));
    assert_eq!(verifier.verify(&long), Err(invalid(InvalidToken::TooLong)));
}

#[test]
fn a_token_of_no_special_type_counts_only_if_a_setting_says_so() {
    let pair = Pair::ed25519("a", 1);
    let mut header = pair.header();
    header["typ"] = json!("JWT");
    let token = pair.forge(&header, &claims(ISSUER));
    let (strict, any) =
        (verifier(&[&pair], &[]), verifier(&[&pair], &["--oidc-token-type", "jwt"]));
    assert_eq!(strict.verify(&token), Err(invalid(InvalidToken::NotAccess)));
    assert!(any.verify(&token).is_ok() && any.verify(&pair.sign(&claims(ISSUER))).is_ok());
    for claim in ["at_hash", "c_hash"] {
        let id_token = pair.forge(&header, &with(claim, json!("x")));
        assert_eq!(any.verify(&id_token), Err(invalid(InvalidToken::NotAccess)), "{claim}");
    }
    for typ in [json!(null), json!("id+jwt"), json!("logout+jwt")] {
        header["typ"] = typ.clone();
        let found = any.verify(&pair.forge(&header, &claims(ISSUER)));
        assert_eq!(found, Err(invalid(InvalidToken::NotAccess)), "{typ}");
    }
}

#[test]
fn forged_claims_are_refused() {
    let pair = Pair::ed25519("a", 1);
    let verifier = verifier(&[&pair], &[]);
    let found = |name: &str, value: Value| verifier.verify(&pair.sign(&with(name, value)));
    assert!(found("more", json!({"any": "thing"})).is_ok(), "the forge works");
    for name in ["iss", "aud", "sub", "exp", "iat"] {
        assert!(found(name, Value::Null).is_err(), "{name} is missing");
    }
    for other in ["https://id.example.com", "https://ID.example.com/", OWN] {
        assert_eq!(found("iss", json!(other)), Err(invalid(InvalidToken::Elsewhere)), "{other}");
        assert!(!verifier.is_for(&pair.sign(&with("iss", json!(other)))), "{other}");
    }
    for other in [json!("another"), json!(["another"]), json!([])] {
        assert!(found("aud", other.clone()).is_err(), "{other}");
    }
    assert_eq!(found("exp", json!(now() - 60)), Err(invalid(InvalidToken::Expired)));
    assert_eq!(found("iat", json!(now() + 60)), Err(invalid(InvalidToken::Time)));
    assert_eq!(found("nbf", json!(now() + 60)), Err(invalid(InvalidToken::Time)));
    for odd in [json!("7"), json!(1e300), json!(-1), json!(u64::MAX), json!([now()]), json!(true)] {
        for name in ["exp", "iat"] {
            assert!(found(name, odd.clone()).is_err(), "{name} {odd}");
        }
    }
    for sub in [json!(""), json!(7), json!(["ada"]), json!("x".repeat(256))] {
        assert!(found("sub", sub.clone()).is_err(), "{sub}");
    }
    for twice in [r#""sub":"grace""#, r#""iat":1"#, r#""exp":1"#, r#""x":1,"x":2"#] {
        let text = claims(ISSUER).to_string();
        let text = format!("{},{twice}}}", text.strip_suffix('}').unwrap());
        let refused = verifier.verify(&pair.sign_text(&text));
        assert_eq!(refused, Err(invalid(InvalidToken::Malformed)), "{twice}");
    }
}

#[test]
fn a_token_counts_for_a_limited_time_whatever_it_says() {
    let pair = Pair::ed25519("a", 1);
    let verifier = verifier(&[&pair], &["--oidc-max-age", "60"]);
    let aged = |age: i64| {
        let mut claims = claims(ISSUER);
        claims["iat"] = json!(now() - age);
        claims["exp"] = json!(now() + 86_400);
        verifier.verify(&pair.sign(&claims))
    };
    assert!(aged(0).is_ok() && aged(60).is_ok());
    assert_eq!(aged(100), Err(invalid(InvalidToken::Expired)));
    // A remembered token ends, too.
    let mut claims = claims(ISSUER);
    claims["iat"] = json!(now() - 86);
    let token = pair.sign(&claims);
    assert!(verifier.verify(&token).is_ok(), "within the leeway");
    while now() < claims["iat"].as_i64().unwrap() + 90 {
        std::thread::yield_now();
    }
    assert_eq!(verifier.verify(&token), Err(invalid(InvalidToken::Expired)));
}

#[test]
fn an_id_is_derived_of_issuer_and_subject_unless_a_claim_is_to_be_believed() {
    let pair = Pair::ed25519("a", 1);
    let local = Uuid::now_v7();
    let (derived, named) =
        (verifier(&[&pair], &[]), verifier(&[&pair], &["--oidc-user-claim", "uid"]));
    let user = |verifier: &OutsideVerifier, claims: &Value| {
        verifier.verify(&pair.sign(claims)).map(|outsider| outsider.user)
    };
    let ada = user(&derived, &claims(ISSUER)).unwrap();
    let issuer = Uuid::new_v5(&Uuid::NAMESPACE_URL, ISSUER.as_bytes());
    assert_eq!(ada, Uuid::new_v5(&issuer, b"ada"));
    assert_ne!(ada, user(&derived, &with("sub", json!("grace"))).unwrap());
    // A subject that is the id of a local user does not speak for that user.
    let forged = user(&derived, &with("sub", json!(local.to_string()))).unwrap();
    assert_eq!((forged.get_version_num(), local.get_version_num()), (5, 7));
    assert_eq!(user(&named, &with("uid", json!(local.to_string()))), Ok(local));
    for odd in [json!(null), json!("ada"), json!(7), json!([local.to_string()])] {
        let found = user(&named, &with("uid", odd.clone()));
        assert_eq!(found, Err(invalid(InvalidToken::Malformed)), "{odd}");
    }
}

#[test]
fn audits_get_the_session_or_the_token_and_a_client_that_can_be_stored() {
    let pair = Pair::ed25519("a", 1);
    let verifier = verifier(&[&pair], &[]);
    let caller = |name: &str, value: &str| {
        verifier.verify(&pair.sign(&with(name, json!(value)))).unwrap().caller.clone()
    };
    let [session, token] = ["sid", "jti"].map(|name| caller(name, "1").credential.unwrap());
    assert_ne!(session, token);
    assert_eq!(caller("client_id", "frontend").client.as_deref(), Some("frontend"));
    for odd in ["", "a\0b", "ä", "a b", &"x".repeat(101)] {
        assert_eq!(caller("client_id", odd).client, None, "{odd}");
    }
}

#[test]
fn listed_values_of_a_claim_give_roles_and_others_give_nothing() {
    let pair = Pair::ed25519("a", 1);
    let map = ["--oidc-roles", "staff=support,root=admin"];
    let flat = verifier(&[&pair], &[&map[..], &["--oidc-roles-claim", "groups"]].concat());
    let deep = verifier(&[&pair], &[&map[..], &["--oidc-roles-claim", "/realm/roles"]].concat());
    let [admin, support, user] = ["admin", "support", "user"].map(grants_of);
    let held = |verifier: &OutsideVerifier, name: &str, value: Value| {
        verifier.verify(&pair.sign(&with(name, value))).unwrap().caller.grants.clone()
    };
    for (value, expected) in [
        (json!("staff"), user.clone().or(&support)),
        (json!(["staff", "others"]), user.clone().or(&support)),
        (json!(["staff", "root"]), admin),
        (json!(["admin", "support", "Staff", "staff root", "staff,root", ""]), user.clone()),
        (json!("staff root"), user.clone()),
        (json!([["root"], {"root": "root"}, 7, null]), user.clone()),
        (json!({"root": true}), user.clone()),
        (json!([]), user.clone()),
        (json!(null), user.clone()),
    ] {
        assert_eq!(held(&flat, "groups", value.clone()), expected, "{value}");
        let within = json!({"roles": value.clone()});
        assert_eq!(held(&deep, "realm", within), expected, "{value}");
    }
    // Claims that look like ours give nothing.
    for name in ["roles", "scope", "realm"] {
        assert_eq!(held(&flat, name, json!("access:manage admin root")), user, "{name}");
    }
}

#[test]
fn an_unknown_key_is_no_key_right_after_a_fetch_and_later_wants_one() {
    let (known, newer) = (Pair::ed25519("a", 1), Pair::ed25519("b", 2));
    let token = newer.sign(&claims(ISSUER));
    let fresh = verifier_of(&[&known], 15, &[]);
    assert_eq!(fresh.verify(&token), Err(invalid(InvalidToken::UnknownKey)));
    assert!(!fresh.is_wanted());
    let older = verifier_of(&[&known], 30, &[]);
    assert_eq!(older.verify(&token), Err(NotAccepted::NotKnownYet));
    assert!(older.is_wanted());
    assert!(older.verify(&known.sign(&claims(ISSUER))).is_ok(), "the others count");
}

#[test]
fn keys_count_for_a_limited_time_without_a_fetch() {
    let pair = Pair::ed25519("a", 1);
    let token = pair.sign(&claims(ISSUER));
    let hours = ["--oidc-stale-hours", "2"];
    assert!(verifier_of(&[&pair], 2 * 3_600 - 5, &hours).verify(&token).is_ok());
    let stale = verifier_of(&[&pair], 2 * 3_600 + 5, &hours);
    assert_eq!(stale.verify(&token), Err(NotAccepted::NotKnownYet));
    assert!(!stale.knows_keys());
    stale.confirm(now());
    assert!(stale.verify(&token).is_ok());
}

#[test]
fn a_key_that_is_gone_verifies_nothing_more_not_even_what_is_remembered() {
    let (old, new) = (Pair::ed25519("a", 1), Pair::ed25519("b", 2));
    let verifier = verifier(&[&old], &[]);
    let token = old.sign(&claims(ISSUER));
    assert!(verifier.verify(&token).is_ok());
    verifier.replace(Keys::read(set(&[&new]).to_string().as_bytes()).unwrap(), now());
    assert_eq!(verifier.verify(&token), Err(invalid(InvalidToken::UnknownKey)));
    assert!(verifier.verify(&new.sign(&claims(ISSUER))).is_ok());
}
