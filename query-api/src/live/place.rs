//! Limits the number of open streams: in the process, and of one client. Each holds a place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use service_kit::http::RateKey;
use service_kit::{Problem, shed};

use super::LiveSettings;

/// The value of `Retry-After` for a stream that found no place, in seconds.
const RETRY_AFTER_SECONDS: u64 = 5;
const OPEN: &str = "live_streams";

/// The places of all streams of a process. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: LiveSettings,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<RateKey, usize>,
}

/// The place of one stream. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Held {
    places: Places,
    client: RateKey,
}

impl Places {
    pub(super) fn new(settings: LiveSettings) -> Self {
        metrics::gauge!(OPEN).set(0.0);
        Self(Arc::new(Shared { settings, taken: Mutex::default() }))
    }

    /// Takes a place for a stream of this client.
    ///
    /// # Errors
    /// 429 if the client has too many streams, 503 if the process has.
    pub(super) fn take(&self, client: RateKey) -> Result<Held, Problem> {
        let LiveSettings { streams, per_client, .. } = self.0.settings;
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.by_client.get(&client).is_some_and(|count| *count >= per_client) {
            let (code, title) = ("too-many-streams-of-client", "You have too many open streams");
            shed::count(code);
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, code, title)
                .detail(format!("at most {per_client} may be open at once"))
                .retry_after(RETRY_AFTER_SECONDS));
        }
        if taken.all >= streams {
            let title = "Too many streams are open";
            return Err(Problem::shed("too-many-streams", title, RETRY_AFTER_SECONDS));
        }
        taken.all += 1;
        *taken.by_client.entry(client).or_default() += 1;
        metrics::gauge!(OPEN).increment(1.0);
        Ok(Held { places: self.clone(), client })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = self.places.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(count) = taken.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                taken.by_client.remove(&self.client);
            }
        }
        metrics::gauge!(OPEN).decrement(1.0);
    }
}
