//! TLS of a public port: its certificate and key from files, which are read again when they change.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, rustls};
use zeroize::Zeroizing;

use crate::health::Component;
use crate::pulse::Pulse;

/// How long a client may take for the TLS handshake, counted from accept. Its open handshake counts
/// as an idle connection, so the limits of connections bound how many there are.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// The interval between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The maximum number of bytes that are read of a file.
const MAX_FILE: u64 = 1024 * 1024;
/// The time limit for reading both files.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// After this time without progress, the watch of the files is considered hung. Every look ends
/// sooner.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// The protocols that clients may choose, the best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// The permissions of a file that everybody on the machine has.
const OTHERS: u32 = 0o007;

/// The certificate of a port, and its key. Clones share both.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

/// The files of a certificate, and their content that is in use.
struct Certificate {
    files: Files,
    provider: Arc<CryptoProvider>,
    used: RwLock<Used>,
    /// Has one permit. A read of the files holds it, so that reads that hang do not pile up.
    turn: Arc<Semaphore>,
}

/// The paths of the PEM files of a certificate and of its key.
#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// A certificate with its key, and the fingerprint of the files that they come from.
struct Used {
    certified: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
}

type Fingerprint = [u8; 32];

/// Why a port cannot speak TLS. Never contains the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Only one of the two files is given.
    #[error("{0} is set without {1}: give both")]
    Half(&'static str, &'static str),
    /// A file cannot be read.
    #[error("{0} names {path}, which cannot be read", path = .1.display())]
    Unreadable(&'static str, PathBuf, #[source] io::Error),
    /// Reading the files takes too long.
    #[error("{CERTIFICATE} and {KEY} cannot be read in time")]
    Slow,
    /// The task that reads the files panicked.
    #[error("the files of {CERTIFICATE} and {KEY} were not read")]
    Panicked(#[source] JoinError),
    /// The file has no certificate, or one that is damaged.
    #[error("{CERTIFICATE} names {path}, which is not a certificate in PEM", path = .0.display())]
    NoCertificate(PathBuf),
    /// The file has no private key, or one that is damaged.
    #[error("{KEY} names {path}, which is not a private key in PEM", path = .0.display())]
    NoKey(PathBuf),
    /// Certificate and key cannot be used, or not together.
    #[error("{KEY} is not the key of {CERTIFICATE}, or one of them cannot be used")]
    Unusable(#[source] rustls::Error),
}

/// The setting of the certificate's file.
pub(crate) const CERTIFICATE: &str = "TLS_CERTIFICATE";
/// The setting of the key's file.
pub(crate) const KEY: &str = "TLS_KEY";

impl Tls {
    /// Reads a certificate, with those between it and its authority, and its private key. Both
    /// files are PEM. It warns if everybody on the machine may read the key.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        let used = RwLock::new(files.read()?.used(&files, &provider)?);
        let turn = Arc::new(Semaphore::new(1));
        let certificate = Certificate { files, provider: Arc::clone(&provider), used, turn };
        let certificate = Arc::new(certificate);
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?;
        let resolver = Arc::clone(&certificate);
        let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    /// Shakes hands with a client, within [`HANDSHAKE_DEADLINE`].
    pub(super) async fn accept<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: T,
    ) -> io::Result<TlsStream<T>> {
        let shaken = timeout(HANDSHAKE_DEADLINE, self.acceptor.accept(stream)).await;
        shaken.unwrap_or_else(|late| Err(io::Error::new(io::ErrorKind::TimedOut, late)))
    }
}

/// Looks at the files from time to time, and uses a new certificate for new connections. While the
/// files hold none that can be used, the last one stays in use, and health says so.
pub(crate) async fn keep(ports: &[Tls], component: &Component, pulse: &Pulse) -> Infallible {
    component.ready();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let mut failed = None;
        for tls in ports {
            if let Err(error) = tls.certificate.look().await {
                failed = Some(error);
            }
            pulse.beat();
        }
        match failed {
            None => component.ready(),
            Some(error) => component.not_ready(cli_kit::describe(&error)),
        }
    }
}

impl Certificate {
    /// Reads the files, and uses what they hold if it is new.
    async fn look(&self) -> Result<(), TlsError> {
        let turn = Arc::clone(&self.turn).try_acquire_owned().map_err(|_| TlsError::Slow)?;
        let files = self.files.clone();
        let reading = spawn_blocking(move || {
            let texts = files.read();
            drop(turn);
            texts
        });
        let read = timeout(READ_LIMIT, reading).await.map_err(|_| TlsError::Slow)?;
        let texts = read.map_err(TlsError::Panicked)??;
        if texts.fingerprint() == self.used().fingerprint {
            return Ok(());
        }
        let used = texts.used(&self.files, &self.provider)?;
        *self.used.write().unwrap_or_else(PoisonError::into_inner) = used;
        tracing::info!(file = %self.files.certificate.display(), "a new certificate is in use");
        Ok(())
    }

    fn used(&self) -> RwLockReadGuard<'_, Used> {
        self.used.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.used().certified))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.certificate).finish()
    }
}

/// The content of the two files.
struct Texts {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Files {
    fn read(&self) -> Result<Texts, TlsError> {
        let certificate = read(CERTIFICATE, &self.certificate)?;
        Ok(Texts { certificate, key: read(KEY, &self.key)?.into() })
    }

    /// Warns if everybody on the machine may read or change the key.
    fn warn_of_others(&self) {
        let file = self.key.display();
        match std::fs::metadata(&self.key) {
            Ok(found) if found.permissions().mode() & OTHERS == 0 => {}
            Ok(_) => tracing::warn!(%file, "{KEY}: every user of this machine has access to it"),
            Err(error) => tracing::warn!(%file, %error, "{KEY}: nobody knows who has access to it"),
        }
    }
}

/// Reads the file of a setting.
fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable(setting, path.to_owned(), error);
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).map_err(unreadable)?;
    Ok(text)
}

impl Texts {
    fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        for text in [&self.certificate, &*self.key] {
            hash.update(Sha256::digest(text));
        }
        hash.finalize().into()
    }

    /// The certificate with its key. The errors of the parser are left out: they show the text.
    fn used(&self, files: &Files, provider: &CryptoProvider) -> Result<Used, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| TlsError::NoCertificate(files.certificate.clone()))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(|_| TlsError::NoKey(files.key.clone()))?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(TlsError::Unusable)?;
        files.warn_of_others();
        Ok(Used { certified: Arc::new(certified), fingerprint: self.fingerprint() })
    }
}

#[cfg(test)]
mod tests;
