//! A proxy to a server that can fall silent: connections stay open but nothing comes through, as
//! with a pulled cable or a frozen host. New connections are silent too. Silence can be limited to
//! one kind of connection, identified by its first message.

use std::sync::{Arc, OnceLock};

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The maximum size of one read from a connection, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;
/// Part of the first message to Postgres, before the connection's other parameters.
const POSTGRES_HELLO: &str = "user\0";

/// A kind of connection, identified by a Postgres client's start-up message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Texts that the message must all contain.
    pub says: &'static [&'static str],
    /// Texts that the message must not contain.
    pub never_says: &'static [&'static str],
}

impl Kind {
    /// Every connection, with any protocol.
    pub const EVERY: Kind = Kind { says: &[], never_says: &[] };

    fn covers(self, hello: Option<&String>) -> bool {
        if self == Self::EVERY {
            return true;
        }
        hello.is_some_and(|hello| {
            self.says.iter().all(|words| hello.contains(words))
                && !self.never_says.iter().any(|words| hello.contains(words))
        })
    }
}

/// A port that forwards to a server. Dropping it closes the connections.
#[derive(Debug)]
pub struct Way {
    port: u16,
    silent: watch::Sender<Option<Kind>>,
    forwarding: JoinHandle<()>,
}

impl Way {
    /// Creates a proxy to a port of the loopback address.
    pub async fn to(server: u16) -> Result<Way> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (silent, silence) = watch::channel(None);
        let forwarding = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(forward(client, server, silence.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Way { port, silent, forwarding })
    }

    /// The port of the proxy.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops all traffic on connections of this kind.
    pub fn falls_silent(&self, kind: Kind) {
        self.silent.send_replace(Some(kind));
    }

    /// Resumes all traffic, starting with what was held back.
    pub fn speaks_again(&self) {
        self.silent.send_replace(None);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}

async fn forward(client: TcpStream, server: u16, silence: watch::Receiver<Option<Kind>>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let hello = Arc::new(OnceLock::new());
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there = Direction { silence: silence.clone(), hello: Arc::clone(&hello), learns: true };
    let back = Direction { silence, hello, learns: false };
    tokio::join!(there.carry(from_client, to_server), back.carry(from_server, to_client));
}

struct Direction {
    silence: watch::Receiver<Option<Kind>>,
    hello: Arc<OnceLock<String>>,
    learns: bool,
}

impl Direction {
    /// Carries bytes until either end is closed. While silent, not even the close comes through.
    async fn carry(mut self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = from.read(&mut chunk).await.unwrap_or(0);
            if self.learns && self.hello.get().is_none() {
                let text = String::from_utf8_lossy(&chunk[..read]);
                if text.contains(POSTGRES_HELLO) {
                    self.hello.get_or_init(|| text.into_owned());
                }
            }
            let hello = Arc::clone(&self.hello);
            let speaks = |kind: &Option<Kind>| !kind.is_some_and(|kind| kind.covers(hello.get()));
            if self.silence.wait_for(speaks).await.is_err() {
                return;
            }
            if read == 0 || to.write_all(&chunk[..read]).await.is_err() {
                // The other direction notices the end by itself.
                drop(to.shutdown().await);
                return;
            }
        }
    }
}
