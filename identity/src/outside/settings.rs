//! The settings of an outside issuer, which both APIs have.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use access::{Grants, Role};
use service_kit::health::Health;

use super::claims::ClaimName;
use super::source::{KeySource, Pace};
use super::url::SafeUrl;
use super::verifier::{OutsideVerifier, Rules};

/// An issuer of OpenID Connect whose access tokens count, too.
#[derive(Debug, Clone, clap::Args)]
pub struct OidcArgs {
    /// The outside issuer, as its tokens name it (`iss`). Without it, only our own tokens count.
    #[arg(long, env = "OIDC_ISSUER", value_name = "URL")]
    pub oidc_issuer: Option<SafeUrl>,
    /// The audience that its tokens must name (`aud`).
    #[arg(long, env = "OIDC_AUDIENCE", value_name = "NAME")]
    pub oidc_audience: Option<String>,
    /// Where its public keys are. Without it, they are where its discovery document says.
    #[arg(long, env = "OIDC_JWKS_URL", value_name = "URL")]
    pub oidc_jwks_url: Option<SafeUrl>,
    /// The type of its tokens (`typ`).
    #[arg(long, env = "OIDC_TOKEN_TYPE", value_enum, default_value_t = TokenType::Access)]
    pub oidc_token_type: TokenType,
    /// The claim that holds the id of a user. Without it, the id is derived from issuer and `sub`.
    /// With it, the issuer can speak for every user.
    #[arg(long, env = "OIDC_USER_CLAIM", value_name = "CLAIM")]
    pub oidc_user_claim: Option<ClaimName>,
    /// The claim that holds what `OIDC_ROLES` maps: a text, or a list of texts.
    #[arg(long, env = "OIDC_ROLES_CLAIM", value_name = "CLAIM")]
    pub oidc_roles_claim: Option<ClaimName>,
    /// The roles that values of that claim give, such as `staff=support,root=admin`.
    #[arg(long, env = "OIDC_ROLES", value_name = "VALUE=ROLE,...")]
    pub oidc_roles: Option<RoleMap>,
    /// For how many seconds a token counts after it was issued, even if it expires later.
    #[arg(long, env = "OIDC_MAX_AGE", value_name = "SECONDS", default_value_t = 300,
        value_parser = clap::value_parser!(u32).range(60..=300))]
    pub oidc_max_age: u32,
    /// For how many hours the known keys count while the issuer is away.
    #[arg(long, env = "OIDC_STALE_HOURS", value_name = "HOURS", default_value_t = 24,
        value_parser = clap::value_parser!(u32).range(1..=720))]
    pub oidc_stale_hours: u32,
}

/// Which types of tokens count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TokenType {
    /// Access tokens only (RFC 9068).
    #[value(name = "at+jwt")]
    Access,
    /// Also tokens of no special type, as some issuers make them. An ID token is one, too, so the
    /// audience must be that of the APIs alone.
    #[value(name = "jwt")]
    Any,
}

/// What values of a claim let a holder do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleMap(HashMap<String, Grants>);

/// The error for a text that is no [`RoleMap`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoles {
    /// A part is not `VALUE=ROLE`.
    #[error("{0:?} is not VALUE=ROLE")]
    Form(String),
    /// There is no such role.
    #[error("there is no role {0:?}; there are admin, support and user")]
    Role(String),
}

/// Why the settings do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSetting {
    /// A setting is missing.
    #[error("{0} is not set, and {1} is")]
    Missing(&'static str, &'static str),
    /// Our own issuer has the same name.
    #[error("OIDC_ISSUER is also ACCESS_TOKEN_ISSUER")]
    Own,
    /// The HTTP client cannot be made.
    #[error("the keys of OIDC_ISSUER cannot be fetched")]
    Client(#[source] reqwest::Error),
}

