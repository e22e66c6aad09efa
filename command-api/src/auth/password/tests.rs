//! Passwords: what is recognised, refused and bounded.
#![allow(clippy::unwrap_used, reason = "tests")]

use futures::future::join_all;

use super::*;

fn password(text: &str) -> Password {
    Password::new(text.to_owned().into()).unwrap()
}

#[tokio::test]
async fn a_password_is_recognised_and_no_other() {
    let passwords = Passwords::new(2);
    let stored = passwords.hash(password("correct horse")).await.unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    assert_ne!(passwords.hash(password("correct horse")).await.unwrap(), stored, "own salts");
    let long = "x".repeat(MAX_BYTES + 1);
    for (given, stored, verdict) in [
        ("correct horse", Some(stored.clone()), Verdict::Right),
        ("correct horse ", Some(stored.clone()), Verdict::Wrong),
        ("", Some(stored.clone()), Verdict::Wrong),
        (&long, Some(stored.clone()), Verdict::Wrong),
        ("correct horse", None, Verdict::Wrong),
        ("nobody has this password", None, Verdict::Wrong),
    ] {
        let found = passwords.verify(given.to_owned().into(), stored).await.unwrap();
        assert_eq!(found, verdict, "{given:?}");
    }
}

#[tokio::test]
async fn a_hash_with_weaker_parameters_is_outdated() {
    let weak = Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        Params::new(8 * 1024, 1, 1, None).unwrap(),
    );
    let weak = weak.hash_password(b"correct horse").unwrap().to_string();
    let passwords = Passwords::new(1);
    let given = || SecretString::from("correct horse".to_owned());
    assert_eq!(passwords.verify(given(), Some(weak)).await.unwrap(), Verdict::Outdated);
    let malformed = passwords.verify(given(), Some("plain".to_owned())).await;
    assert!(matches!(malformed, Err(PasswordError::Hash(_))));
}

#[tokio::test]
async fn more_than_can_wait_are_refused_at_once_and_turns_come_back() {
    let passwords = Passwords::new(1);
    let calls = (0..WAITING_PER_RUNNING + 4).map(|_| passwords.hash(password("correct horse")));
    let done = join_all(calls).await;
    let refused = done.iter().filter(|one| matches!(one, Err(PasswordError::Busy))).count();
    assert_eq!(refused, 3);
    // A caller that goes away leaves its turn when its hash has ended.
    for _ in 0..3 {
        let call = passwords.hash(password("correct horse"));
        assert!(futures::FutureExt::now_or_never(call).is_none());
    }
    passwords.hash(password("correct horse")).await.unwrap();
    assert_eq!(passwords.0.running.available_permits(), 1);
}

#[test]
fn a_password_is_long_enough_and_not_too_long() {
    let fits = |text: &str| Password::new(text.to_owned().into()).is_ok();
    assert!(fits(&"ä".repeat(MIN_CHARACTERS)) && !fits(&"ä".repeat(MIN_CHARACTERS - 1)));
    assert!(fits(&"x".repeat(MAX_BYTES)) && !fits(&"x".repeat(MAX_BYTES + 1)));
    assert!(!format!("{:?}", password("correct horse")).contains("horse"));
}
