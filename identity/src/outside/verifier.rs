//! Verifies access tokens of an outside issuer.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use access::{Caller, Grants, Principal};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation};
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use uuid::Uuid;

use super::claims::{ClaimName, Said};
use super::keys::Keys;
use super::settings::{RoleMap, TokenType};
use super::url::SafeUrl;
use crate::signing::TYPE;
use crate::verifier::{
    Fingerprint, InvalidToken, LEEWAY, MAX_REMEMBERED, MAX_TOKEN_LEN, is_of_type,
    names_its_key_by_id_only, now, reason,
};

/// The type of a token that is of no special type (RFC 7519, section 5.1).
const PLAIN: &str = "jwt";
/// The claims that only ID tokens have (OpenID Connect Core, sections 3.1.3.6 and 3.3.2.11).
const OF_ID_TOKENS: [&str; 2] = ["at_hash", "c_hash"];
/// The maximum length of a subject, in bytes (OpenID Connect Core, section 2).
const MAX_SUBJECT_LEN: usize = 255;
/// The maximum length of the name of a client, in bytes. A longer one is left out.
const MAX_CLIENT_LEN: usize = 100;

/// Which tokens count, and what they let their holders do.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) issuer: SafeUrl,
    pub(super) audience: String,
    pub(super) token_type: TokenType,
    /// The claim with the id of the user. Without it, the id is derived.
    pub(super) user_claim: Option<ClaimName>,
    /// What every holder may do.
    pub(super) everybody: Grants,
    pub(super) roles: Option<(ClaimName, RoleMap)>,
    /// How long a token counts after it was issued, in seconds.
    pub(super) max_age: i64,
    /// How long keys count after they were fetched, in seconds.
    pub(super) max_stale: i64,
    /// After this time an unknown key is worth another fetch, in seconds.
    pub(super) fetch_again: i64,
}

/// Verifies the access tokens of one outside issuer. A verified token is remembered by its hash
/// until it expires.
#[derive(Debug)]
pub struct OutsideVerifier {
    rules: Rules,
    validation: Validation,
    keys: RwLock<Option<Arc<Keys>>>,
    /// When the keys were fetched last, in seconds since 1970 in UTC.
    fetched_at: AtomicI64,
    /// Whether a token named a key that may be newer than the known ones.
    wanted: AtomicBool,
    wake: Notify,
    /// A token counts only with the keys that verified it.
    remembered: Cache<Fingerprint, (Arc<Keys>, Arc<Outsider>)>,
}

/// The holder of a token of an outside issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outsider {
    /// Who calls, and what they may do.
    pub caller: Caller,
    /// The id of the user.
    pub user: Uuid,
    /// When the token was issued, in seconds since 1970 in UTC.
    pub issued_at: i64,
    /// From when it is no longer accepted, in seconds since 1970 in UTC.
    pub ends_at: i64,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// The token does not count.
    #[error(transparent)]
    Invalid(#[from] InvalidToken),
    /// The key is not known, and the issuer was not asked since. The next fetch may bring the key.
    #[error("the key that the token names is not known yet")]
    NotKnownYet,
}

