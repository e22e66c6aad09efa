//! Counts requests by the version of the API and the client that sends them, so that an operator
//! sees who still uses an old version.
//!
//! Clients name themselves at the log-in, so anybody can make names up. Only the first ones since
//! the start of the process are told apart.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Request;
use axum::response::Response;
use identity::gate::RequestCaller;
use metrics::{Counter, counter};
use service_kit::http::{ApiVersion, Step};

/// The name of the counter, without the ending of its unit.
const REQUESTS: &str = "api_requests";
/// The maximum number of clients that are told apart in a version.
const MAX_CLIENTS: usize = 50;
/// The label of all others. No client can have this name.
const OTHERS: &str = "(other)";
/// The label of requests without a client.
const NOBODY: &str = "(none)";

/// The counters, by version and client. As a step it belongs behind the gate, which says who calls.
#[derive(Clone, Default)]
pub(super) struct Usage(Arc<Mutex<BTreeMap<ApiVersion, HashMap<String, Counter>>>>);

impl Usage {
    pub(super) fn new() -> Self {
        metrics::describe_counter!(
            REQUESTS,
            "Requests by the version of the API, and by the client that the access token names"
        );
        Self::default()
    }

    fn count(&self, version: ApiVersion, client: &str) {
        let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let clients = versions.entry(version).or_default();
        if let Some(requests) = clients.get(client) {
            return requests.increment(1);
        }
        let client = if clients.len() < MAX_CLIENTS { client } else { OTHERS };
        let requests = clients.entry(client.to_owned()).or_insert_with(|| {
            counter!(REQUESTS, "version" => version.0.to_string(), "client" => client.to_owned())
        });
        requests.increment(1);
    }
}

impl Step for Usage {
    type After = ();

    fn before(&self, request: &mut Request) -> Result<(), Box<Response>> {
        if let Some(version) = request.extensions().get::<ApiVersion>() {
            let caller = request.extensions().get::<RequestCaller>();
            let client = caller.and_then(|RequestCaller(caller)| caller.client.as_deref());
            self.count(*version, client.unwrap_or(NOBODY));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn invented_clients_take_no_memory() {
        let usage = Usage::default();
        for client in 0..1_000 {
            usage.count(ApiVersion(1), &format!("client-{client}"));
        }
        usage.count(ApiVersion(2), "web");
        let versions = usage.0.lock().unwrap();
        let clients = &versions[&ApiVersion(1)];
        // The others count together.
        assert_eq!(clients.len(), MAX_CLIENTS + 1);
        assert!(clients.contains_key("client-0") && clients.contains_key(OTHERS));
        assert_eq!(versions[&ApiVersion(2)].len(), 1);
    }
}
