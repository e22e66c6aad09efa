//! Connections that go on in another protocol, such as web sockets.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::UPGRADE;
use axum::http::request::Parts;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::connections::InFlight;

/// Whether a request asks to go on as a web socket.
pub fn asks_for_web_socket(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(UPGRADE).iter().filter_map(|line| line.to_str().ok());
    lines.any(|line| line.split(',').any(|word| word.trim().eq_ignore_ascii_case("websocket")))
}

/// Keeps the place of a connection that goes on in another protocol. What speaks it holds this
/// until the end. Until then, the connection counts as busy, and a port that drains waits for it.
#[derive(Debug, Clone)]
pub struct KeptConnection {
    _in_flight: Arc<InFlight>,
    _token: TaskTrackerToken,
}

impl KeptConnection {
    pub(super) fn new(in_flight: InFlight, token: TaskTrackerToken) -> Self {
        Self { _in_flight: Arc::new(in_flight), _token: token }
    }

    /// Takes that of a request for a web socket. `None` if the request came over no connection.
    pub fn take(parts: &mut Parts) -> Option<Self> {
        parts.extensions.remove()
    }
}
