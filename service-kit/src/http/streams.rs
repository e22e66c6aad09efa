//! The tasks of HTTP/2 streams. hyper runs each request and its answer in a task of its own; here
//! each gets a token that ends it, which resets its stream.

use std::future::Future;

use hyper::rt::Executor;
use tokio_util::sync::CancellationToken;

const RESET: &str = "http_server_streams_reset";

tokio::task_local! {
    /// Ends the stream of this task.
    static END: CancellationToken;
}

/// Runs the streams of a port.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        let end = CancellationToken::new();
        let ended = end.clone();
        tokio::spawn(END.scope(end, async move {
            // A stream that is dropped before its end is reset, and what waits in it is dropped.
            drop(ended.run_until_cancelled(stream).await);
        }));
    }
}

/// The token that ends the stream of this task. Over HTTP/1 there is none, and it does nothing.
pub(super) fn end() -> CancellationToken {
    END.try_with(CancellationToken::clone).unwrap_or_default()
}

/// Counts a stream that was reset because its client did not read.
pub(super) fn reset() {
    metrics::counter!(RESET, "reason" => "unread").increment(1);
}

/// Describes the metric of streams.
pub(super) fn describe() {
    metrics::describe_counter!(RESET, "HTTP/2 streams reset by the server, by reason");
}
