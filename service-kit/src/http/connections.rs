//! The connections of a port: the limits in total and per address, which ones are busy, and which
//! one is closed to make room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::address::ClientKey;
use super::limits::Limits;
use super::streams;
use super::unread::Unread;

const OPEN: &str = "http_server_connections";
const CLOSED: &str = "http_server_connections_closed";

/// All connections of one port.
#[derive(Debug, Clone)]
pub(super) struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    started: Instant,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last_id: u64,
    open: HashMap<u64, Entry>,
    by_address: HashMap<ClientKey, usize>,
}

#[derive(Debug)]
struct Entry {
    address: Option<ClientKey>,
    activity: Arc<Activity>,
}

/// The activity of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    started: Instant,
    /// The number of requests whose answers are not sent yet.
    in_flight: AtomicUsize,
    /// The number of request heads received. An answer over HTTP/2 counts as another one.
    heads: AtomicU64,
    /// When the connection was last busy, in milliseconds after the port was opened.
    busy_at: AtomicU64,
    /// Whether HTTP/2 is spoken.
    is_http2: AtomicBool,
    unread: Unread,
    evicted: CancellationToken,
}

/// The place of one connection. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    connections: Connections,
    activity: Arc<Activity>,
}

/// The error when every connection that could make room is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AllBusy;

/// A request in flight. While it exists, its connection is busy.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

/// An answer on its way to an HTTP/2 client. While it exists, its connection is busy.
#[derive(Debug)]
pub(super) struct Sending {
    in_flight: InFlight,
    number: u64,
    /// When it is cancelled, the answer's HTTP/2 stream is reset.
    stream: CancellationToken,
}

impl Connections {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared { limits, started: Instant::now(), table: Mutex::default() }))
    }

    /// Admits a connection. If its address or the port is at its limit, the connection that was
    /// idle longest is closed.
    pub(super) fn admit(&self, peer: IpAddr) -> Result<Slot, AllBusy> {
        let limits = &self.0.limits;
        let address = (!limits.trusted_proxies.contains(peer)).then(|| ClientKey::of(peer));
        let mut table = self.0.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = address
            && table.by_address.get(&address).is_some_and(|count| *count >= limits.per_address)
        {
            table.evict_idle(|entry| entry.address == Some(address))?;
        }
        if table.open.len() >= limits.connections {
            table.evict_idle(|_| true)?;
        }
        let activity = Arc::new(Activity::new(self.0.started));
        table.last_id += 1;
        let id = table.last_id;
        table.insert(id, Entry { address, activity: Arc::clone(&activity) });
        Ok(Slot { id, connections: self.clone(), activity })
    }
}

impl Table {
    fn insert(&mut self, id: u64, entry: Entry) {
        if let Some(address) = entry.address {
            *self.by_address.entry(address).or_default() += 1;
        }
        self.open.insert(id, entry);
        metrics::gauge!(OPEN).increment(1.0);
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.open.remove(&id)?;
        if let Some(address) = entry.address
            && let Some(count) = self.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        metrics::gauge!(OPEN).decrement(1.0);
        Some(entry)
    }

    fn evict_idle(&mut self, may: impl Fn(&Entry) -> bool) -> Result<(), AllBusy> {
        let idle = self.open.iter().filter(|(_, entry)| may(entry) && !entry.activity.is_busy());
        let oldest =
            idle.min_by_key(|(id, entry)| (entry.activity.busy_at.load(Ordering::Relaxed), **id));
        let id = oldest.map(|(id, _)| *id).ok_or(AllBusy)?;
        if let Some(entry) = self.remove(id) {
            entry.activity.evicted.cancel();
            closed("made_room");
        }
        Ok(())
    }
}

impl Activity {
    fn new(started: Instant) -> Self {
        Self {
            started,
            in_flight: AtomicUsize::new(0),
            heads: AtomicU64::new(0),
            busy_at: AtomicU64::new(millis_since(started)),
            is_http2: AtomicBool::new(false),
            unread: Unread::default(),
            evicted: CancellationToken::new(),
        }
    }

    /// Records that a request head arrived.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.heads.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Records that a request came over HTTP/2.
    pub(super) fn speaks_http2(&self) {
        self.is_http2.store(true, Ordering::Relaxed);
    }

