//! Fetches the public keys of an outside issuer, and keeps them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use service_kit::Pulse;
use service_kit::health::{Component, Health};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::copy::Copies;
use super::keys::Keys;
use super::url::SafeUrl;
use super::verifier::OutsideVerifier;
use crate::verifier::{InvalidKeySet, now};

/// The path of the discovery document below the issuer (OpenID Connect Discovery 1.0, section 4).
const DISCOVERY: &str = ".well-known/openid-configuration";
/// The time limit of a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// The time limit of one document, with its whole body.
const DOCUMENT_LIMIT: Duration = Duration::from_secs(5);
/// The maximum length of a document, in bytes.
pub(super) const MAX_DOCUMENT: usize = 256 * 1024;
/// The interval between two checks of whether a fetch is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After this time without progress, fetching is considered hung. A fetch has two documents, so it
/// ends sooner.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// How often the keys are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The interval between two fetches if all is well.
    pub refresh: Duration,
    /// The minimum interval if a token names a key that is not known, or if the issuer is away.
    pub at_most_every: Duration,
    /// The minimum interval while no key is known.
    pub soon: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            refresh: Duration::from_mins(5),
            at_most_every: Duration::from_secs(30),
            soon: Duration::from_secs(5),
        }
    }
}

/// Keeps the keys of an [`OutsideVerifier`] up to date.
#[derive(Debug)]
pub struct KeySource {
    http: reqwest::Client,
    verifier: Arc<OutsideVerifier>,
    /// Where the keys are, if a setting says so.
    jwks: Option<SafeUrl>,
    copies: Copies,
    pace: Pace,
    component: Component,
    pulse: Pulse,
}

