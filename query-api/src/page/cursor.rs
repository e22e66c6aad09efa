//! Cursors: where the next page of a list begins, signed, and bound to the list's path, filter
//! and sort.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::Problem;
use service_kit::signing::{KeyError, SigningKey};
use sha2::{Digest as _, Sha256};

const PURPOSE: &str = "page-cursor.1";

/// The key that signs cursors.
#[derive(Debug, Clone)]
pub struct CursorKey(SigningKey);

/// What a cursor belongs to: a digest of the list's path, filter and sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListId([u8; 16]);

#[derive(Serialize, Deserialize)]
struct Payload(String, Value);

impl CursorKey {
    /// Takes the key from its base64 text.
    ///
    /// # Errors
    /// [`KeyError`]: not base64 or too short.
    pub fn from_secret(secret: &SecretString) -> Result<Self, KeyError> {
        SigningKey::from_secret(secret).map(Self)
    }

    pub(crate) fn sign(&self, list: ListId, key: Value) -> String {
        let payload = Value::from(vec![Value::String(list.text()), key]);
        self.0.sign(PURPOSE, payload.to_string().as_bytes())
    }

    /// The key behind which the list goes on.
    pub(crate) fn verify(&self, list: ListId, cursor: &str) -> Result<Value, Problem> {
        let bytes = self
            .0
            .verify(PURPOSE, cursor)
            .map_err(|_| invalid("it is not one that this API made"))?;
        let Payload(of, key) = serde_json::from_slice(&bytes)
            .map_err(|_| invalid("it is not one that this version made"))?;
        if of == list.text() {
            Ok(key)
        } else {
            Err(invalid("it belongs to a list with another filter or sort"))
        }
    }
}

impl ListId {
    /// `filter` is the filter and sort in a canonical form.
    pub(crate) fn new(path: &str, filter: &impl Serialize) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(path.as_bytes());
        hasher.update([0]);
        // A filter is a plain struct of text: it always serialises; if it did not, its cursors
        // would merely not differ.
        hasher.update(serde_json::to_vec(filter).unwrap_or_default());
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize()[..16]);
        Self(id)
    }

    fn text(self) -> String {
        uuid::Uuid::from_bytes(self.0).simple().to_string()
    }
}

fn invalid(detail: &str) -> Problem {
    Problem::bad_request("cursor-invalid", "The cursor is not valid").detail(detail)
}
