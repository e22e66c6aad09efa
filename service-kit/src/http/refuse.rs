//! What a newcomer is told when every connection is busy: 503, at once.
//!
//! It is written before anything is read, in HTTP/1.1. A client that speaks HTTP/2 from the first
//! byte cannot read it and sees its connection closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::problem::{PROBLEM_JSON, Problem};
use crate::shed;

/// How many newcomers are told so at once; more are closed without a word.
const MAX_REFUSALS: usize = 64;
/// How long one is listened to afterwards: a connection that is closed with bytes unread is reset,
/// and the answer lost with it.
const LINGER: Duration = Duration::from_secs(1);
/// When another try is worth it, in seconds.
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

    /// Answers in a task of its own, so that the next newcomer need not wait.
    pub(super) fn refuse(&self, stream: TcpStream) {
        shed::count("too-many-connections");
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else { return };
        let answer = Arc::clone(&self.answer);
        tokio::spawn(async move {
            // Whether the client hears it or not, it is over in the end.
            if let Ok(Err(error)) = tokio::time::timeout(LINGER, tell(stream, &answer)).await {
                tracing::debug!(%error, "a newcomer did not hear that it was refused");
            }
            drop(place);
        });
    }
}

async fn tell(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}