impl OidcArgs {
    /// The keys of the outside issuer, if one is set. `own_issuer` is the name of our own tokens.
    /// The last copy of the keys is kept in `folder`, if there is one. The source reports to
    /// `health` that the process can do without it.
    ///
    /// # Errors
    /// [`InvalidSetting`].
    pub fn source(
        &self,
        own_issuer: &str,
        folder: Option<PathBuf>,
        health: &Health,
    ) -> Result<Option<KeySource>, InvalidSetting> {
        let pace = Pace::default();
        let Some(verifier) = self.verifier(own_issuer, pace)? else { return Ok(None) };
        let jwks = self.oidc_jwks_url.clone();
        let source = KeySource::new(Arc::new(verifier), jwks, folder, pace, health);
        source.map(Some).map_err(InvalidSetting::Client)
    }

    pub(super) fn verifier(
        &self,
        own_issuer: &str,
        pace: Pace,
    ) -> Result<Option<OutsideVerifier>, InvalidSetting> {
        const ISSUER: &str = "OIDC_ISSUER";
        let Some(issuer) = self.oidc_issuer.clone() else {
            let without = [
                (self.oidc_audience.is_some(), "OIDC_AUDIENCE"),
                (self.oidc_jwks_url.is_some(), "OIDC_JWKS_URL"),
                (self.oidc_user_claim.is_some(), "OIDC_USER_CLAIM"),
                (self.oidc_roles_claim.is_some(), "OIDC_ROLES_CLAIM"),
                (self.oidc_roles.is_some(), "OIDC_ROLES"),
            ];
            let set = without.into_iter().find(|(is_set, _)| *is_set);
            return set.map_or(Ok(None), |(_, name)| Err(InvalidSetting::Missing(ISSUER, name)));
        };
        if issuer.as_str() == own_issuer {
            return Err(InvalidSetting::Own);
        }
        let audience = self.oidc_audience.clone().filter(|audience| !audience.is_empty());
        let audience = audience.ok_or(InvalidSetting::Missing("OIDC_AUDIENCE", ISSUER))?;
        let roles = match (self.oidc_roles_claim.clone(), self.oidc_roles.clone()) {
            (Some(claim), Some(roles)) => Some((claim, roles)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(InvalidSetting::Missing("OIDC_ROLES", "OIDC_ROLES_CLAIM"));
            }
            (None, Some(_)) => {
                return Err(InvalidSetting::Missing("OIDC_ROLES_CLAIM", "OIDC_ROLES"));
            }
        };
        let rules = Rules {
            issuer,
            audience,
            token_type: self.oidc_token_type,
            user_claim: self.oidc_user_claim.clone(),
            everybody: grants_of(Role::EVERYBODY).unwrap_or_default(),
            roles,
            max_age: i64::from(self.oidc_max_age),
            max_stale: i64::from(self.oidc_stale_hours) * 3_600,
            fetch_again: pace.at_most_every.as_secs().cast_signed(),
        };
        Ok(Some(OutsideVerifier::new(rules)))
    }
}

impl RoleMap {
    /// What a value gives; `None` if it is not in the map.
    pub fn get(&self, value: &str) -> Option<&Grants> {
        self.0.get(value)
    }
}

impl FromStr for RoleMap {
    type Err = InvalidRoles;

    fn from_str(text: &str) -> Result<Self, InvalidRoles> {
        let mut map: HashMap<String, Grants> = HashMap::new();
        for part in text.split(',').map(str::trim) {
            // The name of a role has no equals sign, a value may have some.
            let pair = part.rsplit_once('=').filter(|(value, _)| !value.is_empty());
            let (value, role) = pair.ok_or_else(|| InvalidRoles::Form(part.to_owned()))?;
            let grants = grants_of(role).ok_or_else(|| InvalidRoles::Role(role.to_owned()))?;
            let held = map.remove(value).unwrap_or_default();
            map.insert(value.to_owned(), held.or(&grants));
        }
        Ok(Self(map))
    }
}

/// What a role of a new deployment lets its holders do. The roles of our own users are in a
/// database that only one of the processes reads, so these count here.
fn grants_of(role: &str) -> Option<Grants> {
    Role::seed().into_iter().find(|seed| seed.name.as_str() == role).map(|seed| seed.grants)
}

#[cfg(test)]
mod tests;
