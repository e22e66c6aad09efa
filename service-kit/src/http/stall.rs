//! A write deadline: a client that does not read its answer would otherwise hold a connection and
//! memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A connection whose writes fail after a time without progress.
#[derive(Debug)]
pub(super) struct WriteDeadline<T> {
    inner: T,
    limit: Duration,
    /// Runs while a write waits for the peer to read.
    stalled: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl<T> WriteDeadline<T> {
    pub(super) const fn new(inner: T, limit: Duration) -> Self {
        Self { inner, limit, stalled: None, waiting: false }
    }

    /// Passes on a write's outcome, or fails if it has waited too long.
    fn watch<R>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if outcome.is_ready() {
            self.waiting = false;
            return outcome;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !self.waiting {
            self.waiting = true;
            stalled.as_mut().reset(Instant::now() + limit);
        }
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read its answer",
        )))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteDeadline<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        self.watch(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(context);
        self.watch(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_reads_fails_and_one_that_is_read_slowly_does_not() {
        let limit = Duration::from_secs(30);
        let (client, mut server) = tokio::io::duplex(1);
        let (mut writing, began) = (WriteDeadline::new(client, limit), Instant::now());
        let reading = async {
            let mut byte = [0];
            for _ in 0..5 {
                // Each byte is read within the limit; all of them take longer.
                tokio::time::sleep(limit.saturating_sub(Duration::from_secs(1))).await;
                server.read_exact(&mut byte).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(writing.write_all(&[0; 6]), reading);
        assert!(written.is_ok() && began.elapsed() > limit * 2);
        let began = Instant::now();
        assert_eq!(writing.write_all(&[0; 6]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), limit);
    }
}
