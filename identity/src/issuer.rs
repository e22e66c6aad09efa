//! Makes access tokens for holders.

use std::time::Duration;

use access::Grants;
use uuid::Uuid;

use crate::claims::{Claims, MAX_LIFETIME};
use crate::moment::Moment;
use crate::signing::{NotSigned, SigningKeys};

/// Issues access tokens in the name of one issuer, for one audience.
#[derive(Debug)]
pub struct Issuer {
    keys: SigningKeys,
    name: String,
    audience: String,
}

/// Who gets a token, and what the token lets them do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The user.
    pub user: Uuid,
    /// The id of the session or API key that the token is issued for.
    pub credential: Uuid,
    /// The client that asked for the token, such as a frontend or the name of an API key.
    pub client: String,
    /// What the token lets its holder do.
    pub grants: Grants,
    /// The names of the holder's roles.
    pub roles: Vec<String>,
}

impl Issuer {
    /// An issuer with this name (`iss`) and these keys, for this audience (`aud`).
    pub fn new(keys: SigningKeys, name: impl Into<String>, audience: impl Into<String>) -> Self {
        Self { keys, name: name.into(), audience: audience.into() }
    }

    /// The keys that sign, with their public halves.
    pub const fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// Issues a token that is valid from `at` for `lifetime`, at most [`MAX_LIFETIME`]. Fractions
    /// of a second count for revocations only.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn issue(
        &self,
        holder: &Holder,
        at: Moment,
        lifetime: Duration,
    ) -> Result<String, NotSigned> {
        let lifetime = lifetime.min(MAX_LIFETIME).as_secs();
        let now = at.seconds();
        self.keys.sign(&Claims {
            iss: self.name.clone(),
            aud: self.audience.clone(),
            sub: holder.user,
            client_id: holder.client.clone(),
            iat: now,
            iat_us: Some(at.micros()),
            exp: now.saturating_add_unsigned(lifetime),
            jti: Uuid::now_v7(),
            sid: holder.credential,
            scope: holder.grants.to_string(),
            roles: holder.roles.clone(),
        })
    }
}
