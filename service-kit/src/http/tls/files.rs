//! The files of a certificate and its key, and the certificate that they make together.

use std::fs::Metadata;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::exposure::Exposure;
use super::validity::Validity;
use super::{CERTIFICATE, KEY, TlsError};

/// The maximum number of bytes that are read of a file.
const MAX_FILE: u64 = 1024 * 1024;

/// The two files.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// A certificate with its key and its dates, and the fingerprint of the files that they come from.
pub(super) struct Used {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) validity: Option<Validity>,
    pub(super) fingerprint: Fingerprint,
}

type Fingerprint = [u8; 32];

/// What the two files hold, and who else has access to the key.
pub(super) struct Texts {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    pub(super) exposure: Option<Exposure>,
}

impl Files {
    pub(super) fn read(&self) -> Result<Texts, TlsError> {
        let (certificate, _) = read(CERTIFICATE, &self.certificate)?;
        let (key, found) = read(KEY, &self.key)?;
        Ok(Texts { certificate, key: key.into(), exposure: Exposure::of(&found) })
    }
}

/// Reads the file of a setting.
fn read(setting: &'static str, path: &Path) -> Result<(Vec<u8>, Metadata), TlsError> {
    let unreadable = |error| TlsError::Unreadable(setting, path.to_owned(), error);
    // Opening a pipe would wait for its writer.
    let found = std::fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).map_err(unreadable)?;
    Ok((text, found))
}

impl Texts {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        for text in [&self.certificate, &*self.key] {
            hash.update(Sha256::digest(text));
        }
        hash.finalize().into()
    }

    /// The certificate with its key. The errors of the parser are left out: they show the text.
    pub(super) fn used(&self, files: &Files, provider: &CryptoProvider) -> Result<Used, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| TlsError::NoCertificate(files.certificate.clone()))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(|_| TlsError::NoKey(files.key.clone()))?;
        let certified = CertifiedKey::from_der(chain, key, provider).map_err(TlsError::Unusable)?;
        let validity = certified.cert.first().and_then(Validity::of);
        let certified = Arc::new(certified);
        Ok(Used { certified, validity, fingerprint: self.fingerprint() })
    }
}
