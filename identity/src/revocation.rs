//! What is revoked: sessions, API keys and users whose access tokens count no longer.
//!
//! A token says when it was issued. An entry refuses the tokens of its subject that were issued up
//! to a time, so that later ones count again. An entry can go when every token that it covers has
//! expired, so the list stays small. It holds hashes only, because everybody can read it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::claims::{Claims, MAX_LIFETIME};
use crate::moment::Moment;
use crate::verifier::LEEWAY;

type Hash = [u8; 32];

/// Whose access tokens are revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Those of a session.
    Session(Uuid),
    /// Those of an API key.
    Key(Uuid),
    /// Those of a user, in every session and of every key.
    User(Uuid),
}

impl Subject {
    /// The hash under which it is listed: SHA-256 of `session:ID`, `key:ID` or `user:ID`.
    pub fn hash(self) -> [u8; 32] {
        let (kind, id) = match self {
            Self::Session(id) => ("session", id),
            Self::Key(id) => ("key", id),
            Self::User(id) => ("user", id),
        };
        Sha256::digest(format!("{kind}:{id}")).into()
    }
}

/// An entry of the published list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// SHA-256 of `session:ID`, `key:ID` or `user:ID`, as base64url without padding.
    pub hash: String,
    /// Tokens that were issued at this time or before are refused; microseconds since 1970 in
    /// UTC.
    pub before: i64,
}

/// The published list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationList {
    /// The entries, in no particular order.
    pub revocations: Vec<Revocation>,
}

/// The error for bytes that are not a revocation list.
#[derive(Debug, thiserror::Error)]
pub enum InvalidList {
    /// The bytes are not JSON of this form.
    #[error("this is not a revocation list")]
    Malformed(#[source] serde_json::Error),
    /// An entry has no hash.
    #[error("an entry of the revocation list has no hash")]
    Hash,
}

/// What is revoked now. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Revocations {
    all: Arc<RwLock<Arc<HashMap<Hash, Moment>>>>,
    /// Whether nobody knows yet what is revoked.
    unknown: Arc<AtomicBool>,
}

impl Revocations {
    /// Nobody knows yet what is revoked. A gate then accepts no token.
    pub fn unknown() -> Self {
        Self { unknown: Arc::new(AtomicBool::new(true)), ..Self::default() }
    }

    /// Whether it is known what is revoked.
    pub fn is_known(&self) -> bool {
        !self.unknown.load(Ordering::Acquire)
    }

    /// Nobody knows any more what is revoked. A gate accepts no token until a list is read.
    pub fn doubt(&self) {
        self.unknown.store(true, Ordering::Release);
    }

    /// Adds what the store of revocations lists: hashes with the times that [`Self::revoke`] takes.
    /// It is known then what is revoked. What was revoked here before stays so.
    pub fn merge(&self, listed: impl IntoIterator<Item = ([u8; 32], Moment)>) {
        self.add(listed);
        self.unknown.store(false, Ordering::Release);
    }