    /// Records that an answer is sent over HTTP/2, by the task of its stream.
    pub(super) fn send(&self, in_flight: InFlight) -> Sending {
        // Heads are counted up, so no two answers have the same number.
        let number = self.heads.fetch_add(1, Ordering::Relaxed);
        Sending { in_flight, number, stream: streams::end() }
    }

    /// Whether a request ever came over HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    /// Resets the streams of answers that the client leaves unread for this long. Returns when that
    /// does not help.
    pub(super) async fn left_unread(&self, limit: Duration) {
        self.unread.left_for(limit).await;
    }

    /// Whether a request is in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    /// Whether a request ever arrived.
    pub(super) fn was_used(&self) -> bool {
        self.heads.load(Ordering::Relaxed) > 0
    }
}

impl Sending {
    /// Notes that this number of bytes waits for the client.
    pub(super) fn wait(&self, bytes: usize) {
        if bytes > 0 {
            self.in_flight.0.unread.wait(self.number, bytes, &self.stream);
        }
    }

    /// Notes that this number of bytes waits no longer.
    pub(super) fn left(&self, bytes: usize) {
        if bytes > 0 {
            self.in_flight.0.unread.read(self.number, bytes);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.busy_at.store(millis_since(self.0.started), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slot {
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Waits until this connection must make room.
    pub(super) async fn evicted(&self) {
        self.activity.evicted.cancelled().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // An evicted connection was removed from the table earlier.
        self.connections.0.table.lock().unwrap_or_else(PoisonError::into_inner).remove(self.id);
    }
}

/// Counts a connection that this side closed.
pub(super) fn closed(reason: &'static str) {
    metrics::counter!(CLOSED, "reason" => reason).increment(1);
}

/// Describes the metrics of connections.
pub(super) fn describe() {
    metrics::describe_gauge!(OPEN, "Open connections");
    metrics::describe_counter!(CLOSED, "Connections closed by the server, by reason");
}

fn millis_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn connections(connections: usize, per_address: usize, proxies: &str) -> Connections {
        let trusted_proxies = proxies.parse().unwrap();
        Connections::new(Limits { connections, per_address, trusted_proxies, ..Limits::default() })
    }

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_evicted(slot: &Slot) -> bool {
        slot.activity.evicted.is_cancelled()
    }

    #[test]
    fn the_connection_that_was_idle_longest_makes_room_and_a_busy_one_never() {
        let connections = connections(3, 3, "");
        let [busy, first, second] = [1, 2, 3].map(|last| connections.admit(peer(last)).unwrap());
        let in_flight = busy.activity().begin();
        let third = connections.admit(peer(4)).unwrap();
        assert_eq!([&busy, &first, &second, &third].map(is_evicted), [false, true, false, false]);
        let in_flight = [in_flight, second.activity().begin(), third.activity().begin()];
        assert_eq!(connections.admit(peer(5)).unwrap_err(), AllBusy);
        drop(in_flight);
        assert!(connections.admit(peer(5)).is_ok());
    }

    #[test]
    fn an_address_with_as_many_as_it_may_makes_room_among_its_own() {
        let connections = connections(10, 2, "");
        let other = connections.admit(peer(1)).unwrap();
        let (first, second) =
            (connections.admit(peer(2)).unwrap(), connections.admit(peer(2)).unwrap());
        let third = connections.admit(peer(2)).unwrap();
        assert_eq!([&other, &first, &second, &third].map(is_evicted), [false, true, false, false]);
        let _busy = [second.activity().begin(), third.activity().begin()];
        assert_eq!(connections.admit(peer(2)).unwrap_err(), AllBusy);
        assert!(connections.admit(peer(3)).is_ok());
    }

    #[test]
    fn a_trusted_proxy_is_bounded_by_the_port_alone() {
        let connections = connections(4, 1, "192.0.2.7");
        let slots = [7; 4].map(|last| connections.admit(peer(last)).unwrap());
        assert!(!slots.iter().any(is_evicted));
    }

    #[test]
    fn a_place_is_given_back_once() {
        let connections = connections(1, 1, "");
        let first = connections.admit(peer(1)).unwrap();
        let second = connections.admit(peer(1)).unwrap();
        drop(first);
        let busy = second.activity().begin();
        assert_eq!(connections.admit(peer(2)).unwrap_err(), AllBusy);
        drop((busy, second));
        assert!(connections.0.table.lock().unwrap().by_address.is_empty());
    }
}
