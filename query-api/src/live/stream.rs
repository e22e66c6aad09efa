//! The stream of one client: a snapshot or what it missed, then changes, until it ends with a
//! reason.
//!
//! The client is registered at the hub first, and reads then. What the hub hands out meanwhile
//! waits in its queue, and what the read showed already is dropped from it. So nothing is missed,
//! and nothing is sent twice.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use futures::Stream;
use service_kit::Problem;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout_at};
use uuid::Uuid;

use super::form::Form;
use super::frame::{self, Reason, State};
use super::hub::{Follow, Following};
use super::place::Held;
use super::queue::{Queue, Received, Sent};
use super::read::Ask;
use super::row::Followed;
use super::{CHECK_EVERY, Live};
use crate::read::Reader;
use crate::wait::Wait;

mod begin;

pub(super) use begin::SWITCHED;

/// How many checks there are to a heartbeat, which comes every 15 s.
pub(super) const CHECKS_PER_HEARTBEAT: u32 = 3;
/// How long a stream that opens waits for the hub.
const HUB_LIMIT: Duration = Duration::from_secs(3);
/// The maximum number of bytes that are written at once.
const MAX_CHUNK: usize = 16 * 1024;

/// Checks whether the caller may still see what the stream shows.
pub(crate) type Access = Box<dyn Fn() -> Result<(), Problem> + Send + Sync>;

/// What it takes to open a stream.
pub(crate) struct Opening<R> {
    /// The place that the stream holds.
    pub(crate) place: Held,
    pub(crate) follow: Follow<R>,
    /// How its rows are shown.
    pub(crate) form: Form<R>,
    pub(crate) ask: Ask<R>,
    pub(crate) access: Access,
    /// The id of the last event that the client has.
    pub(crate) last_event_id: Option<String>,
    /// The position that the snapshot has to show.
    pub(crate) wait: Option<Wait>,
}

/// An open stream.
pub(crate) struct Streaming<R: Followed> {
    live: Live,
    reader: Reader,
    follow: Follow<R>,
    form: Form<R>,
    ask: Ask<R>,
    access: Access,
    following: Following<R>,
    queue: Received,
    ready: VecDeque<Bytes>,
    /// The position up to which the client knows everything.
    at: i64,
    /// The state of the tables that the client has.
    shown: Option<State>,
    /// Rows that the snapshot showed ahead of its position.
    ahead: HashMap<Uuid, i64>,
    ticks: Interval,
    /// The number of checks since the last event.
    idle: u32,
    needs_snapshot: bool,
    /// Whether the answer has begun, and its end is not counted yet.
    is_open: bool,
    has_ended: bool,
    _place: Held,
}

