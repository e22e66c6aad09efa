//! A connection that keeps no buffers while it is idle: HTTP/1.1 by hand. A library's client would
//! take more memory and time than the process that is measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long it may take to connect, or to send a request.
const SEND_LIMIT: Duration = Duration::from_secs(20);
/// The maximum number of bytes that are read at once.
const READ: usize = 16 * 1024;
/// The maximum size of an answer's head, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// A connection to one process.
pub(in crate::bench) struct Wire {
    stream: TcpStream,
    server: SocketAddr,
    /// The part of an answer's head that has come.
    head: Vec<u8>,
    body: Body,
}

/// What is still to come of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    /// The head has not come yet.
    Absent,
    /// So many bytes.
    Plain(usize),
    /// The size of the next chunk, of which these digits have come.
    Size(usize),
    /// So many bytes of a chunk.
    Chunk(usize),
    /// The end of a chunk's line.
    LineEnd,
    Ended,
}

impl Wire {
    /// Connects to a process from this address.
    pub(in crate::bench) async fn connect(
        server: SocketAddr,
        from: Ipv4Addr,
    ) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into()).with_context(|| format!("no port of {from}"))?;
        let stream = timeout(SEND_LIMIT, socket.connect(server)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, server, head: Vec::new(), body: Body::Absent })
    }

    /// Sends a query with these header lines, each of which ends with CRLF.
    pub(in crate::bench) async fn get(&mut self, path: &str, headers: &str) -> anyhow::Result<()> {
        self.body = Body::Absent;
        let host = self.server;
        let text = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n");
        Ok(timeout(SEND_LIMIT, self.stream.write_all(text.as_bytes())).await??)
    }

    /// Waits for more of the answer, and appends what came of its body.
    ///
    /// # Errors
    /// The answer is not a success, or the connection ended.
    pub(in crate::bench) async fn read(&mut self, body: &mut Vec<u8>) -> anyhow::Result<()> {
        loop {
            self.stream.readable().await?;
            let mut bytes = [0; READ];
            match self.stream.try_read(&mut bytes) {
                Ok(0) => bail!("the connection ended"),
                Ok(read) => return self.take(bytes.get(..read).unwrap_or_default(), body),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether the whole answer has come.
    pub(in crate::bench) fn is_done(&self) -> bool {
        self.body == Body::Ended
    }

    fn take(&mut self, mut bytes: &[u8], body: &mut Vec<u8>) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            bytes = match self.body {
                Body::Absent => self.take_head(bytes)?,
                Body::Plain(left) | Body::Chunk(left) => {
                    let (part, rest) = bytes.split_at(left.min(bytes.len()));
                    body.extend_from_slice(part);
                    let left = left - part.len();
                    self.body = match self.body {
                        Body::Plain(_) if left == 0 => Body::Ended,
                        Body::Plain(_) => Body::Plain(left),
                        _ if left == 0 => Body::LineEnd,
                        _ => Body::Chunk(left),
                    };
                    rest
                }
                Body::Size(size) => self.take_size(size, bytes)?,
                Body::LineEnd => {
                    if bytes[0] == b'\n' {
                        self.body = Body::Size(0);
                    }
                    &bytes[1..]
                }
                // The line end after the last chunk.
                Body::Ended => {
                    ensure!(bytes.iter().all(u8::is_ascii_whitespace), "more than an answer");
                    &[]
                }
            };
        }
        Ok(())
    }

    /// Takes a byte of the line with a chunk's size.
    fn take_size<'b>(&mut self, size: usize, bytes: &'b [u8]) -> anyhow::Result<&'b [u8]> {
        let byte = char::from(bytes[0]);
        self.body = match byte {
            '\r' => Body::Size(size),
            '\n' if size == 0 => Body::Ended,
            '\n' => Body::Chunk(size),
            _ => {
                let digit = byte.to_digit(16).context("a chunk's size")?;
                Body::Size(size * 16 + usize::try_from(digit)?)
            }
        };
        Ok(&bytes[1..])
    }

    /// Takes what there is of the head. Returns what follows it.
    fn take_head<'b>(&mut self, bytes: &'b [u8]) -> anyhow::Result<&'b [u8]> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        ensure!(self.head.len() <= MAX_HEAD, "the head of an answer is too long");
        let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(&[]);
        };
        let head = std::mem::take(&mut self.head);
        let head = std::str::from_utf8(&head[..end])?;
        let rest = &bytes[end + 4 - before..];
        let field = |name: &str| {
            let fields = head.lines().filter_map(|line| line.split_once(':'));
            fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).next()
        };
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}\n{}", String::from_utf8_lossy(rest));
        self.body = match field("content-length") {
            Some(length) => Body::Plain(length.parse().context("a length")?),
            None if field("transfer-encoding") == Some("chunked") => Body::Size(0),
            None => bail!("an answer without an end: {head}"),
        };
        if self.body == Body::Plain(0) {
            self.body = Body::Ended;
        }
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// The body of an answer that comes in pieces of so many bytes, and whether it has ended.
    async fn read(text: &str, pieces: usize) -> (String, bool) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let mut wire = Wire::connect(server, Ipv4Addr::LOCALHOST).await.unwrap();
        let mut body = Vec::new();
        for piece in text.as_bytes().chunks(pieces) {
            wire.take(piece, &mut body).unwrap();
        }
        (String::from_utf8(body).unwrap(), wire.is_done())
    }

    #[tokio::test]
    async fn a_body_is_read_as_it_was_written_however_it_comes() {
        for pieces in [1, 3, 1_000] {
            let plain = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
            assert_eq!(read(plain, pieces).await, ("abc".to_owned(), true));
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let open = format!("{head}1\r\na\r\n10\r\n0123456789abcdef\r\n");
            assert_eq!(read(&open, pieces).await, ("a0123456789abcdef".to_owned(), false));
            let whole = format!("{open}0\r\n\r\n");
            assert_eq!(read(&whole, pieces).await, ("a0123456789abcdef".to_owned(), true));
        }
    }
}
