//! A way to Postgres that can fall silent: connections stay open and nothing comes through, as when
//! a cable is pulled; or break: they are closed, and so is every new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};

/// Forwards to Postgres until it falls silent.
pub(crate) struct Silence {
    /// Counts up with each change; odd while it is silent.
    turn: Arc<AtomicUsize>,
    changed: tokio::sync::watch::Sender<usize>,
    broken: tokio::sync::watch::Sender<bool>,
    url: String,
}

impl Silence {
    /// Stands before the server that the URL names.
    pub(crate) async fn before(url: &str) -> Self {
        let (user, rest) = url.trim_start_matches("postgres://").split_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://{user}@{}/{database}", listener.local_addr().unwrap());
        let turn = Arc::new(AtomicUsize::new(0));
        let (changed, changes) = tokio::sync::watch::channel(0);
        let (broken, breaks) = tokio::sync::watch::channel(false);
        let (turns, server) = (Arc::clone(&turn), server.to_owned());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (begun, mut changes, server) =
                    (turns.load(Ordering::SeqCst), changes.clone(), server.clone());
                let mut breaks = breaks.clone();
                if *breaks.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    let mut kept = (client, TcpStream::connect(server).await.unwrap());
                    if begun.is_multiple_of(2) {
                        tokio::select! {
                            _ = tokio::io::copy_bidirectional(&mut kept.0, &mut kept.1) => return,
                            _ = breaks.wait_for(|broken| *broken) => return,
                            _ = changes.wait_for(|now| *now > begun) => {}
                        }
                    }
                    // A connection that has met the silence says nothing ever again, and is not
                    // closed either.
                    std::future::pending::<()>().await;
                    drop(kept);
                });
            }
        });
        Self { turn, changed, broken, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Nothing comes through from now on.
    pub(crate) fn falls(&self) {
        self.turns();
    }

    /// New connections come through again; the others stay silent for ever.
    pub(crate) fn ends(&self) {
        self.turns();
    }

    /// Every connection is closed from now on.
    pub(crate) fn breaks(&self) {
        self.broken.send_replace(true);
    }

    /// New connections come through again.
    pub(crate) fn mends(&self) {
        self.broken.send_replace(false);
    }

    fn turns(&self) {
        let now = self.turn.fetch_add(1, Ordering::SeqCst) + 1;
        self.changed.send_replace(now);
    }
}
