//! The client of each request, and per-client limits for requests behind a trusted proxy.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;

use super::address::{ClientKey, Unnamed};
use super::limits::Limits;
use crate::problem::Problem;
use crate::shed;

const UNNAMED: &str = "http_server_unnamed_clients";

static LINES: shed::LogLimit = shed::LogLimit::new(shed::LINE_EVERY);

/// The `Retry-After` for a client with too many concurrent requests, in seconds.
const RETRY_AFTER: u64 = 1;

/// The connection that a request came over, stored in the request.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    peer: IpAddr,
    clients: Clients,
}

/// The number of requests in flight per client behind a trusted proxy.
#[derive(Debug, Clone)]
pub(super) struct Clients(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    in_flight: Mutex<HashMap<ClientKey, usize>>,
}

/// One request in flight of a client. Dropping it ends the count.
#[derive(Debug)]
pub(crate) struct ClientRequest {
    key: ClientKey,
    clients: Clients,
}

impl Clients {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Shared { limits, in_flight: Mutex::default() }))
    }

    pub(super) const fn wire(self, peer: IpAddr) -> Wire {
        Wire { peer, clients: self }
    }
}

impl Wire {
    /// The client of a request: the peer, or the client that a trusted proxy names.
    pub(super) fn client(&self, headers: &HeaderMap) -> IpAddr {
        self.named(headers).and_then(Result::ok).unwrap_or(self.peer)
    }

    /// The client that a trusted proxy names; `None` if the peer is not a trusted proxy.
    fn named(&self, headers: &HeaderMap) -> Option<Result<IpAddr, Unnamed>> {
        let Limits { trusted_proxies, forwarded_header, .. } = &self.clients.0.limits;
        let is_trusted = trusted_proxies.contains(self.peer);
        is_trusted.then(|| trusted_proxies.client(*forwarded_header, headers))
    }

    /// Counts a request for the client that a trusted proxy names. Returns `None` if the proxy
    /// names nobody, or if the connection itself is counted.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<Option<ClientRequest>, Problem> {
        let client = match self.named(headers) {
            Some(Ok(client)) => client,
            Some(Err(unnamed)) => {
                self.tell(unnamed);
                return Ok(None);
            }
            None => return Ok(None),
        };
        let Shared { limits, in_flight } = &*self.clients.0;
        let key = ClientKey::of(client);
        let mut in_flight = in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let count = in_flight.entry(key).or_default();
        if *count >= limits.per_address {
            return Err(Problem::shed(
                "too-many-of-one-client",
                "This client has too many requests at once",
                RETRY_AFTER,
            ));
        }
        *count += 1;
        Ok(Some(ClientRequest { key, clients: self.clients.clone() }))
    }

    /// Counts a request of a proxy that names no client. All of them count as one client, that of
    /// the proxy's address, so a header that cannot be read is also logged now and then.
    fn tell(&self, unnamed: Unnamed) {
        metrics::counter!(UNNAMED, "header" => unnamed.as_str()).increment(1);
        if unnamed == Unnamed::Unreadable
            && let Some(unlogged) = LINES.admit(UNNAMED, 1)
        {
            let header = self.clients.0.limits.forwarded_header.as_str();
            tracing::warn!(
                proxy = %self.peer, header, unlogged,
                "a trusted proxy names its client by something that is not an address"
            );
        }
    }
}

/// Describes the metric of clients that have no name.
pub(super) fn describe() {
    metrics::describe_counter!(
        UNNAMED,
        "Requests of trusted proxies that name no client, by what is wrong with the header"
    );
}

impl Drop for ClientRequest {
    fn drop(&mut self) {
        let mut in_flight = self.clients.0.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = in_flight.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                in_flight.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn behind_a_trusted_proxy_each_client_has_a_limit_and_its_requests_give_their_place_back() {
        let trusted_proxies = "10.0.0.1".parse().unwrap();
        let limits = Limits { per_address: 2, trusted_proxies, ..Limits::default() };
        let clients = Clients::new(limits);
        let wire = clients.clone().wire("10.0.0.1".parse().unwrap());
        let of = |client: &'static str| {
            HeaderMap::from_iter([(
                "x-forwarded-for".parse().unwrap(),
                HeaderValue::from_static(client),
            )])
        };
        let admit = |client| wire.admit(&of(client));
        let first = admit("192.0.2.1").unwrap();
        let second = admit("203.0.113.1, 192.0.2.1").unwrap();
        assert!(first.is_some() && second.is_some());
        assert_eq!(admit("192.0.2.1").unwrap_err().status(), 503);
        assert!(admit("192.0.2.2").unwrap().is_some(), "another client has its own limit");
        drop(first);
        assert!(admit("192.0.2.1").unwrap().is_some());
        drop(second);
        assert!(clients.0.in_flight.lock().unwrap().is_empty());
        assert_eq!(
            wire.client(&of("203.0.113.1, 192.0.2.1")),
            "192.0.2.1".parse::<IpAddr>().unwrap()
        );
        for unnamed in [HeaderMap::new(), of("192.0.2.1, unknown")] {
            assert_eq!(wire.client(&unnamed), "10.0.0.1".parse::<IpAddr>().unwrap());
            assert!(wire.admit(&unnamed).unwrap().is_none());
        }
        let direct = clients.wire("192.0.2.9".parse().unwrap());
        assert_eq!(direct.client(&of("192.0.2.1")), "192.0.2.9".parse::<IpAddr>().unwrap());
        assert!(
            direct.admit(&of("192.0.2.1")).unwrap().is_none(),
            "a stranger's word is not believed"
        );
    }
}
