//! Consistency tokens: a command returns one, and a query can wait for it. A token names a position
//! in one history (the epoch and the id of the event at that position). It is signed with a key
//! that both APIs share, so nobody can forge one.

use secrecy::SecretString;
use uuid::Uuid;

use crate::problem::Problem;
use crate::signing::{KeyError, SignatureError, SigningKey};

/// The header that carries a token in requests and answers.
pub const CONSISTENCY_TOKEN: axum::http::HeaderName =
    axum::http::HeaderName::from_static("consistency-token");

/// The header with the position that an answer without `meta` shows, such as an export.
pub const DATA_POSITION: axum::http::HeaderName =
    axum::http::HeaderName::from_static("data-position");
/// The header with how old the data is, in seconds, as `lag_seconds` in the metadata of answers.
pub const DATA_LAG: axum::http::HeaderName =
    axum::http::HeaderName::from_static("data-lag-seconds");
/// The header with the epoch that [`DATA_POSITION`] belongs to.
pub const DATA_EPOCH: axum::http::HeaderName = axum::http::HeaderName::from_static("data-epoch");
/// The header that says `true` if the data behind such an answer lack events.
pub const DATA_STALE: axum::http::HeaderName = axum::http::HeaderName::from_static("data-stale");

const PURPOSE: &str = "consistency-token";
const FORM: u8 = 1;
const BYTES: usize = 1 + 16 + 8 + 16;

/// The key that signs consistency tokens.
#[derive(Debug, Clone)]
pub struct TokenKey(SigningKey);

impl TokenKey {
    /// Decodes the key from base64.
    ///
    /// # Errors
    /// [`KeyError`] if the text is not base64 or the key is too short.
    pub fn from_secret(secret: &SecretString) -> Result<Self, KeyError> {
        SigningKey::from_secret(secret).map(Self)
    }
}

/// A position in one history, which a query can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsistencyToken {
    /// The epoch: identifies one history of the log.
    pub epoch: Uuid,
    /// The position that a query must have reached.
    pub position: i64,
    /// The id of the event at that position.
    pub event_id: Uuid,
}

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is forged, changed or truncated.
    #[error("the consistency token is not one that this system made")]
    Invalid,
    /// The request has more than one token.
    #[error("there is more than one consistency token")]
    Repeated,
    /// The token belongs to a history that has ended.
    #[error("the consistency token belongs to another history of the data")]
    OtherEpoch,
}

impl ConsistencyToken {
    /// Encodes and signs the token: opaque text, safe in a header and in a query.
    ///
    /// ```
    /// # use service_kit::consistency::{ConsistencyToken, TokenKey};
    /// # use uuid::Uuid;
    /// # let key = TokenKey::from_secret(&"A".repeat(44).into()).unwrap();
    /// let (epoch, event_id) = (Uuid::now_v7(), Uuid::now_v7());
    /// let token = ConsistencyToken { epoch, position: 7, event_id };
    /// assert_eq!(ConsistencyToken::verify(&token.sign(&key), &key), Ok(token));
    /// ```
    pub fn sign(&self, key: &TokenKey) -> String {
        let mut payload = Vec::with_capacity(BYTES);
        payload.push(FORM);
        payload.extend_from_slice(self.epoch.as_bytes());
        payload.extend_from_slice(&self.position.to_be_bytes());
        payload.extend_from_slice(self.event_id.as_bytes());
        key.0.sign(PURPOSE, &payload)
    }

    /// Decodes a token and verifies its signature.
    ///
    /// # Errors
    /// [`TokenError::Invalid`].
    pub fn verify(text: &str, key: &TokenKey) -> Result<Self, TokenError> {
        let payload =
            key.0.verify(PURPOSE, text).map_err(|_: SignatureError| TokenError::Invalid)?;
        let payload: [u8; BYTES] = payload.try_into().map_err(|_| TokenError::Invalid)?;
        let (form, rest) = payload.split_first().ok_or(TokenError::Invalid)?;
        let (epoch, rest) = rest.split_first_chunk::<16>().ok_or(TokenError::Invalid)?;
        let (position, rest) = rest.split_first_chunk::<8>().ok_or(TokenError::Invalid)?;
        let (event_id, _) = rest.split_first_chunk::<16>().ok_or(TokenError::Invalid)?;
        if *form != FORM {
            return Err(TokenError::Invalid);
        }
        Ok(Self {
            epoch: Uuid::from_bytes(*epoch),
            position: i64::from_be_bytes(*position),
            event_id: Uuid::from_bytes(*event_id),
        })
    }

    /// Checks that the token belongs to this history.
    ///
    /// # Errors
    /// [`TokenError::OtherEpoch`] if it does not.
    pub fn check_epoch(&self, epoch: Uuid) -> Result<(), TokenError> {
        if self.epoch == epoch { Ok(()) } else { Err(TokenError::OtherEpoch) }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Invalid | TokenError::Repeated => Self::bad_request(
                "consistency-token-invalid",
                "The consistency token is not \
                    valid",
            )
            .detail(error.to_string()),
            TokenError::OtherEpoch => Self::conflict(
                "consistency-token-other-epoch",
                "The consistency token is of \
                    another history",
            )
            .detail(
                "the data was restored to an earlier state after the token was made: \
                        read again without it",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_forged_token_and_one_of_another_epoch_are_told_apart() {
        let key = TokenKey::from_secret(&"A".repeat(44).into()).unwrap();
        let other = TokenKey::from_secret(&"B".repeat(44).into()).unwrap();
        let token =
            ConsistencyToken { epoch: Uuid::now_v7(), position: 42, event_id: Uuid::now_v7() };
        assert_eq!(ConsistencyToken::verify(&token.sign(&other), &key), Err(TokenError::Invalid));
        assert_eq!(ConsistencyToken::verify("nonsense", &key), Err(TokenError::Invalid));
        assert_eq!(token.check_epoch(Uuid::now_v7()), Err(TokenError::OtherEpoch));
        assert_eq!(token.check_epoch(token.epoch), Ok(()));
        assert_eq!(Problem::from(TokenError::Invalid).status(), 400);
        assert_eq!(Problem::from(TokenError::OtherEpoch).status(), 409);
    }
}