/// Why the keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The issuer did not answer, or not in time.
    #[error("the outside issuer did not answer")]
    Away(#[source] reqwest::Error),
    /// The answer has another status than 200. A redirect is not followed: it could lead anywhere.
    #[error("the outside issuer answered {0}")]
    Status(u16),
    /// A document is longer than it can be.
    #[error("a document of the outside issuer is longer than {limit} bytes")]
    TooLong {
        /// The maximum length, in bytes.
        limit: usize,
    },
    /// The document is not a discovery document.
    #[error("the outside issuer has no discovery document")]
    NoDiscovery(#[source] serde_json::Error),
    /// The discovery document is that of another issuer.
    #[error("the discovery document names the issuer {0:?}, not the one of OIDC_ISSUER")]
    OtherIssuer(String),
    /// The discovery document names an address without TLS, where others on the way could answer.
    #[error("the discovery document names keys at an address without TLS")]
    Unsafe,
    /// The keys are unusable.
    #[error(transparent)]
    Keys(#[from] InvalidKeySet),
}

/// The fields that are read of a discovery document.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl KeySource {
    /// The keys for `verifier`, from the address `jwks` or, without it, from the address that the
    /// issuer's discovery document names.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub(super) fn new(
        verifier: Arc<OutsideVerifier>,
        jwks: Option<SafeUrl>,
        folder: Option<PathBuf>,
        pace: Pace,
        health: &Health,
    ) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none());
        let http = http.connect_timeout(CONNECT_LIMIT).timeout(DOCUMENT_LIMIT);
        // Without TLS no certificate is needed, and the system's may be slow to read.
        let is_plain = jwks.as_ref().is_some_and(SafeUrl::is_plain);
        let http = if is_plain { http.tls_certs_only([]) } else { http };
        Ok(Self {
            http: http.build()?,
            verifier,
            jwks,
            copies: Copies::new(folder),
            pace,
            component: health.optional_component("outside_issuer"),
            pulse: health.optional_pulse("outside_keys", SILENCE_LIMIT),
        })
    }

    /// The verifier that uses these keys.
    pub fn verifier(&self) -> Arc<OutsideVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Reads the copy, then fetches until `stop`.
    pub async fn keep(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.rounds()).await;
    }

    async fn rounds(&self) {
        let mut known = self.read_copy();
        let mut attempted: Option<Instant> = None;
        let mut succeeded = false;
        loop {
            self.pulse.beat();
            if attempted.is_none_or(|at| at.elapsed() >= self.pause(succeeded)) {
                succeeded = self.round(&mut known).await;
                attempted = Some(Instant::now());
                self.verifier.mark_fetched();
            }
            // While a fetch is wanted but not due, nobody wakes this task again.
            tokio::select! {
                () = self.verifier.wanting() => {}
                () = tokio::time::sleep(LOOK_EVERY.min(self.pace.soon)) => {}
            }
        }
    }

    /// The minimum time from one fetch to the next, as things are.
    fn pause(&self, succeeded: bool) -> Duration {
        if !self.verifier.knows_keys() {
            self.pace.soon
        } else if self.verifier.is_wanted() || !succeeded {
            self.pace.at_most_every
        } else {
            self.pace.refresh
        }
    }

    /// Fetches once. Returns whether it succeeded.
    async fn round(&self, known: &mut Vec<u8>) -> bool {
        let fetched = self.fetch().await;
        match fetched.and_then(|keys| self.learn(keys, known)) {
            Ok(()) => {
                self.component.ready();
                true
            }
            Err(error) => {
                self.component.not_ready(cli_kit::describe(&error));
                false
            }
        }
    }

    /// Learns a fetched JWK set. If it is the same as before, verified tokens stay remembered.
    fn learn(&self, fetched: Vec<u8>, known: &mut Vec<u8>) -> Result<(), FetchError> {
        let fetched_at = now();
        if fetched == *known {
            self.verifier.confirm(fetched_at);
        } else {
            self.verifier.replace(Keys::read(&fetched)?, fetched_at);
            tracing::info!(issuer = %self.verifier.issuer(), "the outside issuer's keys are known");
        }
        self.copies.write(self.verifier.issuer().as_str(), fetched_at, &fetched);
        *known = fetched;
        Ok(())
    }

    /// Reads and learns the copy. The result is empty if there is none that can be used.
    fn read_copy(&self) -> Vec<u8> {
        let kept = self.copies.read(self.verifier.issuer().as_str(), now());
        let Some(kept) = kept else { return Vec::new() };
        let text = kept.keys.get().as_bytes();
        match Keys::read(text) {
            Ok(keys) => {
                self.verifier.replace(keys, kept.fetched_at);
                text.to_vec()
            }
            Err(error) => {
                tracing::warn!(%error, "the copy of the outside issuer's keys is unusable");
                Vec::new()
            }
        }
    }

    /// Fetches the JWK set.
    pub(super) async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let address = match &self.jwks {
            Some(jwks) => jwks.url().clone(),
            None => self.discover().await?,
        };
        self.get(address).await
    }

    /// Asks the issuer where its keys are.
    async fn discover(&self) -> Result<Url, FetchError> {
        let issuer = self.verifier.issuer();
        let mut address = issuer.url().clone();
        address.set_path(&format!("{}/{DISCOVERY}", address.path().trim_end_matches('/')));
        address.set_query(None);
        let document = self.get(address).await?;
        let Discovered { issuer: named, jwks_uri } =
            serde_json::from_slice(&document).map_err(FetchError::NoDiscovery)?;
        if named != issuer.as_str() {
            return Err(FetchError::OtherIssuer(named));
        }
        let keys: SafeUrl = jwks_uri.parse().map_err(|_| FetchError::Unsafe)?;
        // An issuer elsewhere must not make this process send requests to its own machine.
        if keys.is_plain() && !issuer.is_plain() {
            return Err(FetchError::Unsafe);
        }
        Ok(keys.url().clone())
    }

    async fn get(&self, address: Url) -> Result<Vec<u8>, FetchError> {
        let mut answer = self.http.get(address).send().await.map_err(FetchError::Away)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(FetchError::Away)? {
            if document.len() + chunk.len() > MAX_DOCUMENT {
                return Err(FetchError::TooLong { limit: MAX_DOCUMENT });
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}
