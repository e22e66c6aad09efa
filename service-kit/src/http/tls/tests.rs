//! The files of a certificate: what is refused, and what happens when they change.
#![allow(clippy::unwrap_used, reason = "tests")]

use tempfile::TempDir;

use super::*;

/// A folder with a certificate and its key.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempDir::new().unwrap());
        folder.renew();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Writes another certificate, and returns its bytes.
    fn renew(&self) -> Vec<u8> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        self.write("certificate.pem", &made.cert.pem());
        self.write("key.pem", &made.signing_key.serialize_pem());
        made.cert.der().to_vec()
    }

    fn read(&self) -> Result<Tls, TlsError> {
        Tls::read(&self.path("certificate.pem"), &self.path("key.pem"))
    }
}

fn used(tls: &Tls) -> Vec<u8> {
    tls.certificate.used().certified.cert[0].to_vec()
}

#[tokio::test]
async fn new_files_are_used_and_unusable_ones_leave_the_last_certificate_in_use() {
    let folder = Folder::new();
    let tls = folder.read().unwrap();
    let second = folder.renew();
    assert_ne!(used(&tls), second);
    tls.certificate.look().await.unwrap();
    assert_eq!(used(&tls), second);
    // The certificate is written before its key.
    let key = std::fs::read_to_string(folder.path("key.pem")).unwrap();
    folder.renew();
    folder.write("key.pem", &key);
    let early = tls.certificate.look().await.unwrap_err();
    assert!(early.to_string().starts_with("TLS_KEY is not the key of TLS_CERTIFICATE"), "{early}");
    assert_eq!(used(&tls), second);
    let last = folder.renew();
    tls.certificate.look().await.unwrap();
    assert_eq!(used(&tls), last);
    std::fs::remove_file(folder.path("certificate.pem")).unwrap();
    assert!(tls.certificate.look().await.is_err());
    assert_eq!(used(&tls), last);
}

#[test]
fn files_that_cannot_be_used_are_refused_by_setting_and_the_key_is_not_shown() {
    const CANARY: &str = "-----BEGIN PRIVATE KEY-----\nQ0FOQVJZ\n-----END PRIVATE KEY-----\n";
    let folder = Folder::new();
    let (certificate, key) = (folder.path("certificate.pem"), folder.path("key.pem"));
    let refused = |certificate: &Path, key: &Path| {
        cli_kit::describe(&Tls::read(certificate, key).unwrap_err())
    };
    let absent = folder.path("absent");
    assert!(refused(&absent, &key).starts_with("TLS_CERTIFICATE names "));
    assert!(refused(&certificate, &absent).starts_with("TLS_KEY names "));
    assert!(refused(&key, &key).contains("no certificate in PEM"));
    assert!(refused(&certificate, &certificate).contains("no private key in PEM"));
    folder.write("key.pem", CANARY);
    let unusable = refused(&certificate, &key);
    assert!(unusable.starts_with("TLS_KEY is not the key"), "{unusable}");
    assert!(!unusable.contains("Q0FOQVJZ") && !unusable.contains("CANARY"), "{unusable}");
    folder.write("key.pem", &CANARY.replace("Q0FOQVJZ", "not base64 CANARY"));
    let damaged = refused(&certificate, &key);
    assert!(damaged.contains("no private key in PEM") && !damaged.contains("CANARY"), "{damaged}");
    folder.renew();
    let shown = format!("{:?}", folder.read().unwrap());
    assert!(shown.contains("key.pem") && !shown.contains("PRIVATE"), "{shown}");
}
