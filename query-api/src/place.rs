//! Places for answers that take long: so many in the process, and so many of one client, so that no
//! client takes all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use service_kit::http::RateKey;
use service_kit::{Problem, shed};

/// What the places are for, and how a request without a place is refused.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The gauge with the number of taken places.
    pub(crate) gauge: &'static str,
    /// The code and the title of the problem if the client has too many.
    pub(crate) of_client: (&'static str, &'static str),
    /// The same if the process has too many.
    pub(crate) of_all: (&'static str, &'static str),
    /// The value of `Retry-After` of both.
    pub(crate) retry_after_seconds: u64,
}

/// The places of one kind. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kind: &'static Kind,
    most: usize,
    per_client: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<RateKey, usize>,
}

/// A taken place. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Held {
    places: Places,
    client: RateKey,
}

impl Places {
    /// So many places of a kind, and so many of them for one client.
    pub(crate) fn new(kind: &'static Kind, most: usize, per_client: usize) -> Self {
        metrics::gauge!(kind.gauge).set(0.0);
        Self(Arc::new(Shared { kind, most, per_client, taken: Mutex::default() }))
    }

    /// Takes a place for this client.
    ///
    /// # Errors
    /// 429 if the client has too many, 503 if the process has.
    pub(crate) fn take(&self, client: RateKey) -> Result<Held, Problem> {
        let Shared { kind, most, per_client, taken } = &*self.0;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.by_client.get(&client).is_some_and(|count| count >= per_client) {
            let (code, title) = kind.of_client;
            shed::count(code);
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, code, title)
                .detail(format!("at most {per_client} may be open at once"))
                .retry_after(kind.retry_after_seconds));
        }
        if taken.all >= *most {
            let (code, title) = kind.of_all;
            return Err(Problem::shed(code, title, kind.retry_after_seconds));
        }
        taken.all += 1;
        *taken.by_client.entry(client).or_default() += 1;
        metrics::gauge!(kind.gauge).increment(1.0);
        Ok(Held { places: self.clone(), client })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Shared { kind, taken, .. } = &*self.places.0;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(count) = taken.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                taken.by_client.remove(&self.client);
            }
        }
        metrics::gauge!(kind.gauge).decrement(1.0);
    }
}
