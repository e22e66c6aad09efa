//! Certificates for tests of TLS.

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

/// A certificate for `localhost` that vouches for itself, and its private key: two PEM files in a
/// folder that is deleted with this value.
#[derive(Debug)]
pub struct Certificate(TempDir);

#[allow(clippy::expect_used, reason = "tests")]
impl Certificate {
    /// Makes a certificate and writes its files.
    ///
    /// # Panics
    /// If the files cannot be written.
    pub fn for_localhost() -> Self {
        let certificate = Self(TempDir::new().expect("a folder for a certificate"));
        certificate.renew();
        certificate
    }

    /// The path of the certificate.
    pub fn file(&self) -> PathBuf {
        self.0.path().join("certificate.pem")
    }

    /// The path of the private key.
    pub fn key_file(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    /// The certificate, as the file has it.
    ///
    /// # Panics
    /// If the file cannot be read.
    pub fn pem(&self) -> Vec<u8> {
        std::fs::read(self.file()).expect("the file of a certificate")
    }

    /// Writes another certificate with another key into the same files.
    ///
    /// # Panics
    /// If the files cannot be written.
    pub fn renew(&self) {
        self.write(&for_localhost());
    }

    /// The same with a certificate that is valid between these times, in seconds since 1970.
    ///
    /// # Panics
    /// If the files cannot be written.
    pub fn renew_valid(&self, from: u64, until: u64) {
        let start = rcgen::date_time_ymd(1970, 1, 1);
        let mut params = for_localhost();
        params.not_before = start + Duration::from_secs(from);
        params.not_after = start + Duration::from_secs(until);
        self.write(&params);
    }

    fn write(&self, params: &CertificateParams) {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        for (path, text) in
            [(self.file(), certificate.pem()), (self.key_file(), key.serialize_pem())]
        {
            std::fs::write(path, text).expect("a file that can be written");
        }
    }
}

#[allow(clippy::expect_used, reason = "tests")]
fn for_localhost() -> CertificateParams {
    CertificateParams::new(["localhost".to_owned()]).expect("a name")
}
