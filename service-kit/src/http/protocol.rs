//! Which protocol a client speaks: HTTP/1 or HTTP/2, as its first bytes say.
//!
//! hyper-util could tell, too. But it hands hyper the first bytes of a request on their own. hyper
//! then makes room behind them for the rest, so that each connection keeps a buffer of twice the
//! size, and the room for the state of both protocols.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use bytes::{Buf as _, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::streams::Streams;

/// What HTTP/2 begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How many bytes are read at first: most request heads fit.
const FIRST_BYTES: usize = 4 * 1024;

/// hyper's limit of header fields. It is above the limit of `screen.rs`, which answers with problem
/// details. Above 100, hyper would allocate for each request.
const MAX_PARSED_HEADERS: usize = 100;
/// hyper's limit of a request head in bytes, above the limit of `screen.rs`. It also bounds how
/// much of a body hyper reads ahead.
const MAX_PARSED_BYTES: usize = 64 * 1024;
/// The maximum number of concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// How many unread bytes an HTTP/2 client may send, per stream and per connection. It equals the
/// HTTP/1 limit, and is the protocol's minimum for a connection.
const WINDOW_BYTES: u32 = 65_535;
/// How many answer bytes an HTTP/2 stream buffers for a client that does not read them.
const MAX_SEND_BYTES: usize = 64 * 1024;
/// How often an idle HTTP/2 connection is pinged, and how long it has to answer.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// hyper's settings for connections of each protocol.
#[derive(Debug)]
pub(super) struct Builders {
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<Streams>,
}

impl Builders {
    /// Settings with this limit for the head of a request.
    pub(super) fn new(head_deadline: Duration) -> Self {
        let (mut http1, mut http2) = (http1::Builder::new(), http2::Builder::new(Streams));
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(head_deadline)
            .max_headers(MAX_PARSED_HEADERS)
            .max_buf_size(MAX_PARSED_BYTES)
            // A client may close its sending side after its request. A full disconnect is noticed
            // when the answer is written.
            .half_close(true);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(MAX_PARSED_BYTES).unwrap_or(u32::MAX))
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_send_buf_size(MAX_SEND_BYTES)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        Self { http1, http2 }
    }
}

/// A connection whose first bytes were read.
#[derive(Debug)]
pub(super) struct Begun<T> {
    /// The bytes that were read and not handed over yet.
    first: Bytes,
    stream: T,
}

/// Reads the first bytes of a connection. `None` if the client sent none and closed it.
///
/// # Errors
/// The connection broke.
pub(super) async fn begun<T: AsyncRead + Unpin>(
    mut stream: T,
) -> io::Result<Option<(Protocol, Begun<T>)>> {
    let mut first = BytesMut::with_capacity(FIRST_BYTES);
    while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
        if stream.read_buf(&mut first).await? == 0 {
            return Ok(None);
        }
    }
    let is_http2 = first.starts_with(PREFACE);
    let protocol = if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
    Ok(Some((protocol, Begun { first: first.freeze(), stream })))
}

impl<T: AsyncRead + Unpin> AsyncRead for Begun<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first[..length]);
        self.first.advance(length);
        if self.first.is_empty() {
            // The connection may live long, and does not need them any more.
            self.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Begun<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn the_first_bytes_say_what_is_spoken_and_are_read_again() {
        let longer = [PREFACE, b"more"].concat();
        for (sent, expected) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Protocol::Http1),
            (b"P", Protocol::Http1),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx", Protocol::Http1),
            (&longer, Protocol::Http2),
        ] {
            for at_once in [1, 7, sent.len()] {
                let (mut client, server) = tokio::io::duplex(at_once);
                let writing = async {
                    client.write_all(sent).await.unwrap();
                    // With a letter that is not in the preface, a part of it is not waited for.
                    client.write_all(b"!").await.unwrap();
                    drop(client);
                };
                let reading = async {
                    let (protocol, mut begun) = begun(server).await.unwrap().unwrap();
                    let mut read = Vec::new();
                    begun.read_to_end(&mut read).await.unwrap();
                    (protocol, read)
                };
                let ((protocol, read), ()) = tokio::join!(reading, writing);
                assert_eq!((protocol, read), (expected, [sent, b"!"].concat()));
            }
        }
        let (client, server) = tokio::io::duplex(1);
        drop(client);
        assert!(begun(server).await.unwrap().is_none());
    }
}