    /// Adds some of what is revoked, as in [`Self::merge`]. What else is revoked stays unknown.
    pub fn add(&self, revoked: impl IntoIterator<Item = ([u8; 32], Moment)>) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        for (hash, before) in revoked {
            if all.get(&hash).is_none_or(|known| *known < before) {
                Arc::make_mut(&mut all).insert(hash, before);
            }
        }
    }

    /// Refuses the subject's tokens that were issued at `before` or earlier.
    pub fn revoke(&self, subject: Subject, before: Moment) {
        self.add([(subject.hash(), before)]);
    }

    /// Replaces everything by a published list.
    ///
    /// # Errors
    /// [`InvalidList`]; what was revoked before stays so.
    pub fn learn(&self, published: &[u8]) -> Result<(), InvalidList> {
        let list: RevocationList =
            serde_json::from_slice(published).map_err(InvalidList::Malformed)?;
        self.replace(&list)
    }

    /// Replaces everything by the entries of a list.
    ///
    /// # Errors
    /// [`InvalidList::Hash`]; what was revoked before stays so.
    pub fn replace(&self, list: &RevocationList) -> Result<(), InvalidList> {
        let read = |entry: &Revocation| {
            let hash =
                URL_SAFE_NO_PAD.decode(&entry.hash).ok().and_then(|hash| hash.try_into().ok());
            Ok((hash.ok_or(InvalidList::Hash)?, Moment::of_micros(entry.before)))
        };
        let all: HashMap<Hash, Moment> =
            list.revocations.iter().map(read).collect::<Result<_, _>>()?;
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
        self.unknown.store(false, Ordering::Release);
        Ok(())
    }

    /// The list to publish. Entries whose tokens have all expired at `now` go.
    pub fn published(&self, now: Moment) -> RevocationList {
        let covered = (MAX_LIFETIME.as_secs() + 2 * LEEWAY).cast_signed();
        let is_needed = |before: Moment| before.plus_seconds(covered) >= now;
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        if all.values().any(|before| !is_needed(*before)) {
            Arc::make_mut(&mut all).retain(|_, before| is_needed(*before));
        }
        let entry = |(hash, before): (&Hash, &Moment)| Revocation {
            hash: URL_SAFE_NO_PAD.encode(hash),
            before: before.micros(),
        };
        RevocationList { revocations: all.iter().map(entry).collect() }
    }

    /// Whether a token with these claims is revoked.
    pub fn refuse(&self, claims: &Claims) -> bool {
        // A token does not say whether it was issued for a session or for a key.
        let subjects =
            [Subject::Session(claims.sid), Subject::Key(claims.sid), Subject::User(claims.sub)];
        self.refuse_any(&subjects, claims.issued())
    }

    /// Whether a token of this user that an outside issuer made is revoked. The clock of that
    /// issuer may be ahead by the leeway, so tokens count as issued that much earlier. The time is
    /// in seconds since 1970 in UTC.
    pub fn refuse_user(&self, user: Uuid, issued_at: i64) -> bool {
        let issued = Moment::of_seconds(issued_at).plus_seconds(-LEEWAY.cast_signed());
        self.refuse_any(&[Subject::User(user)], issued)
    }

    fn refuse_any(&self, subjects: &[Subject], issued: Moment) -> bool {
        let all = Arc::clone(&self.all.read().unwrap_or_else(PoisonError::into_inner));
        let is_revoked =
            |subject: &Subject| all.get(&subject.hash()).is_some_and(|before| issued <= *before);
        !all.is_empty() && subjects.iter().any(is_revoked)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const ADA: Uuid = Uuid::from_u128(1);
    const SESSION: Uuid = Uuid::from_u128(2);

    fn micros(micros: i64) -> Moment {
        Moment::of_micros(micros)
    }

    /// A token of a moment in microseconds.
    fn claims(at: i64) -> Claims {
        let iat = micros(at).seconds();
        Claims {
            iss: String::new(),
            aud: String::new(),
            sub: ADA,
            client_id: String::new(),
            iat,
            iat_us: Some(at),
            exp: iat + 300,
            jti: Uuid::nil(),
            sid: SESSION,
            scope: String::new(),
            roles: Vec::new(),
        }
    }

    #[test]
    fn what_is_revoked_is_refused_up_to_that_moment_and_later_tokens_count() {
        for subject in [Subject::Session(SESSION), Subject::Key(SESSION), Subject::User(ADA)] {
            let revocations = Revocations::default();
            assert!(!revocations.refuse(&claims(100)));
            revocations.revoke(subject, micros(100));
            // An earlier time does not take back a later one.
            revocations.revoke(subject, micros(50));
            assert!(revocations.refuse(&claims(100)) && revocations.refuse(&claims(99)));
            assert!(!revocations.refuse(&claims(101)), "{subject:?}");
        }
        let revocations = Revocations::default();
        for other in [Subject::Session(ADA), Subject::Key(ADA), Subject::User(SESSION)] {
            revocations.revoke(other, micros(100));
        }
        assert!(!revocations.refuse(&claims(100)), "those are others");
    }

    #[test]
    fn a_published_list_says_the_same_elsewhere_and_no_id() {
        let (here, there) = (Revocations::default(), Revocations::default());
        here.revoke(Subject::User(ADA), micros(100));
        let text = serde_json::to_vec(&here.published(micros(100))).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(&ADA.to_string()));
        there.learn(&text).unwrap();
        assert!(there.refuse(&claims(100)) && !there.refuse(&claims(101)));
        for wrong in ["", "{}", r#"{"revocations": [{"hash": "AA", "before": 1}]}"#] {
            assert!(there.learn(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(there.refuse(&claims(100)), "a wrong list changes nothing");
    }

    #[test]
    fn what_is_listed_is_added_and_takes_nothing_back() {
        let revocations = Revocations::unknown();
        assert!(!revocations.is_known());
        revocations.revoke(Subject::User(ADA), micros(100));
        assert!(!revocations.is_known(), "one revocation is not the list");
        revocations.merge([
            (Subject::User(ADA).hash(), micros(50)),
            (Subject::Key(SESSION).hash(), micros(120)),
        ]);
        assert!(revocations.is_known());
        assert!(revocations.refuse(&claims(120)) && !revocations.refuse(&claims(121)));
        revocations.merge([]);
        assert!(revocations.refuse(&claims(120)));
        let before = |subject: Subject| revocations.all.read().unwrap()[&subject.hash()];
        assert_eq!(
            (before(Subject::User(ADA)), before(Subject::Key(SESSION))),
            (micros(100), micros(120))
        );
    }

    #[test]
    fn a_list_that_was_read_makes_it_known_what_is_revoked() {
        let revocations = Revocations::unknown();
        assert!(revocations.learn(b"{}").is_err() && !revocations.is_known());
        revocations.learn(br#"{"revocations": []}"#).unwrap();
        assert!(revocations.is_known());
    }

    #[test]
    fn an_entry_goes_when_its_tokens_have_expired_whatever_the_clocks_say() {
        let revocations = Revocations::default();
        revocations.revoke(Subject::User(ADA), Moment::of_seconds(1_000));
        assert_eq!(revocations.published(Moment::of_seconds(1_360)).revocations.len(), 1);
        assert!(revocations.published(Moment::of_seconds(1_360).next()).revocations.is_empty());
        assert!(!revocations.refuse(&claims(1_000_000_000)));
    }

    #[test]
    fn a_token_without_the_exact_time_is_refused_by_a_revocation_in_its_second() {
        let revocations = Revocations::default();
        revocations.revoke(Subject::User(ADA), micros(100_000_007));
        let inexact = |iat: i64| Claims { iat_us: None, ..claims(iat * 1_000_000) };
        assert!(revocations.refuse(&inexact(100)) && !revocations.refuse(&inexact(101)));
        assert!(revocations.refuse(&claims(100_000_007)));
        assert!(!revocations.refuse(&claims(100_000_008)));
    }
}
