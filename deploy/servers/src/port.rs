//! Free ports on the loopback address.

use std::net::TcpListener;

/// A port that nobody listens on now. Another process may take it before its user does: callers retry with another.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Whether nobody listens on the port of the loopback address now.
pub fn port_is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
