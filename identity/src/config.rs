//! The settings of access tokens that both APIs have.

use std::path::PathBuf;

use access::{Grants, Policy};

use crate::copy;
use crate::verifier::Verifier;

/// Who issues access tokens, and for whom.
#[derive(Debug, Clone, clap::Args)]
pub struct TokenArgs {
    /// The issuer that access tokens name (`iss`).
    #[arg(long, env = "ACCESS_TOKEN_ISSUER", value_name = "NAME", default_value = ISSUER)]
    pub access_token_issuer: String,
    /// The audience that access tokens name (`aud`). Both APIs have the same.
    #[arg(long, env = "ACCESS_TOKEN_AUDIENCE", value_name = "NAME", default_value = AUDIENCE)]
    pub access_token_audience: String,
}

/// The setting of the folder for copies of published keys.
#[derive(Debug, Clone, clap::Args)]
pub struct CacheArgs {
    /// A folder for the last copies of what other processes and issuers publish of access tokens.
    /// With it, the process starts and answers while they are away. Only its user may write there.
    #[arg(long, env = "IDENTITY_CACHE", value_name = "FOLDER")]
    identity_cache: Option<PathBuf>,
}

/// What everybody may do.
#[derive(Debug, Clone, clap::Args)]
pub struct PolicyArgs {
    /// What everybody may do without a token: permissions, with a blank between two. Empty for
    /// nothing.
    #[arg(
        long,
        env = "PUBLIC_PERMISSIONS",
        value_name = "PERMISSIONS",
        default_value = "products:read"
    )]
    pub public_permissions: Grants,
}

/// The default of [`TokenArgs::access_token_issuer`].
pub const ISSUER: &str = "command-api";
/// The default of [`TokenArgs::access_token_audience`].
pub const AUDIENCE: &str = "api";

impl TokenArgs {
    /// A verifier of these tokens that knows no key yet.
    pub fn verifier(&self) -> Verifier {
        Verifier::without_keys(&self.access_token_issuer, &self.access_token_audience)
    }
}

impl CacheArgs {
    /// The folder, if there is one. It warns if a group can write there.
    ///
    /// # Errors
    /// The text names the setting: every user of the machine can write there, or the folder belongs
    /// to another user.
    pub fn folder(&self) -> Result<Option<PathBuf>, cli_kit::Usage> {
        if let Some(folder) = &self.identity_cache {
            copy::check(folder).map_err(|refused| cli_kit::Usage(refused.to_string()))?;
        }
        Ok(self.identity_cache.clone())
    }
}

impl PolicyArgs {
    /// The policy with these permissions for everybody.
    pub fn policy(&self) -> Policy {
        Policy::with_public(self.public_permissions.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        policy: PolicyArgs,
    }

    #[test]
    fn everybody_may_read_products_unless_the_operator_says_otherwise() {
        let public = |arguments: &[&str]| {
            let all = ["program"].iter().chain(arguments);
            Program::try_parse_from(all).map(|program| program.policy.policy()).ok()
        };
        assert_eq!(public(&[]), Some(Policy::default()));
        let nothing = Policy::with_public(Grants::default());
        assert_eq!(public(&["--public-permissions", ""]), Some(nothing));
        assert_eq!(public(&["--public-permissions", "product:read"]), None);
    }
}
