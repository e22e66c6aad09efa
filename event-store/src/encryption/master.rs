//! Subject keys and the interface that wraps them. The default is a master key from a file or the
//! environment; a KMS can replace it.

use aes_gcm_siv::aead::{Aead as _, Payload};
use aes_gcm_siv::{Aes256GcmSiv, KeyInit as _, Nonce};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::{Rng as _, TryRngCore as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::keys::{SubjectKeyStore, WrappedKey};
use crate::error::KeyError;

const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;
const WRAP_VERSION: u8 = 1;
/// The number of keys to rewrap at a time.
const ROTATE_PAGE: u32 = 1_000;
/// The number of stored keys of which at least one must open before a process writes.
const CHECKED: u32 = 100;
/// The maximum number of master keys in a file: the current one and its predecessors.
const MAX_MASTER_KEYS: usize = 16;

/// The key of one subject. It is wiped from memory on drop and never printed.
#[derive(Clone)]
pub struct SubjectKey(Zeroizing<[u8; KEY_LEN]>);

impl SubjectKey {
    /// Makes a fresh key from the operating system's source of randomness.
    ///
    /// # Panics
    /// When the operating system provides no randomness: a key cannot be made without it.
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0_u8; KEY_LEN]);
        #[expect(
            clippy::expect_used,
            reason = "without randomness there is no key, and a weak one would be worse than a \
                panic"
        )]
        rand::rngs::OsRng
            .try_fill_bytes(bytes.as_mut())
            .expect("the operating system gives randomness");
        Self(bytes)
    }

    /// Makes a key from bytes that [`MasterKeys`] unwrapped.
    pub fn from_bytes(bytes: Zeroizing<[u8; KEY_LEN]>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, for wrapping and encrypting.
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl std::fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubjectKey(..)")
    }
}

/// A service that wraps and unwraps subject keys. It takes many at a time, since a KMS is a network
/// call away.
#[async_trait]
pub trait MasterKeys: Send + Sync + 'static {
    /// The name of the current master key. It is stored next to each wrapped key.
    fn current(&self) -> &str;

    /// Wraps each subject's key under the current master key, bound to the subject.
    ///
    /// # Errors
    /// [`KeyError::Unavailable`] when the service does not answer now.
    async fn wrap(&self, keys: &[(Uuid, SubjectKey)]) -> Result<Vec<WrappedKey>, KeyError>;

    /// Unwraps each key with the master key that wrapped it.
    ///
    /// # Errors
    /// [`KeyError::MasterKey`] when a key's master key is not available or the key cannot be
    /// unwrapped.
    async fn unwrap(&self, wrapped: &[(Uuid, WrappedKey)]) -> Result<Vec<SubjectKey>, KeyError>;
}

/// The error when a text is not a list of master keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 1 to {MAX_MASTER_KEYS} lines, each base64 of {KEY_LEN} bytes")]
pub struct InvalidMasterKey;

/// The master keys of this process: the first wraps, all unwrap.
///
/// To rotate, add the new key as the last line everywhere, then move it to the first line. Then run
/// [`rotate`] and remove the old key.
pub struct LocalMasterKeys {
    keys: Vec<(String, Zeroizing<[u8; KEY_LEN]>)>,
}

impl LocalMasterKeys {
    /// Parses one key per line, each 32 bytes in base64. The first is the current one.
    ///
    /// # Errors
    /// [`InvalidMasterKey`]; the error does not repeat the text.
    pub fn parse(text: &SecretString) -> Result<Self, InvalidMasterKey> {
        let lines = text.expose_secret().lines().map(str::trim).filter(|line| !line.is_empty());
        let keys = lines.map(|line| {
            let bytes = Zeroizing::new(STANDARD.decode(line).ok()?);
            let key = Zeroizing::new(<[u8; KEY_LEN]>::try_from(bytes.as_slice()).ok()?);
            Some((name_of(&key), key))
        });
        let keys: Option<Vec<_>> = keys.collect();
        match keys {
            Some(keys) if (1..=MAX_MASTER_KEYS).contains(&keys.len()) => Ok(Self { keys }),
            _ => Err(InvalidMasterKey),
        }
    }

    fn find(&self, name: &str) -> Option<&[u8; KEY_LEN]> {
        self.keys.iter().find(|(known, _)| known == name).map(|(_, key)| &**key)
    }
}

impl std::fmt::Debug for LocalMasterKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(name, _)| name)).finish()
    }
}

/// Derives a master key's name from the key without revealing anything of it.
fn name_of(key: &[u8; KEY_LEN]) -> String {
    let digest = Sha256::new().chain_update(b"master key name").chain_update(key).finalize();
    hex::encode(&digest[..8])
}

/// The associated data that binds a wrapped key to its subject.
fn associated(subject: Uuid) -> Vec<u8> {
    [b"subject key".as_slice(), &[WRAP_VERSION], subject.as_bytes()].concat()
}

#[async_trait]
impl MasterKeys for LocalMasterKeys {
    fn current(&self) -> &str {
        self.keys.first().map_or("", |(name, _)| name)
    }

