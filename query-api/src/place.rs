//! Places for answers that take long: so many in the process, and so many of one client, so that no
//! client takes all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use service_kit::http::RateKey;
use service_kit::{Problem, shed};

/// What the places are for, and how a request without a place is refused.
#[derive(Debug)]
pub(crate) struct PlaceKind {
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
    kind: &'static PlaceKind,
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
    pub(crate) fn new(kind: &'static PlaceKind, most: usize, per_client: usize) -> Self {
        metrics::gauge!(kind.gauge).set(0.0);
        Self(Arc::new(Shared { kind, most, per_client, taken: Mutex::default() }))
    }

    /// Takes a place for this client.
    ///
    /// # Errors
    /// 429 if the client has too many, 503 if the process has.
    pub(crate) fn take(&self, client: RateKey) -> Result<Held, Problem> {
        let Shared { kind, most, .. } = &*self.0;
        let mut taken = self.0.taken();
        self.0.has_room(&taken, client)?;
        if taken.all >= *most {
            let (code, title) = kind.of_all;
            return Err(Problem::shed(code, title, kind.retry_after_seconds));
        }
        taken.all += 1;
        taken.add(client);
        metrics::gauge!(kind.gauge).increment(1.0);
        Ok(Held { places: self.clone(), client })
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that a client may have one more.
    fn has_room(&self, taken: &Taken, client: RateKey) -> Result<(), Problem> {
        let Self { kind, per_client, .. } = self;
        if taken.by_client.get(&client).is_none_or(|count| count < per_client) {
            return Ok(());
        }
        let (code, title) = kind.of_client;
        shed::count(code);
        Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, code, title)
            .detail(format!("at most {per_client} may be open at once"))
            .retry_after(kind.retry_after_seconds))
    }
}

impl Taken {
    fn add(&mut self, client: RateKey) {
        *self.by_client.entry(client).or_default() += 1;
    }

    fn remove(&mut self, client: RateKey) {
        if let Some(count) = self.by_client.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.by_client.remove(&client);
            }
        }
    }
}

impl Held {
    /// Makes it a place of another client, which its client turned out to be.
    ///
    /// # Errors
    /// 429 if that client has too many.
    pub(crate) fn move_to(&mut self, client: RateKey) -> Result<(), Problem> {
        let Self { places: Places(shared), client: before } = self;
        if *before != client {
            let mut taken = shared.taken();
            shared.has_room(&taken, client)?;
            taken.add(client);
            taken.remove(*before);
            *before = client;
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let shared = &self.places.0;
        let mut taken = shared.taken();
        taken.all -= 1;
        taken.remove(self.client);
        metrics::gauge!(shared.kind.gauge).decrement(1.0);
    }
}
