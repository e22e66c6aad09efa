//! Ports on the loopback address, each locked by one holder.
//!
//! A port is free until somebody listens on it, which a server does only later. Two things can take
//! it meanwhile. Another test or stack may pick the same: each lock therefore locks a file of the
//! port. A client's connection may be given it by the system: [`free_port`] therefore picks below
//! the range from which the system gives.

use std::fs::{DirBuilder, File, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Error, Result};
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::{Mutex, PoisonError};

/// The first port that Linux gives to clients, unless it is set otherwise.
const USUAL_START: u16 = 32_768;
/// How many ports below that are picked from.
const PICKED_FROM: u16 = 4_096;

/// What this process has picked. The locks end with it.
static PICKED: Mutex<Vec<PortLock>> = Mutex::new(Vec::new());

/// A port that nobody else of this user locks, until this is dropped or its process ends.
#[derive(Debug)]
pub struct PortLock {
    _lock: File,
}

impl PortLock {
    /// Locks the port; `None` if somebody else does, or listens on it.
    ///
    /// # Errors
    /// The file of the port cannot be made or locked.
    pub fn of(port: u16) -> Result<Option<PortLock>> {
        // One folder per user: in somebody else's nothing can be written.
        let folder = std::env::temp_dir().join(format!("daybook-ports-{}", nix::unistd::geteuid()));
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(port.to_string()))?;
        match lock.try_lock() {
            Ok(()) => Ok(port_is_free(port).then_some(PortLock { _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// A port on which nobody listens, for as long as this process lives.
///
/// # Errors
/// All are taken, or one cannot be locked.
pub fn free_port() -> Result<u16> {
    let start = start_of_clients();
    let first = start.saturating_sub(PICKED_FROM);
    let ports = u64::from(start - first);
    let offset = RandomState::new().hash_one(std::process::id());
    for nth in 0..ports {
        let step = u16::try_from(offset.wrapping_add(nth) % ports).unwrap_or(0);
        let port = first + step;
        if let Some(lock) = PortLock::of(port)? {
            PICKED.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
            return Ok(port);
        }
    }
    Err(Error::other(format!("no port is free from {first} to {}", start - 1)))
}

/// Whether nobody listens on the port of the loopback address now.
fn port_is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// The first port that the system gives to clients.
fn start_of_clients() -> u16 {
    let range =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let start =
        range.split_whitespace().next().and_then(|start| start.parse().ok()).unwrap_or(USUAL_START);
    // Below these, ports are for the system's own services, or ours.
    if start > 2 * PICKED_FROM + 1_024 { start } else { USUAL_START }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_port_is_picked_once_and_no_client_is_given_it() {
        let picked: BTreeSet<u16> = (0..64).map(|_| free_port().unwrap()).collect();
        assert_eq!(picked.len(), 64, "nobody listens on them yet, and none is picked again");
        assert!(picked.iter().all(|port| *port < start_of_clients()));
        assert!(PortLock::of(*picked.first().unwrap()).unwrap().is_none());
    }

    #[test]
    fn a_claim_ends_with_its_holder() {
        let port = (20_000..21_000).find(|port| port_is_free(*port)).unwrap();
        let lock = PortLock::of(port).unwrap().unwrap();
        assert!(PortLock::of(port).unwrap().is_none());
        drop(lock);
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert!(PortLock::of(port).unwrap().is_none(), "somebody listens");
        drop(listener);
        assert!(PortLock::of(port).unwrap().is_some());
    }
}
