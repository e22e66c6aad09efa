//! Who may ask for operations of a process other than the command API, as the settings say.
//!
//! With `IDENTITY_URL`, an operation takes an access token. The keys and the list of what is
//! revoked are pulled from the command API and kept on disk. Until both were seen once, operations
//! get 503. The other work of the process needs no token, so it starts, works and is ready in any
//! case.

use std::sync::Arc;

use clap::Args;
use reqwest::Url;
use service_kit::health::Health;
use tokio_util::sync::CancellationToken;

use crate::config::{CacheArgs, TokenArgs};
use crate::published::{self, Reports, Source};
use crate::{Gate, KeySource, OidcArgs, Operators, Revocations};

/// The settings of the access tokens of operators.
#[derive(Debug, Args)]
pub struct OperatorArgs {
    /// The address of the command API, which publishes the keys of access tokens. With it,
    /// operations need a token; without it, anybody who reaches the port may ask for them.
    #[arg(long, env = "IDENTITY_URL", value_name = "URL", value_parser = published::address)]
    identity_url: Option<Url>,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    tokens: TokenArgs,
    #[command(flatten)]
    oidc: OidcArgs,
}

/// Why the settings of access tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OperatorKeysError {
    /// The settings do not fit together.
    #[error(transparent)]
    Usage(#[from] cli_kit::Usage),
    /// No HTTP client could be made.
    #[error("the keys of access tokens cannot be pulled")]
    Client(#[source] reqwest::Error),
}

/// The check of operators, and the source that keeps its keys up to date.
pub struct OperatorKeys {
    /// The check of the access tokens of those who ask for operations.
    pub operators: Operators,
    sources: Option<Sources>,
}

struct Sources {
    published: Source,
    reports: Reports,
    outside: Option<KeySource>,
}

impl OperatorKeys {
    /// Reads the settings.
    ///
    /// # Errors
    /// [`OperatorKeysError`].
    pub fn new(args: &OperatorArgs, health: &Health) -> Result<Self, OperatorKeysError> {
        let Some(url) = &args.identity_url else {
            if args.oidc.oidc_issuer.is_some() {
                let why = "OIDC_ISSUER needs IDENTITY_URL, which says what is revoked".to_owned();
                return Err(cli_kit::Usage(why).into());
            }
            return Ok(Self { operators: Operators::unverified(), sources: None });
        };
        let folder = args.cache.folder()?;
        let own = &args.tokens.access_token_issuer;
        let outside = args.oidc.source(own, folder.clone(), health);
        let outside = outside.map_err(|error| cli_kit::Usage(cli_kit::describe(&error)))?;
        // An operation can do harm, so no token counts before the revocations are known.
        let gate = Gate::new(Arc::new(args.tokens.verifier()), Revocations::unknown());
        let gate = gate.accepting(outside.as_ref().map(KeySource::verifier));
        let published =
            Source::new(url, folder, gate.clone()).map_err(OperatorKeysError::Client)?;
        let sources = Sources { published, reports: Reports::optional(health), outside };
        Ok(Self { operators: Operators::with_tokens(gate), sources: Some(sources) })
    }

    /// Keeps it up to date until `stop`.
    pub async fn keep(self, stop: CancellationToken) {
        let Some(Sources { published, reports, outside }) = self.sources else { return };
        let pulling = published.keep(reports, stop.clone());
        let fetching = async {
            if let Some(outside) = outside {
                outside.keep(stop).await;
            }
        };
        tokio::join!(pulling, fetching);
    }
}
