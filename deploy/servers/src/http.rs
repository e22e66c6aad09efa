//! HTTP clients for processes on this machine, all with a time limit.

use std::time::Duration;

/// How long a process may take to answer a test. Longer than any limit of our processes themselves.
const REQUEST_LIMIT: Duration = Duration::from_mins(1);

/// Creates a client for loopback addresses. It has no TLS, so it does not load the system's
/// certificates, which takes longer than most answers. Reuse it: it also keeps connections.
///
/// # Errors
/// The HTTP library cannot create a client.
pub fn loopback_client(limit: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(limit).no_proxy().tls_certs_only([]).build()
}

/// Creates a client for a test.
///
/// # Panics
/// If the HTTP library cannot create one.
#[allow(clippy::expect_used, reason = "tests")]
pub fn test_client() -> reqwest::Client {
    loopback_client(REQUEST_LIMIT).expect("an HTTP client")
}

/// Creates a client for a test, which trusts the certificates of a PEM text and no others.
///
/// # Panics
/// If the text has none, or the HTTP library cannot create a client.
#[allow(clippy::expect_used, reason = "tests")]
pub fn client_trusting(pem: &[u8]) -> reqwest::Client {
    let roots = reqwest::Certificate::from_pem_bundle(pem).expect("certificates in PEM");
    let client = reqwest::Client::builder().timeout(REQUEST_LIMIT).no_proxy();
    client.tls_certs_only(roots).build().expect("an HTTP client")
}

/// Sends one GET request on a new connection.
///
/// # Errors
/// There is no answer, or none in time.
pub async fn http_get(url: impl reqwest::IntoUrl + Send) -> reqwest::Result<reqwest::Response> {
    test_client().get(url).send().await
}
