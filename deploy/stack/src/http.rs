//! HTTP to this machine's own processes.

use std::time::Duration;

/// A client for loopback addresses. It speaks no TLS, and so never reads the system's certificates, which takes longer than
/// most answers. Still, make one and keep it: it also keeps connections.
pub fn loopback_client(limit: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().timeout(limit).no_proxy().tls_certs_only([]).build()
}
