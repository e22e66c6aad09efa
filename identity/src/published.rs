//! The public keys and the revocation list that the command API publishes.
//!
//! Both are pulled, and the last copies are kept in a folder. The process starts from the copies,
//! so it answers while the command API is away. It asks at fixed intervals, so no token can make it
//! ask.
//!
//! A revocation list that exists but cannot be read closes the gate, because nobody knows which
//! tokens still count. A command API that is away changes nothing.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};
use service_kit::Pulse;
use service_kit::health::{Component, Health};
use tokio_util::sync::CancellationToken;

use crate::copy;
use crate::gate::Gate;
use crate::outside::SafeUrl;
use crate::revocation::InvalidList;
use crate::verifier::InvalidKeySet;

/// The interval between two pulls.
const PULL_EVERY: Duration = Duration::from_secs(2);
/// The interval while no key is known, as at the first start of a whole system.
const PULL_SOON: Duration = Duration::from_millis(250);
/// The time limit of one pull.
const PULL_LIMIT: Duration = Duration::from_secs(2);
/// After this time without progress, pulling is considered hung. Every round ends sooner.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);
/// The maximum length of the key set, in bytes.
const MAX_KEY_SET: usize = 1024 * 1024;
/// The maximum length of the revocation list, in bytes. That is enough for some 200,000
/// revocations, all of the last six minutes. The command API limits how fast a user makes them.
const MAX_REVOCATION_LIST: usize = 16 * 1024 * 1024;
/// The folder of both at the command API.
const FOLDER: &str = ".well-known";
/// The names of [`Reports`] in `/readyz?verbose`.
const KEYS: &str = "access_token_keys";
const REVOCATIONS: &str = "revocations";
const SOURCE: &str = "identity";
const PULLING: &str = "pulling";

/// Where both come from, and where their copies are.
#[derive(Debug)]
pub struct Source {
    http: reqwest::Client,
    address: Url,
    folder: Option<PathBuf>,
    gate: Gate,
}

/// The parts of health that pulling reports to.
#[derive(Debug)]
pub struct Reports {
    /// Whether any key is known. Without one, no token can be verified.
    keys: Component,
    /// Whether the list of what is revoked can be read. Otherwise no token is accepted.
    revocations: Component,
    /// Whether the last pull succeeded.
    source: Component,
    pulse: Pulse,
}

/// One of the publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publication {
    Keys,
    Revocations,
}