impl OutsideVerifier {
    /// Creates a verifier that knows no key yet.
    pub(super) fn new(rules: Rules) -> Self {
        // The algorithm is that of the key, set for each token.
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[rules.issuer.as_str()]);
        validation.set_audience(&[&rules.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        Self {
            rules,
            validation,
            keys: RwLock::new(None),
            fetched_at: AtomicI64::new(i64::MIN),
            wanted: AtomicBool::new(false),
            wake: Notify::new(),
            remembered: Cache::new(MAX_REMEMBERED),
        }
    }

    /// The address of the issuer, as its tokens name it (`iss`).
    pub(super) const fn issuer(&self) -> &SafeUrl {
        &self.rules.issuer
    }

    /// Whether the token names this issuer. Nothing is verified yet.
    pub fn is_for(&self, token: &str) -> bool {
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow)]
            iss: Cow<'a, str>,
        }
        let claims = token.split('.').nth(1).filter(|_| token.len() <= MAX_TOKEN_LEN);
        let claims = claims.and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
        let issuer = claims.as_ref().and_then(|claims| serde_json::from_slice(claims).ok());
        issuer.is_some_and(|Named { iss }| iss == self.rules.issuer.as_str())
    }

    /// Verifies the signature and the claims of an access token of this issuer.
    ///
    /// # Errors
    /// [`NotAccepted`]: the token is not valid, or its key is not known yet.
    pub fn verify(&self, token: &str) -> Result<Arc<Outsider>, NotAccepted> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(InvalidToken::TooLong.into());
        }
        let keys = self.known().ok_or(NotAccepted::NotKnownYet)?;
        let fingerprint: Fingerprint = Sha256::digest(token.as_bytes()).into();
        let remembered = self.remembered.get(&fingerprint);
        if let Some((_, outsider)) = remembered.filter(|(by, _)| Arc::ptr_eq(by, &keys)) {
            return if outsider.has_ended() {
                self.remembered.remove(&fingerprint);
                Err(InvalidToken::Expired.into())
            } else {
                Ok(outsider)
            };
        }
        let outsider = Arc::new(self.check(token, &keys)?);
        self.remembered.insert(fingerprint, (keys, Arc::clone(&outsider)));
        Ok(outsider)
    }

    /// Whether there are keys that still count.
    pub fn knows_keys(&self) -> bool {
        self.known().is_some()
    }

    fn known(&self) -> Option<Arc<Keys>> {
        let is_stale = self.age() > self.rules.max_stale;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        keys.filter(|_| !is_stale)
    }

    /// How long ago the keys were fetched, in seconds.
    fn age(&self) -> i64 {
        now().saturating_sub(self.fetched_at.load(Ordering::Acquire))
    }

    /// Replaces the keys by some that were fetched at this time. Tokens of keys that are gone are
    /// refused from now on.
    pub(super) fn replace(&self, keys: Keys, fetched_at: i64) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
        self.confirm(fetched_at);
    }

    /// The known keys were fetched again at this time.
    pub(super) fn confirm(&self, fetched_at: i64) {
        self.fetched_at.store(fetched_at, Ordering::Release);
    }

    /// Whether a token named a key that may be newer than the known ones.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Records that a fetch is done, so nothing newer is wanted.
    pub(super) fn mark_fetched(&self) {
        self.wanted.store(false, Ordering::Release);
    }

    /// Waits until something newer is wanted.
    pub(super) async fn wanting(&self) {
        self.wake.notified().await;
    }

    /// The answer to a token whose key is not known. Right after a fetch, there is no such key.
    /// Later, a fetch is wanted first. Only the first of many tokens wakes the fetching task.
    fn unknown_key(&self) -> NotAccepted {
        if self.age() < self.rules.fetch_again {
            return InvalidToken::UnknownKey.into();
        }
        if !self.wanted.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
        NotAccepted::NotKnownYet
    }

    fn check(&self, token: &str, keys: &Keys) -> Result<Outsider, NotAccepted> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| InvalidToken::Malformed)?;
        let is_plain = self.rules.token_type == TokenType::Any && is_of_type(&header, PLAIN);
        if !(is_of_type(&header, TYPE) || is_plain) || !names_its_key_by_id_only(&header) {
            return Err(InvalidToken::NotAccess.into());
        }
        let id = header.kid.as_deref().ok_or(InvalidToken::UnknownKey)?;
        let Some(key) = keys.get(id) else { return Err(self.unknown_key()) };
        if header.alg != key.algorithm {
            return Err(InvalidToken::NotAccess.into());
        }
        let validation = Validation { algorithms: vec![key.algorithm], ..self.validation.clone() };
        let said = jsonwebtoken::decode::<Said>(token, &key.decoding, &validation);
        let said = said.map_err(|error| reason(error.kind()))?.claims;
        Ok(self.outsider(&said)?)
    }

    /// The holder of a token whose signature, issuer and audience are right.
    fn outsider(&self, said: &Said) -> Result<Outsider, InvalidToken> {
        if OF_ID_TOKENS.iter().any(|claim| said.get(claim).is_some()) {
            return Err(InvalidToken::NotAccess);
        }
        let time = |name| said.time(name).ok_or(InvalidToken::Malformed);
        let (issued_at, expires_at) = (time("iat")?, time("exp")?);
        if issued_at > now().saturating_add(LEEWAY.cast_signed()) || expires_at < issued_at {
            return Err(InvalidToken::Time);
        }
        let subject = said.text("sub").ok_or(InvalidToken::Malformed)?;
        let user = self.user(subject, said)?;
        let caller = Caller {
            principal: Principal::User { id: user },
            grants: self.grants(said),
            credential: self.credential(said),
            client: client(said),
        };
        let ends_at = expires_at.min(issued_at.saturating_add(self.rules.max_age));
        let outsider = Outsider { caller, user, issued_at, ends_at };
        if outsider.has_ended() { Err(InvalidToken::Expired) } else { Ok(outsider) }
    }

    /// The id of the user. A derived id is of version 5, and our own users have ids of version 7.
    /// So the issuer can speak for one of our users only if a setting lets it.
    fn user(&self, subject: &str, said: &Said) -> Result<Uuid, InvalidToken> {
        if subject.is_empty() || subject.len() > MAX_SUBJECT_LEN {
            return Err(InvalidToken::Malformed);
        }
        let Some(claim) = &self.rules.user_claim else { return Ok(self.derived(subject)) };
        let id = said.find(claim).and_then(Value::as_str);
        id.and_then(|id| id.parse().ok()).ok_or(InvalidToken::Malformed)
    }

    /// The id of the session or token at the issuer, for audits.
    fn credential(&self, said: &Said) -> Option<Uuid> {
        let named = |kind, claim| said.text(claim).map(|id| self.derived(&format!("{kind}:{id}")));
        named("session", "sid").or_else(|| named("token", "jti"))
    }

    /// An id that depends on the issuer and this name only (RFC 9562, section 5.5).
    fn derived(&self, name: &str) -> Uuid {
        let issuer = Uuid::new_v5(&Uuid::NAMESPACE_URL, self.rules.issuer.as_str().as_bytes());
        Uuid::new_v5(&issuer, name.as_bytes())
    }

    /// The rights of everybody, and those that the listed values give. Other values give none.
    fn grants(&self, said: &Said) -> Grants {
        let everybody = self.rules.everybody.clone();
        let Some((claim, roles)) = &self.rules.roles else { return everybody };
        let values = match said.find(claim) {
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        let given = values.iter().filter_map(|value| roles.get(value.as_str()?));
        given.fold(everybody, Grants::or)
    }
}

impl Outsider {
    fn has_ended(&self) -> bool {
        self.ends_at.saturating_add(LEEWAY.cast_signed()) <= now()
    }
}

/// The client that asked for the token. A name that is not plain text is left out, because it would
/// be stored.
fn client(said: &Said) -> Option<String> {
    let named = said.text("client_id").or_else(|| said.text("azp"))?;
    let is_plain = named.bytes().all(|byte| byte.is_ascii_graphic());
    (is_plain && (1..=MAX_CLIENT_LEN).contains(&named.len())).then(|| named.to_owned())
}
