//! The settings of access tokens: who signs them, and for whom.

use std::sync::Arc;

use identity::config::TokenArgs;
use identity::{Gate, Issuer, Revocations, SigningKeys, Verifier};
use secrecy::SecretString;

service_kit::secret_args!(
    /// The keys that sign access tokens, one per line, each base64 of 32 bytes. The first one
    /// signs, and tokens of all of them are valid.
    AccessTokenKeysArgs, "access-token-keys", "ACCESS_TOKEN_KEYS", "access-token-keys-file",
        "ACCESS_TOKEN_KEYS_FILE"
);

/// The settings of access tokens.
#[derive(Debug, clap::Args)]
pub struct AccessTokenArgs {
    /// The keys that sign access tokens.
    #[command(flatten)]
    pub keys: AccessTokenKeysArgs,
    /// Who issues access tokens, and for whom.
    #[command(flatten)]
    pub names: TokenArgs,
}

impl AccessTokenArgs {
    /// The issuer of access tokens with these keys, and the gate that accepts those of them that
    /// are not revoked.
    ///
    /// # Errors
    /// The keys are malformed.
    pub fn issuer(
        &self,
        keys: &SecretString,
        revocations: Revocations,
    ) -> Result<(Issuer, Gate), cli_kit::Usage> {
        let keys = SigningKeys::parse(keys)
            .map_err(|error| cli_kit::Usage(format!("ACCESS_TOKEN_KEYS: {error}")))?;
        let TokenArgs { access_token_issuer: issuer, access_token_audience: audience } =
            &self.names;
        let verifier = Verifier::new(issuer, audience, keys.published());
        Ok((Issuer::new(keys, issuer, audience), Gate::new(Arc::new(verifier), revocations)))
    }
}
