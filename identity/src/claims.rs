//! What an access token says.

use std::time::Duration;

use access::{Caller, Grants, Principal};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::moment::Moment;

/// The maximum lifetime of an access token.
pub const MAX_LIFETIME: Duration = Duration::from_mins(5);

/// The claims of an access token (RFC 9068, section 2.2). Times are seconds since 1970 in UTC,
/// except where a field says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued the token.
    pub iss: String,
    /// The APIs that the token is for.
    pub aud: String,
    /// The id of the user who holds the token.
    pub sub: Uuid,
    /// The client that asked for it, such as a frontend or the name of an API key.
    pub client_id: String,
    /// When it was issued.
    pub iat: i64,
    /// The same in microseconds. Only revocations need it: within one second a role can be taken
    /// away and a token be issued that no longer allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat_us: Option<i64>,
    /// When it expires.
    pub exp: i64,
    /// The id of the token.
    pub jti: Uuid,
    /// The id of the session or API key that it was issued for.
    pub sid: Uuid,
    /// What its holder may do, as [`Grants`] in text form.
    pub scope: String,
    /// The names of the holder's roles, for people and audits. Decisions use `scope`.
    pub roles: Vec<String>,
}

impl Claims {
    /// When the token was issued. Without the exact time it is the beginning of the second, so a
    /// revocation in that second refuses the token.
    pub fn issued(&self) -> Moment {
        self.iat_us.map_or_else(|| Moment::of_seconds(self.iat), Moment::of_micros)
    }

    /// The caller that the token stands for. A scope that this program does not know is left out:
    /// a newer program may have issued the token, and what is unknown here is not asked for here.
    pub fn caller(&self) -> Caller {
        let known = self.scope.split(' ').filter_map(|scope| scope.parse::<Grants>().ok());
        let grants = known.fold(Grants::default(), |all, one| all.or(&one));
        let principal = Principal::User { id: self.sub };
        let client = Some(self.client_id.clone());
        Caller { principal, grants, credential: Some(self.sid), client }
    }
}
