//! TLS of a public port: its certificate and key from files, which are read again when they change.
//!
//! An expired certificate is used all the same, because a process that serves with it helps more
//! than one that does not start. It does not replace a better one. The log warns of it, and of a
//! key that others can read, at once and every day.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use metrics::{Unit, describe_gauge, gauge};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::server::TlsStream;

use crate::clock::{self, SharedClock};
use crate::health::Component;
use crate::pulse::Pulse;

mod error;
mod exposure;
mod files;
mod reminder;
mod validity;

pub use error::TlsError;
use exposure::Exposure;
use files::{Files, Used};
use reminder::Reminder;
use validity::{Standing, Validity};

/// How long a client may take for the TLS handshake, counted from accept. Its open handshake counts
/// as an idle connection, so the limits of connections bound how many there are.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// The interval between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The time limit for reading both files.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// After this time without progress, the watch of the files is considered hung. Every look ends
/// sooner.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// The protocols that clients may choose, the best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// The setting of the certificate's file.
pub(crate) const CERTIFICATE: &str = "TLS_CERTIFICATE";
/// The setting of the key's file.
pub(crate) const KEY: &str = "TLS_KEY";
/// The gauge of when the certificate in use expires.
const EXPIRES_AT: &str = "tls_certificate_expires_at_seconds";

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
    clock: SharedClock,
    reminders: Reminders,
}

/// The last warnings in the log.
#[derive(Default)]
struct Reminders {
    dates: Reminder<Remark>,
    key: Reminder<Exposure>,
}

/// A warning about the dates of the certificate in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remark {
    /// They cannot be read.
    Unreadable,
    /// The certificate is not valid, or not for long.
    Standing(Standing, Validity),
}

impl Tls {
    /// Reads a certificate, with those between it and its authority, and its private key. Both
    /// files are PEM. It warns if others may read the key, and if the certificate is not valid or
    /// not for long.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::read_at(certificate, key, clock::system())
    }

    fn read_at(certificate: &Path, key: &Path, clock: SharedClock) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        let texts = files.read()?;
        let certificate = Arc::new(Certificate {
            used: RwLock::new(texts.used(&files, &provider)?),
            files,
            provider: Arc::clone(&provider),
            turn: Arc::new(Semaphore::new(1)),
            clock,
            reminders: Reminders::default(),
        });
        certificate.warn_of_key(texts.exposure);
        certificate.warn_of_dates();
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
/// files hold none that can be used, the last one stays in use, and health says so. The metrics say
/// when it expires.
pub(crate) async fn keep(ports: &[Tls], component: &Component, pulse: &Pulse) -> Infallible {
    describe_gauge!(EXPIRES_AT, Unit::Seconds, "When the TLS certificate expires, as Unix time");
    component.ready();
    loop {
        show_end(ports);
        tokio::time::sleep(LOOK_EVERY).await;
        let mut failed = None;
        for tls in ports {
            if let Err(error) = tls.certificate.watch().await {
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

/// Shows when the certificate that expires first does so.
#[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are exact far beyond any date")]
fn show_end(ports: &[Tls]) {
    let ends = ports.iter().map(|tls| tls.certificate.used().validity.map(Validity::not_after));
    let first = ends.collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().min());
    // Dates that cannot be read are shown as unknown.
    gauge!(EXPIRES_AT).set(first.map_or(f64::NAN, |end| end.timestamp() as f64));
}

impl Certificate {
    /// One round of the watch: looks at the files, and warns of the dates of what is in use then.
    async fn watch(&self) -> Result<(), TlsError> {
        let looked = self.look().await;
        self.warn_of_dates();
        looked
    }

    /// Reads the files, and uses what they hold if it is new and no worse.
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
        self.warn_of_key(texts.exposure);
        if texts.fingerprint() == self.used().fingerprint {
            return Ok(());
        }
        let used = texts.used(&self.files, &self.provider)?;
        self.check(used.validity)?;
        *self.used.write().unwrap_or_else(PoisonError::into_inner) = used;
        tracing::info!(file = %self.files.certificate.display(), "a new certificate is in use");
        Ok(())
    }

    /// Refuses a certificate with these dates if the one in use serves clients better.
    fn check(&self, new: Option<Validity>) -> Result<(), TlsError> {
        let (Some(used), Some(new)) = (self.used().validity, new) else { return Ok(()) };
        let now = self.clock.now();
        if !used.is_better_than(new, now) {
            return Ok(());
        }
        let file = self.files.certificate.clone();
        Err(match new.standing(now) {
            Standing::Early => TlsError::Early(file, new.not_before()),
            _ => TlsError::Older(file, new.not_after()),
        })
    }

    /// Warns if the certificate in use is not valid, or not for long.
    fn warn_of_dates(&self) {
        let now = self.clock.now();
        let validity = self.used().validity;
        let remark = match validity {
            None => Some(Remark::Unreadable),
            Some(validity) => {
                let standing = validity.standing(now);
                (standing != Standing::Valid).then_some(Remark::Standing(standing, validity))
            }
        };
        let file = self.files.certificate.display();
        match self.reminders.dates.due(remark, now) {
            None => {}
            Some(Remark::Unreadable) => {
                tracing::warn!(%file, "{CERTIFICATE}: its dates cannot be read");
            }
            Some(Remark::Standing(standing, validity)) => {
                let [valid_from, valid_until] =
                    [validity.not_before(), validity.not_after()].map(|time| time.to_rfc3339());
                tracing::warn!(%file, valid_from, valid_until, "{CERTIFICATE}: {standing}");
            }
        }
    }

    /// Warns if others have access to the key.
    fn warn_of_key(&self, exposure: Option<Exposure>) {
        if let Some(exposure) = self.reminders.key.due(exposure, self.clock.now()) {
            let file = self.files.key.display();
            tracing::warn!(%file, "{KEY}: {exposure}");
        }
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

#[cfg(test)]
mod tests;
