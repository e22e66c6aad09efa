//! The files of a certificate: what is refused, and what happens when they change.
#![allow(clippy::unwrap_used, reason = "tests")]

mod warnings;

use std::fs;
use std::path::Path;

use local_servers::Certificate as Files;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

use super::{Tls, TlsError};

fn read(files: &Files) -> Result<Tls, TlsError> {
    Tls::read(&files.file(), &files.key_file())
}

/// What clients are shown.
fn used(tls: &Tls) -> CertificateDer<'static> {
    tls.certificate.used().certified.cert[0].clone()
}

fn written(files: &Files) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&files.pem()).unwrap()
}

#[tokio::test]
async fn new_files_are_used_and_unusable_ones_leave_the_last_certificate_in_use() {
    let files = Files::for_localhost();
    let tls = read(&files).unwrap();
    let first = used(&tls);
    files.renew();
    assert_eq!(used(&tls), first, "nobody has looked yet");
    tls.certificate.look().await.unwrap();
    let second = written(&files);
    assert_eq!(used(&tls), second);
    // The certificate is written before its key.
    let key = fs::read_to_string(files.key_file()).unwrap();
    files.renew();
    fs::write(files.key_file(), key).unwrap();
    let early = tls.certificate.look().await.unwrap_err();
    assert!(early.to_string().starts_with("TLS_KEY is not the key of TLS_CERTIFICATE"), "{early}");
    assert_eq!(used(&tls), second);
    files.renew();
    tls.certificate.look().await.unwrap();
    let last = written(&files);
    assert_eq!(used(&tls), last);
    fs::remove_file(files.file()).unwrap();
    assert!(tls.certificate.look().await.is_err());
    assert_eq!(used(&tls), last);
}

#[tokio::test]
async fn a_look_does_not_wait_for_one_that_hangs() {
    let files = Files::for_localhost();
    let tls = read(&files).unwrap();
    let hanging = tls.certificate.turn.try_acquire().unwrap();
    assert!(matches!(tls.certificate.look().await, Err(TlsError::Slow)));
    drop(hanging);
    tls.certificate.look().await.unwrap();
}

#[test]
fn files_that_cannot_be_used_are_refused_by_setting_and_the_key_is_not_shown() {
    // The text says CANARY in base64.
    const CANARY: &str = "-----BEGIN PRIVATE KEY-----\nQ0FOQVJZ\n-----END PRIVATE KEY-----\n";
    let files = Files::for_localhost();
    let (certificate, key) = (files.file(), files.key_file());
    let refused = |certificate: &Path, key: &Path| {
        cli_kit::describe(&Tls::read(certificate, key).unwrap_err())
    };
    let absent = certificate.with_file_name("absent");
    assert!(refused(&absent, &key).starts_with("TLS_CERTIFICATE names "));
    assert!(refused(&certificate, &absent).starts_with("TLS_KEY names "));
    let pipe = certificate.with_file_name("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(refused(&pipe, &key).contains("it is not a file"), "nobody waits for a writer");
    assert!(refused(&certificate, certificate.parent().unwrap()).contains("it is not a file"));
    assert!(refused(&key, &key).contains("not a certificate in PEM"));
    assert!(refused(&certificate, &certificate).contains("not a private key in PEM"));
    fs::write(&key, CANARY).unwrap();
    let unusable = refused(&certificate, &key);
    assert!(unusable.starts_with("TLS_KEY is not the key"), "{unusable}");
    assert!(!unusable.contains("Q0FOQVJZ") && !unusable.contains("CANARY"), "{unusable}");
    // `!` is not base64.
    fs::write(&key, CANARY.replace("Q0FOQVJZ", "CANARY!!")).unwrap();
    let damaged = refused(&certificate, &key);
    assert!(
        damaged.contains("not a private key in PEM") && !damaged.contains("CANARY"),
        "{damaged}"
    );
    files.renew();
    let shown = format!("{:?}", read(&files).unwrap());
    assert!(shown.contains("key.pem") && !shown.contains("PRIVATE"), "{shown}");
}
