//! The places of streams: so many in the process, and so many of one client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
        let streams = self.0.settings.streams;
        let mut taken = self.0.taken();
        taken.has_room(client, &self.0.settings)?;
        if taken.all >= streams {
            let title = "Too many streams are open";
            return Err(Problem::shed("too-many-streams", title, RETRY_AFTER_SECONDS));
        }
        taken.all += 1;
        taken.add(client);
        metrics::gauge!(OPEN).increment(1.0);
        Ok(Held { places: self.clone(), client })
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Checks that a client may have one more.
    fn has_room(&self, client: RateKey, settings: &LiveSettings) -> Result<(), Problem> {
        let most = settings.per_client;
        if self.by_client.get(&client).is_none_or(|count| *count < most) {
            return Ok(());
        }
        let (code, title) = ("too-many-streams-of-client", "You have too many open streams");
        shed::count(code);
        Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, code, title)
            .detail(format!("at most {most} may be open at once"))
            .retry_after(RETRY_AFTER_SECONDS))
    }

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
    /// 429 if that client has too many streams.
    pub(crate) fn move_to(&mut self, client: RateKey) -> Result<(), Problem> {
        let Self { places: Places(shared), client: before } = self;
        if *before != client {
            let mut taken = shared.taken();
            taken.has_room(client, &shared.settings)?;
            taken.add(client);
            taken.remove(*before);
            *before = client;
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = self.places.0.taken();
        taken.all -= 1;
        taken.remove(self.client);
        metrics::gauge!(OPEN).decrement(1.0);
    }
}
