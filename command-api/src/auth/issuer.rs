//! Makes access tokens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use access::Grants;
use chrono::{DateTime, Utc};
use identity::{Claims, MAX_LIFETIME, NotSigned, SigningKeys};
use secrecy::SecretString;
use uuid::Uuid;

/// Makes access tokens. Clones share the keys.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The keys that sign.
    pub keys: Arc<SigningKeys>,
    /// The name of this system in its tokens.
    pub issuer: Arc<str>,
    /// The APIs that accept the tokens.
    pub audience: Arc<str>,
}

/// Who a token is for.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// The user.
    pub user_id: Uuid,
    /// The session or API key.
    pub credential: Uuid,
    /// The client that uses it.
    pub client: String,
    /// What the user may do with this credential.
    pub standing: Standing,
}

/// What somebody may do now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The names of the roles.
    pub roles: BTreeSet<String>,
    /// What the roles allow together.
    pub grants: Grants,
    /// Seconds since 1970: tokens that were issued then or earlier are refused.
    pub revoked_before: Option<i64>,
}

/// An access token with its lifetime.
#[derive(Debug)]
pub struct AccessToken {
    /// The signed text.
    pub text: SecretString,
    /// How long it is valid.
    pub lifetime: Duration,
    /// What it allows.
    pub grants: Grants,
}

impl Issuer {
    /// Signs an access token for [`MAX_LIFETIME`].
    ///
    /// A token that is issued in the second of a revocation counts as issued in the next one, since
    /// it would be refused otherwise. Verifiers tolerate that much.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn issue(&self, bearer: Bearer, now: DateTime<Utc>) -> Result<AccessToken, NotSigned> {
        let Bearer { user_id, credential, client, standing } = bearer;
        let now = now.timestamp();
        let iat = standing.revoked_before.map_or(now, |before| now.max(before.saturating_add(1)));
        let seconds = i64::try_from(MAX_LIFETIME.as_secs()).unwrap_or(i64::MAX);
        let claims = Claims {
            iss: self.issuer.to_string(),
            aud: self.audience.to_string(),
            sub: user_id,
            client_id: client,
            iat,
            exp: iat.saturating_add(seconds),
            jti: Uuid::now_v7(),
            sid: credential,
            scope: standing.grants.to_string(),
            roles: standing.roles.into_iter().collect(),
        };
        let text = SecretString::from(self.keys.sign(&claims)?);
        Ok(AccessToken { text, lifetime: MAX_LIFETIME, grants: standing.grants })
    }
}
