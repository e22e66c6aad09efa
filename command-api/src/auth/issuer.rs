//! Makes access tokens.

use std::collections::BTreeSet;
use std::time::Duration;

use access::Grants;
use chrono::{DateTime, Utc};
use identity::{Holder, Issuer, MAX_LIFETIME, Moment, NotSigned};
use secrecy::SecretString;
use uuid::Uuid;

/// Who a token is for.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// The id of the user.
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
    /// Tokens that were issued then or earlier are refused.
    pub revoked_before: Option<Moment>,
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

/// Signs an access token for [`MAX_LIFETIME`].
///
/// A token that is issued in the microsecond of a revocation counts as issued in the next one. It
/// would be refused otherwise.
///
/// # Errors
/// [`NotSigned`].
pub(super) fn issue(
    issuer: &Issuer,
    bearer: Bearer,
    now: DateTime<Utc>,
) -> Result<AccessToken, NotSigned> {
    let Bearer { user_id, credential, client, standing } = bearer;
    let Standing { roles, grants, revoked_before } = standing;
    let now = Moment::of_micros(now.timestamp_micros());
    let at = revoked_before.map_or(now, |before| now.max(before.next()));
    let roles = roles.into_iter().collect();
    let holder = Holder { user: user_id, credential, client, grants: grants.clone(), roles };
    let text = SecretString::from(issuer.issue(&holder, at, MAX_LIFETIME)?);
    Ok(AccessToken { text, lifetime: MAX_LIFETIME, grants })
}
