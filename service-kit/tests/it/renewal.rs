//! Certificates that change while the port is open.

use std::fs;

use local_servers::{http_get, until};
use serde_json::Value;
use service_kit::http::Limits;

use crate::support::get_of;
use crate::tls::Running;

/// What the process says of its certificate: whether it is ready, and why not.
async fn health(running: &Running) -> (bool, String) {
    let report = http_get(format!("http://{}/readyz?verbose", running.admin)).await.unwrap();
    assert_eq!(report.status(), 200, "the last certificate still works");
    let report: Value = report.json().await.unwrap();
    let certificate = &report["components"]["certificate"];
    let reason = certificate["reason"].as_str().unwrap_or_default();
    (certificate["ready"].as_bool().unwrap_or_default(), reason.to_owned())
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_the_others_stay_open() {
    let mut running = Running::start(Limits::default()).await;
    let old = running.certificate.pem();
    let mut busy = running.client().await;
    busy.send(&get_of("/held")).await;
    running.gate.reached(1).await;
    running.certificate.renew();
    // Each client trusts the certificate that is in the file.
    until("the new certificate is used", async || running.ask().await.is_ok()).await;
    assert!(running.shake_trusting(&old, &["http/1.1"]).await.is_err(), "the old one is not");
    running.gate.let_go.add_permits(1);
    assert_eq!(busy.answer().await.0, 200);
    running.stop().await;
}

#[tokio::test]
async fn files_that_cannot_be_used_leave_the_last_certificate_in_use_and_health_says_why() {
    let running = Running::start(Limits::default()).await;
    until("the certificate is ready", async || health(&running).await.0).await;
    fs::write(running.certificate.key_file(), "CANARY").unwrap();
    until("health notices", async || !health(&running).await.0).await;
    let (_, reason) = health(&running).await;
    assert!(reason.starts_with("TLS_KEY names ") && !reason.contains("CANARY"), "{reason}");
    assert!(running.ask().await.unwrap().starts_with("HTTP/1.1 200 "));
    running.certificate.renew();
    until("health recovers", async || health(&running).await.0).await;
    assert!(running.ask().await.unwrap().starts_with("HTTP/1.1 200 "));
    running.stop().await;
}
