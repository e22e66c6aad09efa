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
    let stored = passwords.hash(password("correct horse"), None).await.unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    assert_ne!(passwords.hash(password("correct horse"), None).await.unwrap(), stored, "own salts");
    let long = "x".repeat(MAX_BYTES + 1);
    for (given, stored, verdict) in [
        ("correct horse", Some(stored.clone()), Verdict::Right),
        ("correct horse ", Some(stored.clone()), Verdict::Wrong),
        ("", Some(stored.clone()), Verdict::Wrong),
        (&long, Some(stored.clone()), Verdict::Wrong),
        ("correct horse", None, Verdict::Wrong),
        ("nobody has this password", None, Verdict::Wrong),
    ] {
        let found = passwords.verify(given.to_owned().into(), stored, None).await.unwrap();
        assert_eq!(found, verdict, "{given:?}");
    }
}

#[tokio::test]
async fn a_hash_with_other_parameters_is_outdated() {
    let passwords = Passwords::new(1);
    let given = || SecretString::from("correct horse".to_owned());
    let new = (Algorithm::Argon2id, Version::V0x13, MEMORY_KIB, PASSES, LANES);
    for (algorithm, version, memory, passes, lanes) in [
        (Algorithm::Argon2i, new.1, new.2, new.3, new.4),
        (Algorithm::Argon2d, new.1, new.2, new.3, new.4),
        (new.0, Version::V0x10, new.2, new.3, new.4),
        (new.0, new.1, MEMORY_KIB - 1, new.3, new.4),
        (new.0, new.1, new.2, PASSES - 1, new.4),
        (new.0, new.1, new.2, new.3, LANES + 1),
    ] {
        let params = Params::new(memory, passes, lanes, None).unwrap();
        let other = Argon2::new(algorithm, version, params);
        let other = other.hash_password(b"correct horse").unwrap().to_string();
        let found = passwords.verify(given(), Some(other.clone()), None).await.unwrap();
        assert_eq!(found, Verdict::Outdated, "{other}");
    }
    let malformed = passwords.verify(given(), Some("plain".to_owned()), None).await;
    assert!(matches!(malformed, Err(PasswordError::Hash(_))));
}

#[test]
fn an_account_that_does_not_exist_takes_as_long_as_one_that_does() {
    let stored = hashed(&password("correct horse").0).unwrap();
    let took = |stored: Option<&str>| {
        let tries = (0..4).map(|_| {
            let begun = std::time::Instant::now();
            let found = verdict(&SecretString::from("another horse".to_owned()), stored);
            assert_eq!(found.unwrap(), Verdict::Wrong);
            begun.elapsed()
        });
        tries.min().unwrap()
    };
    let (known, unknown) = (took(Some(&stored)), took(None));
    assert!(known < unknown * 3 && unknown < known * 3, "{known:?} and {unknown:?}");
}

#[tokio::test]
async fn more_than_can_wait_are_refused_at_once_and_turns_come_back() {
    let passwords = Passwords::new(1);
    let calls = (1..=WAITING_PER_RUNNING + 4).map(|asker| {
        let asker = Some([192, 0, 2, u8::try_from(asker).unwrap()].into());
        passwords.hash(password("correct horse"), asker)
    });
    let done = join_all(calls).await;
    let refused = done.iter().filter(|one| matches!(one, Err(PasswordError::Busy))).count();
    assert_eq!(refused, 3);
    // A caller that goes away leaves its turn when its hash has ended.
    for _ in 0..3 {
        let call = passwords.hash(password("correct horse"), None);
        assert!(futures::FutureExt::now_or_never(call).is_none());
    }
    passwords.hash(password("correct horse"), None).await.unwrap();
    assert_eq!(passwords.running.available_permits(), 1);
}

#[tokio::test]
async fn one_address_leaves_places_for_others() {
    let passwords = Passwords::new(1);
    let of = |last: u8| {
        let asker = Some([192, 0, 2, last].into());
        passwords.hash(password("correct horse"), asker)
    };
    let one = join_all((0..40).map(|_| of(1)));
    let others = join_all((2..=9).map(of));
    let (one, others) = futures::join!(one, others);
    let done = one.iter().filter(|one| one.is_ok()).count();
    assert_eq!(done, (1 + WAITING_PER_RUNNING) / PARTS);
    assert!(others.iter().all(Result::is_ok), "nobody else is refused");
    assert!(of(1).await.is_ok(), "the places come back");
}

#[tokio::test]
async fn a_hash_that_goes_on_without_its_caller_counts_and_a_panic_gives_the_turn_back() {
    let passwords = Passwords::new(1);
    let all = passwords.admitted.available_permits();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let call = passwords.run(None, move || {
        let _ = ended.recv();
        Ok(())
    });
    assert!(futures::FutureExt::now_or_never(call).is_none());
    let left = (passwords.running.available_permits(), passwords.admitted.available_permits());
    assert_eq!(left, (0, all - 1));
    drop(end);
    let panics = passwords.run(None, || -> Result<(), PasswordError> { panic!("planted") }).await;
    assert!(matches!(panics, Err(PasswordError::Thread(_))));
    let left = (passwords.running.available_permits(), passwords.admitted.available_permits());
    assert_eq!(left, (1, all));
}

#[tokio::test]
async fn a_stored_hash_that_asks_for_too_much_is_refused_before_it_takes_anything() {
    let passwords = Passwords::new(1);
    let stored = passwords.hash(password("correct horse"), None).await.unwrap();
    for (usual, huge) in [
        ("m=19456,", "m=4194304,"),
        ("m=19456,", "m=65537,"),
        ("t=2,", "t=4294967295,"),
        ("t=2,", "t=9,"),
        ("p=1$", "p=5$"),
    ] {
        let asks = stored.replace(usual, huge);
        assert_ne!(asks, stored);
        let found = passwords.verify("correct horse".to_owned().into(), Some(asks), None).await;
        let error = argon2::password_hash::Error::ParamsInvalid;
        assert!(matches!(&found, Err(PasswordError::Hash(e)) if *e == error), "{huge} {found:?}");
    }
}

#[tokio::test]
async fn a_text_that_is_too_long_is_wrong_whatever_is_stored() {
    let empty = hashed(&SecretString::from(String::new())).unwrap();
    let long = SecretString::from("x".repeat(MAX_BYTES + 1));
    let passwords = Passwords::new(1);
    assert_eq!(passwords.verify(long, Some(empty), None).await.unwrap(), Verdict::Wrong);
}

#[test]
fn a_password_is_long_enough_and_not_too_long() {
    let fits = |text: &str| Password::new(text.to_owned().into()).is_ok();
    assert!(fits(&"ä".repeat(MIN_CHARACTERS)) && !fits(&"ä".repeat(MIN_CHARACTERS - 1)));
    assert!(fits(&"x".repeat(MAX_BYTES)) && !fits(&"x".repeat(MAX_BYTES + 1)));
    assert!(!format!("{:?}", password("correct horse")).contains("horse"));
}
