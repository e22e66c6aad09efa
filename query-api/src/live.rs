//! Live updates: rows as they are, and then every change of them, as server-sent events or as
//! values, which the subscriptions of GraphQL are made of.
//!
//! How a process learns what changed: it reads the rows whose `position` (the event that changed
//! them last) is beyond the one it read before, by an index of each read table. One task per
//! projection, the hub, does so for all clients of the process, once per checkpoint step
//! (`hub`). It hands each changed row to those who follow it: clients of one row and of one
//! user's rows are found by key, only clients of whole lists are gone through.
//!
//! - The read tables are the only source. NATS says that there is something to read; without it the
//!   hub polls. So streams go on while NATS, the relay and the event store are away, any number of
//!   processes serve their own clients, and nothing has to be kept for them or pruned.
//! - A table of changes, written by the projector, would name the rows before a change, too. It
//!   would also double what a batch writes, and each rebuild would fill it. An index costs less.
//!   Its price: several changes of a row within one step are sent as one, with the last state, and
//!   `left` may name a row that a resumed client never had.
//! - The position alone resumes a stream in any process: its id names position and row, epoch and
//!   generation. What changed since is read by the same index (`read`). After a switch, in
//!   another epoch, after too many changes, or if rows lacked events, the client is told so and
//!   gets a new snapshot.
//! - A parked event that is applied later changes a row behind the position. Such rows are marked
//!   stale while they wait, so the hub compares the stale marks and sends rows that gain or lose
//!   one.

mod config;
mod form;
mod frame;
mod hub;
pub(crate) mod matches;
mod members;
mod page;
mod page_event;
mod page_stream;
mod queue;
mod read;
mod row;
mod step;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use service_kit::http::RateKey;
use service_kit::{Problem, Pulse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

pub use config::{LiveArgs, LiveSettings};
pub(crate) use form::{Event, Form};
pub(crate) use frame::{Kind, Reason};
pub(crate) use hub::{Follow, Matches};
pub(crate) use page::{AskPage, PageState};
pub(crate) use page_event::PageEvent;
pub(crate) use page_stream::{PageOpening, PageStream};
pub(crate) use read::{Ask, Snapshot};
pub use row::CHANGED;
pub(crate) use row::Followed;
use row::Hubs;
pub use step::SILENCE;
pub(crate) use stream::{Access, Opening, Streaming};

use crate::place::{Held, PlaceKind, Places};
use crate::read::Reader;
use page::Pages;

/// The maximum number of reads for streams that open or resume at once. Others wait for their turn,
/// so that many streams that open together leave connections for requests.
const READS_AT_ONCE: usize = 6;
/// How often a stream checks whether its caller may still see what it shows.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// The places of streams.
static STREAMS: PlaceKind = PlaceKind {
    gauge: "live_streams",
    of_client: ("too-many-streams-of-client", "You have too many open streams"),
    of_all: ("too-many-streams", "Too many streams are open"),
    retry_after_seconds: 5,
};

/// The live updates of one process. Clones share them.
#[derive(Debug, Clone)]
pub struct Live(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    settings: LiveSettings,
    hubs: Hubs,
    pages: Pages,
    places: Places,
    reads: Arc<Semaphore>,
    /// Ends all streams.
    stop: CancellationToken,
}

impl Live {
    /// Live updates without clients. Their streams end at `stop`.
    pub fn new(settings: LiveSettings, stop: CancellationToken) -> Self {
        describe();
        Self(Arc::new(Parts {
            pages: Pages::default(),
            places: Places::new(&STREAMS, settings.streams, settings.per_client),
            settings,
            hubs: Hubs::default(),
            reads: Arc::new(Semaphore::new(READS_AT_ONCE)),
            stop,
        }))
    }

    /// Takes a place for a stream of this client.
    ///
    /// # Errors
    /// 429 if the client has too many streams, 503 if the process has.
    pub(crate) fn take(&self, client: RateKey) -> Result<Held, Problem> {
        self.0.places.take(client)
    }

    /// Waits for a turn to read for an open stream.
    ///
    /// # Errors
    /// 503 if there are none any more.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.0.reads).acquire_owned().await.map_err(|_| stream::unavailable())
    }

    /// Cancelled when all streams end.
    pub(crate) fn stop(&self) -> CancellationToken {
        self.0.stop.clone()
    }

    /// Reads what changes while there are clients, until `stop`. `pulse` makes the pulse of a task
    /// with this name.
    pub async fn run(
        &self,
        reader: &Reader,
        pulse: impl Fn(&'static str) -> Pulse,
        stop: &CancellationToken,
    ) {
        stop.run_until_cancelled(self.0.hubs.run(reader, pulse)).await;
    }
}

fn describe() {
    metrics::describe_gauge!("live_streams", "Open streams of live updates");
    metrics::describe_counter!(
        "live_streams_ended",
        "Streams of live updates that ended, by reason"
    );
    metrics::describe_counter!("live_events", "Events sent to clients of streams");
    metrics::describe_gauge!(
        "live_position",
        "The position up to which changes were handed to streams, by projection"
    );
}
