//! Answers a new connection with 503 while every other connection is busy.
//!
//! The answer is HTTP/1.1 and is sent before anything is read. A client that starts with HTTP/2
//! cannot read it and sees its connection closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::problem::{PROBLEM_JSON, Problem};
use crate::shed;

/// The maximum number of refusals sent at once. Further connections are closed without an answer.
const MAX_REFUSALS: usize = 64;
/// How long the connection is read afterwards. Closing it with unread bytes would reset it, and the
/// client would lose the answer.
const LINGER: Duration = Duration::from_secs(1);
/// The `Retry-After` of a refusal, in seconds.
const RETRY_AFTER: u64 = 1;

/// Refuses connections while every place is taken.
#[derive(Debug, Clone)]
pub(super) struct Refusals {
    free: Arc<Semaphore>,
    answer: Arc<str>,
}

impl Refusals {
    pub(super) fn new() -> Self {
        let problem =
            Problem::shed("too-many-connections", "Too many connections at once", RETRY_AFTER);
        let body = serde_json::to_string(problem.body()).unwrap_or_default();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: \
                {length}\r\n\
             retry-after: {RETRY_AFTER}\r\ncache-control: no-store\r\nconnection: \
             close\r\n\r\n{body}"
        );
        Self { free: Arc::new(Semaphore::new(MAX_REFUSALS)), answer: answer.into() }
    }

    /// Answers in a separate task, so the accept loop does not wait.
    pub(super) fn refuse(&self, stream: TcpStream) {
        shed::count("too-many-connections");
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else { return };
        let answer = Arc::clone(&self.answer);
        tokio::spawn(async move {
            // The connection ends here whether or not the client reads the answer.
            if let Ok(Err(error)) = tokio::time::timeout(LINGER, tell(stream, &answer)).await {
                tracing::debug!(%error, "could not send a refusal to a new connection");
            }
            drop(place);
        });
    }
}

/// Closes a new connection without an answer.
pub(super) fn close(stream: TcpStream) {
    shed::count("too-many-connections");
    drop(stream);
}

async fn tell(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}
