//! The secrets that sign webhooks, by the rules of [Standard
//! Webhooks](https://www.standardwebhooks.com).
//!
//! A secret is 32 random bytes. Its owner sees it once, when it is made. The database keeps it
//! wrapped by a key of the process, bound to its subscription.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use event_store::KeyError;
use event_store::encryption::{LocalMasterKeys, MasterKeys as _, SubjectKey, WrappedKey};
use hmac::{Hmac, Mac as _};
use secrecy::SecretString;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

/// What the text of a secret begins with.
const PREFIX: &str = "whsec_";

/// A secret of a subscription. It is wiped from memory on drop and never printed.
#[derive(Clone)]
pub struct Secret(SubjectKey);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Secret {
    /// A new secret.
    pub fn random() -> Self {
        Self(SubjectKey::random())
    }

    /// The text for its owner: `whsec_` and base64.
    pub fn text(&self) -> SecretString {
        let encoded = Zeroizing::new(STANDARD.encode(self.0.expose()));
        format!("{PREFIX}{}", *encoded).into()
    }

    /// The signature of a message with this id, sent at this time (seconds since 1970).
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        signature(self.0.expose(), id, timestamp, body)
    }
}

fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    // HMAC takes keys of any length. A message without a signature would be refused anyway.
    let Ok(mut mac) = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Wraps secrets for the database, and unwraps them. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Wrapping(Arc<LocalMasterKeys>);

impl Wrapping {
    /// Wraps with the first of these keys. All of them unwrap.
    pub fn new(keys: LocalMasterKeys) -> Self {
        Self(Arc::new(keys))
    }

    /// Wraps the secret of a subscription.
    ///
    /// # Errors
    /// [`KeyError::MasterKey`]: there is no key.
    pub async fn wrap(&self, subscription: Uuid, secret: &Secret) -> Result<WrappedKey, KeyError> {
        let wrapped = self.0.wrap(&[(subscription, secret.0.clone())]).await?;
        wrapped.into_iter().next().ok_or(KeyError::MasterKey)
    }

    /// Unwraps a secret of a subscription.
    ///
    /// # Errors
    /// [`KeyError::MasterKey`]: it was wrapped for another subscription, or by a key that this
    /// process does not have.
    pub async fn unwrap(
        &self,
        subscription: Uuid,
        wrapped: WrappedKey,
    ) -> Result<Secret, KeyError> {
        let unwrapped = self.0.unwrap(&[(subscription, wrapped)]).await?;
        unwrapped.into_iter().next().map(Secret).ok_or(KeyError::MasterKey)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_signature_is_that_of_others_libraries() {
        // Computed by the Python library standardwebhooks 1.1.0, of the makers of the standard.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[tokio::test]
    async fn a_secret_is_unwrapped_for_its_own_subscription_only_and_never_shown() {
        let keys = |byte| LocalMasterKeys::parse(&STANDARD.encode([byte; 32]).into()).unwrap();
        let (wrapping, secret) = (Wrapping::new(keys(1)), Secret::random());
        let (own, other) = (Uuid::now_v7(), Uuid::now_v7());
        let wrapped = wrapping.wrap(own, &secret).await.unwrap();
        let unwrapped = wrapping.unwrap(own, wrapped.clone()).await.unwrap();
        assert_eq!(unwrapped.sign("a", 1, b"b"), secret.sign("a", 1, b"b"));
        assert!(wrapping.unwrap(other, wrapped.clone()).await.is_err());
        assert!(Wrapping::new(keys(2)).unwrap(own, wrapped).await.is_err());
        assert!(secret.text().expose_secret().starts_with("whsec_"));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
