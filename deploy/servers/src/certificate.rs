//! Certificates for tests of TLS.

use std::path::PathBuf;

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
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate");
        for (path, text) in
            [(self.file(), made.cert.pem()), (self.key_file(), made.signing_key.serialize_pem())]
        {
            std::fs::write(path, text).expect("a file that can be written");
        }
    }
}