    async fn wrap(&self, keys: &[(Uuid, SubjectKey)]) -> Result<Vec<WrappedKey>, KeyError> {
        let (name, master) = self.keys.first().ok_or(KeyError::MasterKey)?;
        let cipher = Aes256GcmSiv::new((&**master).into());
        let wrapped = keys.iter().map(|(subject, key)| {
            let mut nonce = [0_u8; NONCE_LEN];
            rand::rng().fill(&mut nonce);
            let payload = Payload { msg: key.expose(), aad: &associated(*subject) };
            let encrypted =
                cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| KeyError::MasterKey)?;
            Ok(WrappedKey {
                master: name.clone(),
                bytes: [&[WRAP_VERSION], nonce.as_slice(), &encrypted].concat(),
            })
        });
        wrapped.collect()
    }

    async fn unwrap(&self, wrapped: &[(Uuid, WrappedKey)]) -> Result<Vec<SubjectKey>, KeyError> {
        let opened = wrapped.iter().map(|(subject, wrapped)| {
            let master = self.find(&wrapped.master)?;
            let (version, rest) = wrapped.bytes.split_first()?;
            let (nonce, encrypted) =
                rest.split_first_chunk::<NONCE_LEN>().filter(|_| *version == WRAP_VERSION)?;
            let payload = Payload { msg: encrypted, aad: &associated(*subject) };
            let plain =
                Aes256GcmSiv::new(master.into()).decrypt(&Nonce::from(*nonce), payload).ok()?;
            let plain = Zeroizing::new(plain);
            Some(SubjectKey(Zeroizing::new(<[u8; KEY_LEN]>::try_from(plain.as_slice()).ok()?)))
        });
        opened.map(|key| key.ok_or(KeyError::MasterKey)).collect()
    }
}

/// Checks that the master keys belong to the key store: one of the oldest keys opens, or there is
/// none yet. Check before the first write: values under a foreign master key cannot be read by the
/// others. A single key that does not open is not decisive, so that it stops nobody else.
///
/// # Errors
/// [`KeyError::ForeignMasterKey`] when no key opens, or [`KeyError`] when they cannot be read.
pub async fn check(keys: &dyn SubjectKeyStore, master: &dyn MasterKeys) -> Result<(), KeyError> {
    // No master key has the empty name, so these are keys of any.
    let stored = keys.not_wrapped_by("", CHECKED).await?;
    if stored.is_empty() {
        return Ok(());
    }
    for key in &stored {
        match master.unwrap(std::slice::from_ref(key)).await {
            Ok(_) => return Ok(()),
            Err(KeyError::MasterKey) => {}
            Err(error) => return Err(error),
        }
    }
    Err(KeyError::ForeignMasterKey)
}

/// Rewraps under the current master key every key that another one wraps, and returns their number.
/// No event changes. It is safe to run twice or concurrently.
///
/// # Errors
/// [`KeyError`]; keys rewrapped by then stay so.
pub async fn rotate(keys: &dyn SubjectKeyStore, master: &dyn MasterKeys) -> Result<u64, KeyError> {
    let mut rotated = 0;
    loop {
        let page = keys.not_wrapped_by(master.current(), ROTATE_PAGE).await?;
        if page.is_empty() {
            return Ok(rotated);
        }
        let opened = master.unwrap(&page).await?;
        let opened: Vec<(Uuid, SubjectKey)> =
            page.iter().map(|(subject, _)| *subject).zip(opened).collect();
        let fresh = master.wrap(&opened).await?;
        let changes =
            page.into_iter().zip(fresh).map(|((subject, old), new)| (subject, old, new)).collect();
        rotated += keys.rewrap(changes).await?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::encryption::MemoryKeys;

    fn master(seeds: &[u8]) -> LocalMasterKeys {
        let lines: Vec<String> =
            seeds.iter().map(|seed| STANDARD.encode([*seed; KEY_LEN])).collect();
        LocalMasterKeys::parse(&lines.join("\n").into()).unwrap()
    }

    #[tokio::test]
    async fn a_key_opens_for_its_subject_and_under_its_master_key_alone() {
        let (subject, key) = (Uuid::from_u128(1), SubjectKey::random());
        let wrapped = master(&[1]).wrap(&[(subject, key.clone())]).await.unwrap().remove(0);
        for holder in [master(&[1]), master(&[2, 1])] {
            let opened = holder.unwrap(&[(subject, wrapped.clone())]).await.unwrap();
            assert_eq!(opened[0].expose(), key.expose());
            let other = holder.unwrap(&[(Uuid::from_u128(2), wrapped.clone())]).await;
            assert!(matches!(other, Err(KeyError::MasterKey)), "{other:?}");
        }
        let other = master(&[2]).unwrap(&[(subject, wrapped)]).await;
        assert!(matches!(other, Err(KeyError::MasterKey)), "{other:?}");
    }

    #[tokio::test]
    async fn master_keys_belong_to_a_store_if_one_of_its_keys_opens() {
        let keys = MemoryKeys::new();
        assert!(check(&keys, &master(&[9])).await.is_ok(), "there is no key yet");
        for (number, seed) in [(1, 1), (2, 2)] {
            let key = [(Uuid::from_u128(number), SubjectKey::random())];
            let wrapped = master(&[seed]).wrap(&key).await.unwrap().remove(0);
            keys.ensure(&[(key[0].0, wrapped)]).await.unwrap();
        }
        for seeds in [&[1][..], &[2], &[9, 1], &[2, 1]] {
            assert!(check(&keys, &master(seeds)).await.is_ok(), "{seeds:?}");
        }
        let foreign = check(&keys, &master(&[9, 8])).await;
        assert!(matches!(foreign, Err(KeyError::ForeignMasterKey)), "{foreign:?}");
    }

    #[test]
    fn a_text_that_is_no_master_key_is_refused_without_being_repeated() {
        for text in [
            "",
            "canary",
            "Y2FuYXJ5",
            &vec![STANDARD.encode([1; KEY_LEN]); MAX_MASTER_KEYS + 1].join("\n"),
        ] {
            let error = LocalMasterKeys::parse(&SecretString::from(text)).unwrap_err();
            assert!(
                !format!("{error} {error:?}").contains("canary")
                    && !format!("{error:?}").contains("Y2Fu"),
                "{error:?}"
            );
        }
        assert!(!format!("{:?}", master(&[1])).contains("AQEB"));
    }
}
