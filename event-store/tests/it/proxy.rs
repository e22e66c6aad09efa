//! TCP proxies in front of Postgres: one cuts the append connection at a chosen point, and one
//! leads new connections to another server.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The point at which the next call is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    Nowhere,
    /// The call does not reach the server.
    BeforeTheCall,
    /// The call reaches the server, but no byte of the answer returns.
    BeforeTheAnswer,
    /// Part of the answer returns.
    InsideTheAnswer,
}

/// A proxy that forwards to Postgres until it has to cut.
pub(crate) struct Proxy {
    next: Arc<AtomicU8>,
    cuts: Arc<AtomicUsize>,
    /// Whether all connections fail after a cut.
    for_good: Arc<AtomicBool>,
    url: String,
}

impl Proxy {
    /// Starts a proxy in front of the server that the URL names.
    pub(crate) async fn start(url: &str) -> Self {
        let (server, listener, url) = listen_for(url).await;
        let (next, cuts) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicUsize::new(0)));
        let for_good = Arc::new(AtomicBool::new(false));
        let shared = (Arc::clone(&next), Arc::clone(&cuts), server);
        let closes = Arc::clone(&for_good);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if closes.load(Ordering::SeqCst) && shared.1.load(Ordering::SeqCst) > 0 {
                    continue;
                }
                let (next, cuts, server) = shared.clone();
                tokio::spawn(async move {
                    let server = TcpStream::connect(server).await.unwrap();
                    forward(client, server, &next, &cuts).await;
                });
            }
        });
        Self { next, cuts, for_good, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Cuts the next call at this point.
    pub(crate) fn cut_next(&self, cut: Cut) {
        self.next.store(cut as u8, Ordering::SeqCst);
    }

    /// Cuts the next call at this point and refuses all connections afterwards.
    pub(crate) fn cut_next_and_all_after(&self, cut: Cut) {
        self.for_good.store(true, Ordering::SeqCst);
        self.cut_next(cut);
    }

    /// The number of connections that were cut.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

/// Listens in place of the server that a URL names. Returns the server's address, and the URL with
/// the listener's.
async fn listen_for(url: &str) -> (String, TcpListener, String) {
    let (user, rest) = url.trim_start_matches("postgres://").split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://{user}@{}/{database}", listener.local_addr().unwrap());
    (server.to_owned(), listener, url)
}

/// A proxy that leads each new connection to the server that is named then. Open ones stay where
/// they are.
pub(crate) struct Switch {
    server: Arc<Mutex<String>>,
    url: String,
}

impl Switch {
    /// Starts a proxy in front of the server that the URL names.
    pub(crate) async fn start(url: &str) -> Self {
        let (server, listener, url) = listen_for(url).await;
        let server = Arc::new(Mutex::new(server));
        let named = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let server = named.lock().unwrap().clone();
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    // It ends when either side does.
                    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
                });
            }
        });
        Self { server, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Leads new connections to the server at this port of the machine.
    pub(crate) fn lead_to(&self, port: u16) {
        *self.server.lock().unwrap() = format!("127.0.0.1:{port}");
    }
}

/// Forwards until either side ends or the call is cut; then both connections end.
async fn forward(
    mut client: TcpStream,
    mut server: TcpStream,
    next: &AtomicU8,
    cuts: &AtomicUsize,
) {
    let (mut to_server, mut to_client) = (vec![0; 65_536], vec![0; 65_536]);
    // Start-up packets identify the append connections.
    let (mut appends, mut cutting) = (false, Cut::Nowhere);
    loop {
        tokio::select! {
            read = client.read(&mut to_server) => {
                let Ok(length @ 1..) = read else { return };
                let bytes = &to_server[..length];
                if !appends {
                    appends = bytes.windows(12).any(|w| w == b"lock_timeout");
                } else if bytes.windows(14).any(|w| w == b"thing.happened") {
                    // Only a call carries events.
                    cutting = match next.swap(0, Ordering::SeqCst) {
                        1 => Cut::BeforeTheCall,
                        2 => Cut::BeforeTheAnswer,
                        3 => Cut::InsideTheAnswer,
                        _ => Cut::Nowhere,
                    };
                }
                if cutting == Cut::BeforeTheCall {
                    cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if server.write_all(bytes).await.is_err() { return; }
            }
            read = server.read(&mut to_client) => {
                let Ok(length @ 1..) = read else { return };
                if cutting != Cut::Nowhere {
                    cuts.fetch_add(1, Ordering::SeqCst);
                    if cutting == Cut::InsideTheAnswer {
                        client.write_all(&to_client[..length / 2]).await.ok();
                    }
                    return;
                }
                if client.write_all(&to_client[..length]).await.is_err() { return; }
            }
        }
    }
}