impl<R: Followed> Streaming<R> {
    /// Registers a client and reads what it begins with.
    ///
    /// # Errors
    /// The problem that the same request without live updates has, or 503.
    pub(crate) async fn open(
        live: &Live,
        reader: &Reader,
        opening: Opening<R>,
    ) -> Result<Self, Problem> {
        let Opening { place, follow, form, ask, access, last_event_id, mut wait } = opening;
        let (queue, received) = Queue::new(live.0.settings.buffer_bytes);
        let mut ticks = interval_at(Instant::now() + CHECK_EVERY, CHECK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stream = Self {
            live: live.clone(),
            reader: reader.clone(),
            following: R::hub(live).follow(follow.clone(), form.clone(), queue),
            follow,
            form,
            ask,
            access,
            queue: received,
            ready: VecDeque::from([Bytes::from_static(frame::RETRY.as_bytes())]),
            at: 0,
            shown: None,
            ahead: HashMap::new(),
            ticks,
            idle: 0,
            needs_snapshot: false,
            is_open: false,
            has_ended: false,
            _place: place,
        };
        let deadline = Instant::now() + HUB_LIMIT;
        let hub = timeout_at(deadline, stream.hub_state()).await.map_err(|_| unavailable())?;
        if let Some(id) = last_event_id {
            if wait.is_some() {
                // Only for the wait: what was missed is read afterwards.
                (stream.ask)(wait.take()).await?;
            }
            match stream.resume(&id, &hub).await? {
                None => return Ok(stream),
                Some(why) => stream.ready.push_back(frame::notice("reset", &why)),
            }
        }
        stream.snapshot(wait).await?;
        Ok(stream)
    }

    /// The text of the stream, in chunks.
    pub(crate) fn chunks(mut self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        self.is_open = true;
        futures::stream::unfold(self, |mut stream| async move {
            let chunk = stream.next().await?;
            Some((Ok(chunk), stream))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(first) = self.ready.pop_front() {
                return Some(self.with_more(first));
            }
            if self.has_ended {
                return None;
            }
            if self.needs_snapshot {
                // Boxed: it is rare, and would make the future of each open stream large.
                Box::pin(self.snapshot_again()).await;
            } else {
                self.wait().await;
            }
        }
    }

    /// Joins small events that are ready, because each chunk is a write.
    fn with_more(&mut self, first: Bytes) -> Bytes {
        let fits = |joined: &[u8], next: &Bytes| joined.len() + next.len() <= MAX_CHUNK;
        if self.ready.front().is_none_or(|next| !fits(&first, next)) {
            return first;
        }
        let mut joined = first.to_vec();
        while let Some(next) = self.ready.pop_front_if(|next| fits(&joined, next)) {
            joined.extend_from_slice(&next);
        }
        joined.into()
    }

    /// Waits for the next thing to happen.
    async fn wait(&mut self) {
        let stop = self.live.0.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => self.end("shutting-down", "this server is going down"),
            // Before the queue: a client that never empties it is checked nevertheless.
            _ = self.ticks.tick() => self.check(),
            sent = self.queue.next() => match sent {
                Some(sent) => {
                    self.take(sent);
                    self.take_waiting();
                }
                None => self.end("too-slow", "the client reads more slowly than changes come"),
            },
        }
    }

    /// Takes what waits already, up to the size of a chunk.
    fn take_waiting(&mut self) {
        let mut bytes: usize = self.ready.iter().map(Bytes::len).sum();
        while bytes < MAX_CHUNK && !self.needs_snapshot {
            let Some(sent) = self.queue.try_next() else { return };
            bytes += self.take(sent);
        }
    }

    /// Takes a message of the hub. Returns the number of bytes that it adds to the stream.
    fn take(&mut self, sent: Sent) -> usize {
        match sent {
            Sent::Reset => {
                self.needs_snapshot = true;
                let why = Reason::new("tables-switched", SWITCHED);
                self.ready.push_back(frame::notice("reset", &why));
                0
            }
            Sent::Change { place, id, position, always, text } => {
                let is_known = place.position <= self.at
                    || self.ahead.get(&id).is_some_and(|known| *known >= position);
                if is_known && !always {
                    return 0;
                }
                self.idle = 0;
                metrics::counter!("live_events").increment(1);
                let bytes = text.len();
                self.ready.push_back(text);
                bytes
            }
        }
    }

    /// Checks the caller, and sends a sign of life if there was nothing else for long.
    fn check(&mut self) {
        if let Err(problem) = (self.access)() {
            return self.end_with(&problem);
        }
        self.idle += 1;
        if self.idle >= CHECKS_PER_HEARTBEAT {
            self.idle = 0;
            // What was handed out up to this state is in the queue already.
            let state = *R::hub(&self.live).state().borrow();
            self.take_waiting();
            let is_complete = self.ready.is_empty() && !self.needs_snapshot;
            // After a switch, the client has the old tables until it gets the reset.
            let is_shown = |state: &State| self.shown.is_some_and(|shown| shown.is_of(state));
            let state = state
                .filter(|state| is_complete && is_shown(state) && state.place.position >= self.at);
            let id = state.map(|state| state.id_at(state.place));
            self.ready.push_back(frame::heartbeat(id.as_deref()));
        }
    }

    fn end_with(&mut self, problem: &Problem) {
        self.end(problem.code(), problem.explanation().unwrap_or(problem.title()));
    }

    fn end(&mut self, code: &str, detail: &str) {
        self.has_ended = true;
        self.is_open = false;
        metrics::counter!("live_streams_ended", "reason" => code.to_owned()).increment(1);
        self.ready.push_back(frame::notice("end", &Reason::new(code, detail)));
    }
}

/// 503: the changes cannot be read at the moment.
pub(super) fn unavailable() -> Problem {
    Problem::unavailable("live-unavailable", "Changes cannot be read at the moment", 1)
}

impl<R: Followed> Drop for Streaming<R> {
    fn drop(&mut self) {
        if self.is_open {
            metrics::counter!("live_streams_ended", "reason" => "client-gone").increment(1);
        }
    }
}
