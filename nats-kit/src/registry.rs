//! The list of processes, kept up to date. While NATS is away, it is the last known one and says
//! so.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use service_kit::health::Health;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::connection::NatsHandle;
use crate::discover::discover;
use crate::found::Found;

/// The interval between two looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After this time without progress, looking is considered hung. A look takes some seconds.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// What a list says of a process that was started without NATS.
const NOT_SET: &str = "NATS_URL is not set";
/// What a list says before the first look.
const NOT_YET: &str = "nobody was asked yet";

/// The processes, and whether the list is still true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Whether the last look found out. If not, the processes are the last known ones, which may
    /// have ended, and others may have started.
    pub is_current: bool,
    /// Why the list is not current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The age of the list in seconds; `None` if there never was one.
    pub age_seconds: Option<u64>,
    /// The processes by name and id.
    pub processes: Vec<Found>,
}

impl Listing {
    /// The list of this moment.
    pub const fn current(processes: Vec<Found>) -> Self {
        Self { is_current: true, reason: None, age_seconds: Some(0), processes }
    }

    /// No list, and why.
    pub const fn unknown(reason: String) -> Self {
        Self { is_current: false, reason: Some(reason), age_seconds: None, processes: Vec::new() }
    }

    /// Marks the list as the last known one, and why it is.
    #[must_use]
    pub fn last_known(self, reason: String) -> Self {
        Self { is_current: false, reason: Some(reason), ..self }
    }
}

/// The last known list of processes. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// The last list, and when it was made.
    last: Option<(Instant, Vec<Found>)>,
    /// Why the last look failed.
    failure: Option<String>,
}

impl Registry {
    /// Creates a registry that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the list.
    pub fn listing(&self) -> Listing {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = known.failure.clone();
        match &known.last {
            Some((at, processes)) => Listing {
                is_current: reason.is_none(),
                reason,
                age_seconds: Some(at.elapsed().as_secs()),
                processes: processes.clone(),
            },
            None => Listing::unknown(reason.unwrap_or_else(|| NOT_YET.to_owned())),
        }
    }

    /// Looks again and again until `stop`. Returns at once without NATS.
    ///
    /// Health has the optional component `processes` and the optional pulse `discovering`.
    pub async fn keep(&self, nats: Option<NatsHandle>, health: &Health, stop: CancellationToken) {
        let Some(nats) = nats else { return self.missed(NOT_SET.to_owned()) };
        let component = health.optional_component("processes");
        let pulse = health.optional_pulse("discovering", SILENCE_LIMIT);
        // On the heap, because the futures of the client are large.
        let looking = Box::pin(async {
            loop {
                pulse.beat();
                match discover(&nats).await {
                    Ok(processes) => {
                        self.seen(processes);
                        component.ready();
                    }
                    Err(error) => {
                        self.missed(error.to_string());
                        component.not_ready(error.to_string());
                    }
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        stop.run_until_cancelled(looking).await;
        pulse.rest();
    }

    fn seen(&self, processes: Vec<Found>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Known { last: Some((Instant::now(), processes)), failure: None };
    }

    fn missed(&self, reason: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).failure = Some(reason);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Standing, State};

    fn found() -> Found {
        let standing = Standing { state: State::Ready, waiting_for: Vec::new() };
        let (name, id, version) = ("one".to_owned(), "A".to_owned(), "1.0.0".to_owned());
        Found { name, id, version, standing, since: None, metadata: BTreeMap::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_known_list_stays_and_is_marked_with_its_age_and_the_reason() {
        let registry = Registry::new();
        assert_eq!(registry.listing(), Listing::unknown(NOT_YET.to_owned()));
        registry.missed("away".to_owned());
        assert_eq!(registry.listing(), Listing::unknown("away".to_owned()));
        registry.seen(vec![found()]);
        assert_eq!(registry.listing(), Listing::current(vec![found()]));
        tokio::time::advance(Duration::from_secs(7)).await;
        registry.missed("away".to_owned());
        let listing = registry.listing();
        assert_eq!((listing.is_current, listing.age_seconds), (false, Some(7)));
        assert_eq!(
            (listing.reason.as_deref(), &*listing.processes),
            (Some("away"), &[found()][..])
        );
        registry.seen(Vec::new());
        assert_eq!(registry.listing(), Listing::current(Vec::new()));
    }

    #[tokio::test]
    async fn without_nats_the_list_says_which_setting_is_missing() {
        let (registry, health) = (Registry::new(), Health::new());
        registry.keep(None, &health, CancellationToken::new()).await;
        assert_eq!(registry.listing(), Listing::unknown(NOT_SET.to_owned()));
        assert!(health.report().components.is_empty());
    }
}
