//! Free ports on the loopback address, each locked by one holder.
//!
//! A port stays free until a server listens on it, which happens later. Until then, another test or
//! stack could pick the same port. So each picked port has a locked file. The system could also
//! give the port to an outgoing connection. So [`free_port`] picks below the range that the system
//! uses.

use std::fs::{DirBuilder, File, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Error, Result};
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::{Mutex, PoisonError};

/// The first port that Linux gives to outgoing connections by default.
const USUAL_START: u16 = 32_768;
/// The number of ports below that to pick from.
const PICKED_FROM: u16 = 4_096;

/// The ports that this process picked. The locks end with the process.
static PICKED: Mutex<Vec<PortLock>> = Mutex::new(Vec::new());

/// A lock on a port among this user's processes. It ends when dropped or when the process ends.
#[derive(Debug)]
pub struct PortLock {
    _lock: File,
}

impl PortLock {
    /// Locks a port. Returns `None` if it is already locked (also by this process) or in use.
    ///
    /// # Errors
    /// The lock file cannot be created or locked.
    pub fn of(port: u16) -> Result<Option<PortLock>> {
        // One folder per user, because another user's folder is not writable.
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

/// Picks a free port and reserves it until this process ends.
///
/// # Errors
/// All ports are taken, or one cannot be locked.
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

/// Whether no process listens on this loopback port now.
fn port_is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// The first port that the system gives to outgoing connections.
fn start_of_clients() -> u16 {
    let range =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let start =
        range.split_whitespace().next().and_then(|start| start.parse().ok()).unwrap_or(USUAL_START);
    // Ports below this range belong to system services or to us.
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
        assert_eq!(picked.len(), 64, "no port is picked twice, even before anything listens on it");
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