/// Why a pull failed.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The command API did not answer.
    #[error("the command API did not say which access tokens count")]
    Away(#[source] reqwest::Error),
    /// The command API answered with another status than 200.
    #[error("the command API answered {0} when asked which access tokens count")]
    Unexpected(StatusCode),
    /// The answer is longer than it can be.
    #[error("{file} of the command API is longer than {limit} bytes")]
    TooLong {
        /// The name of the publication.
        file: &'static str,
        /// The maximum length, in bytes.
        limit: usize,
    },
    /// The answer has no usable key.
    #[error(transparent)]
    Keys(#[from] InvalidKeySet),
    /// The answer is not a revocation list.
    #[error(transparent)]
    Revocations(#[from] InvalidList),
}

impl Publication {
    /// The name of its file, at the command API and in the folder.
    const fn file(self) -> &'static str {
        match self {
            Self::Keys => copy::KEYS,
            Self::Revocations => copy::REVOCATIONS,
        }
    }

    /// The maximum length, in bytes.
    const fn limit(self) -> usize {
        match self {
            Self::Keys => MAX_KEY_SET,
            Self::Revocations => MAX_REVOCATION_LIST,
        }
    }
}

impl PullError {
    /// Whether there is a list of what is revoked, but not one that can be read.
    const fn hides_revocations(&self) -> bool {
        match self {
            Self::TooLong { .. } | Self::Revocations(_) => true,
            Self::Away(_) | Self::Unexpected(_) | Self::Keys(_) => false,
        }
    }
}

impl Reports {
    /// For a process that serves callers: it is not ready while it can verify no token.
    pub fn required(health: &Health) -> Self {
        Self {
            keys: health.component(KEYS),
            revocations: health.component(REVOCATIONS),
            source: health.optional_component(SOURCE),
            pulse: health.pulse(PULLING, SILENCE_LIMIT),
        }
    }

    /// For a process whose main work asks nobody for a token: it is ready in any case.
    pub fn optional(health: &Health) -> Self {
        Self {
            keys: health.optional_component(KEYS),
            revocations: health.optional_component(REVOCATIONS),
            source: health.optional_component(SOURCE),
            pulse: health.optional_pulse(PULLING, SILENCE_LIMIT),
        }
    }
}

/// The error for a text that is not the address of a command API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an address such as https://api.example.com, without a password, ? and #")]
pub struct InvalidAddress;

/// Reads the address of a command API from a setting.
///
/// # Errors
/// [`InvalidAddress`].
pub fn address(text: &str) -> Result<Url, InvalidAddress> {
    let url: Url = text.parse().map_err(|_| InvalidAddress)?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    let is_bare = url.username().is_empty() && url.password().is_none();
    let ends = url.query().is_none() && url.fragment().is_none();
    if is_http && is_bare && ends { Ok(url) } else { Err(InvalidAddress) }
}

impl Source {
    /// The publications of the command API at this address, for this gate. Copies are kept in
    /// `folder`, if there is one. It warns if others on the way could change the keys.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub fn new(address: &Url, folder: Option<PathBuf>, gate: Gate) -> reqwest::Result<Self> {
        if address.as_str().parse::<SafeUrl>().is_err() {
            tracing::warn!(
                "IDENTITY_URL is neither https nor on this machine: others on the way can change \
                    which access tokens are accepted"
            );
        }
        let http = reqwest::Client::builder().timeout(PULL_LIMIT).no_proxy();
        let http = http.redirect(Policy::none());
        // Without TLS no certificate is needed, and the system's may be slow to read.
        let http = if address.scheme() == "https" { http } else { http.tls_certs_only([]) };
        let http = http.build()?;
        Ok(Self { http, address: address.clone(), folder, gate })
    }

    /// Reads the copies, then pulls until cancelled.
    pub async fn keep(self, reports: Reports, stop: CancellationToken) {
        stop.run_until_cancelled(self.rounds(&reports)).await;
    }

    async fn rounds(&self, reports: &Reports) {
        let mut keys = self.copy(Publication::Keys);
        let mut revocations = self.copy(Publication::Revocations);
        loop {
            reports.pulse.beat();
            // Keys that are unusable do not keep the list from being read.
            let pulled_keys = self.pull(Publication::Keys, &mut keys).await;
            let pulled_list = self.pull(Publication::Revocations, &mut revocations).await;
            match pulled_keys.and(pulled_list) {
                Ok(()) => reports.source.ready(),
                Err(error) => reports.source.not_ready(cli_kit::describe(&error)),
            }
            let are_known = self.gate.verifier().knows_keys();
            if are_known {
                reports.keys.ready();
            } else {
                reports.keys.not_ready("the keys of access tokens are not known yet");
            }
            if self.gate.revocations().is_known() {
                reports.revocations.ready();
            } else {
                reports.revocations.not_ready(
                    "the list of what is revoked cannot be read, so no access token is accepted",
                );
            }
            tokio::time::sleep(if are_known { PULL_EVERY } else { PULL_SOON }).await;
        }
    }

    /// Pulls a publication. If it differs from `known`, it counts from now on.
    async fn pull(&self, publication: Publication, known: &mut Vec<u8>) -> Result<(), PullError> {
        let pulled = async {
            let pulled = self.ask(publication).await?;
            if pulled != *known {
                self.learn(publication, &pulled)?;
                self.save(publication, &pulled);
                *known = pulled;
            }
            Ok(())
        };
        let pulled: Result<(), PullError> = pulled.await;
        if let Err(error) = &pulled
            && publication == Publication::Revocations
            && error.hides_revocations()
        {
            self.gate.revocations().doubt();
            // The next list counts, even if it is as the last one.
            known.clear();
        }
        pulled
    }

    async fn ask(&self, publication: Publication) -> Result<Vec<u8>, PullError> {
        let mut url = self.address.clone();
        let file = publication.file();
        url.set_path(&format!("{}/{FOLDER}/{file}", url.path().trim_end_matches('/')));
        let answer = self.http.get(url).send().await;
        let mut answer = answer.map_err(PullError::Away)?;
        // A redirect is refused, too: it could lead anywhere.
        if answer.status() != StatusCode::OK {
            return Err(PullError::Unexpected(answer.status()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(PullError::Away)? {
            let limit = publication.limit();
            if bytes.len() + chunk.len() > limit {
                return Err(PullError::TooLong { file, limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn learn(&self, publication: Publication, published: &[u8]) -> Result<(), PullError> {
        match publication {
            Publication::Keys => {
                self.gate.verifier().learn(published)?;
                tracing::info!("the keys of access tokens are known");
            }
            Publication::Revocations => self.gate.revocations().learn(published)?,
        }
        Ok(())
    }

    /// Reads and learns a copy. The result is empty if there is none that can be used.
    fn copy(&self, publication: Publication) -> Vec<u8> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let path = folder.join(publication.file());
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a copy is unreadable");
                return self.without_copy(publication);
            }
        };
        match self.learn(publication, &bytes) {
            Ok(()) => bytes,
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a copy is unusable");
                self.without_copy(publication)
            }
        }
    }

    /// The copy exists but cannot be read, so the revocations are known only after a pull.
    fn without_copy(&self, publication: Publication) -> Vec<u8> {
        if publication == Publication::Revocations {
            self.gate.revocations().doubt();
        }
        Vec::new()
    }

    /// Writes a copy. If that fails, the process goes on, but cannot start while the command API is
    /// away.
    fn save(&self, publication: Publication, published: &[u8]) {
        let Some(folder) = &self.folder else { return };
        if let Err(error) = copy::write(folder, publication.file(), published) {
            tracing::warn!(%error, folder = %folder.display(), "a copy could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_a_web_server_and_nothing_more() {
        for text in ["http://127.0.0.1:8080", "https://api.example.com/shop/", "http://[::1]:80"] {
            assert!(address(text).is_ok(), "{text}");
        }
        let wrong = ["", "127.0.0.1:8080", "ftp://x", "http://u:p@x", "http://u@x", "http://x?q"];
        for text in wrong.into_iter().chain(["http://x#f", "file:///tmp"]) {
            assert_eq!(address(text), Err(InvalidAddress), "{text}");
        }
    }
}
