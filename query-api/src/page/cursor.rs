//! Cursors: a signed pointer to the next page of a list, bound to the list's name, filter and sort.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::signing::{KeyError, SigningKey};
use sha2::{Digest as _, Sha256};

const PURPOSE: &str = "page-cursor.1";
/// What the seed of tags is derived for.
const OF_TAGS: &str = "list-etag.1";

/// The key that signs cursors.
#[derive(Debug, Clone)]
pub struct CursorKey {
    key: SigningKey,
    seed: u64,
}

/// The list that a cursor belongs to: a digest of the list's name, filter and sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListId([u8; 16]);

/// Why a cursor is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// The signature is not ours.
    #[error("it is not one that this API made")]
    Foreign,
    /// Another version made the cursor, and its content has another form.
    #[error("it is not one that this version made")]
    OtherVersion,
    /// The cursor was made for another list.
    #[error("it belongs to a list with another filter or sort")]
    OtherList,
}

#[derive(Serialize, Deserialize)]
struct Payload(String, Value);

impl CursorKey {
    /// Makes the key from its base64 text.
    ///
    /// # Errors
    /// [`KeyError`] if the text is not base64 or the key is too short.
    pub fn from_secret(secret: &SecretString) -> Result<Self, KeyError> {
        let key = SigningKey::from_secret(secret)?;
        let seed = key.seed(OF_TAGS);
        Ok(Self { key, seed })
    }

    /// The seed of the tags of lists. It is the same in all processes with this key.
    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    /// Signs a cursor that points after the row with this key: the columns that the list is sorted
    /// by.
    pub fn sign(&self, list: ListId, key: Value) -> String {
        let payload = Value::from(vec![Value::String(list.text()), key]);
        self.key.sign(PURPOSE, payload.to_string().as_bytes())
    }

    /// Verifies a cursor and returns the key after which the list continues.
    ///
    /// # Errors
    /// [`CursorError`] says why the cursor is refused.
    pub fn verify(&self, list: ListId, cursor: &str) -> Result<Value, CursorError> {
        let bytes = self.key.verify(PURPOSE, cursor).map_err(|_| CursorError::Foreign)?;
        let Payload(of, key) =
            serde_json::from_slice(&bytes).map_err(|_| CursorError::OtherVersion)?;
        if of == list.text() { Ok(key) } else { Err(CursorError::OtherList) }
    }
}

impl ListId {
    /// The digest of a list. `name` must be unique, such as the list's path, and `filter` is the
    /// filter and sort in a canonical form.
    pub fn new(name: &str, filter: &impl Serialize) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(name.as_bytes());
        hasher.update([0]);
        // A filter is a plain struct of text, so it always serialises. If one did not, the cursors
        // of its lists would only not differ.
        hasher.update(serde_json::to_vec(filter).unwrap_or_default());
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize()[..16]);
        Self(id)
    }

    /// The digest as text.
    pub(crate) fn text(self) -> String {
        uuid::Uuid::from_bytes(self.0).simple().to_string()
    }
}
