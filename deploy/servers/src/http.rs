//! HTTP to this machine's own processes. Nothing here waits for an answer for ever.

use std::time::Duration;

/// How long a process may take to answer a test. Above every limit that our processes have
/// themselves.
const REQUEST_LIMIT: Duration = Duration::from_mins(1);

/// A client for loopback addresses. It speaks no TLS, and so never reads the system's certificates,
/// which takes longer than most answers. Still, make one and keep it: it also keeps connections.
///
/// # Errors
/// The HTTP library cannot make a client.
pub fn loopback_client(limit: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(limit).no_proxy().tls_certs_only([]).build()
}

/// A client for a test.
///
/// # Panics
/// If the HTTP library cannot make one.
#[allow(clippy::expect_used, reason = "tests")]
pub fn test_client() -> reqwest::Client {
    loopback_client(REQUEST_LIMIT).expect("an HTTP client")
}

/// Asks once, on a connection of its own.
///
/// # Errors
/// There is no answer, or none in time.
pub async fn http_get(url: impl reqwest::IntoUrl + Send) -> reqwest::Result<reqwest::Response> {
    test_client().get(url).send().await
}
