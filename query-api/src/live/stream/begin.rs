//! How a stream begins: with what the client missed, or with a snapshot.

use std::time::Duration;

use service_kit::{PageInfo, Problem};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{HUB_LIMIT, Streaming, unavailable};
use crate::live::form::Output;
use crate::live::frame::{Kind, Meta, Place, Reason, State};
use crate::live::hub::{Follow, Matches};
use crate::live::read::{Snapshot, missed};
use crate::live::row::Followed;
use crate::live::step::state_at;
use crate::read::{ReadError, Seen};
use crate::wait::Wait;

/// How long a stream waits for a state of the hub that fits its snapshot, before it reads again.
const AGAIN_EVERY: Duration = Duration::from_millis(100);
/// The maximum size of what a stream sends of what its client missed, in full queues of a client.
const MISSED_BUFFERS: usize = 4;
/// The pause before another attempt to read a snapshot in an open stream.
const REST: Duration = Duration::from_secs(1);

/// Why a stream begins again after a switch.
pub(in crate::live) const SWITCHED: &str =
    "the tables were switched, or the log has another history";

impl<R: Followed> Streaming<R> {
    /// Waits for the state of the hub.
    pub(super) async fn hub_state(&self) -> State {
        let mut state = R::hub(&self.live).state();
        match state.wait_for(Option::is_some).await.map(|state| *state) {
            Ok(Some(state)) => state,
            // The hub lives as long as its streams.
            _ => std::future::pending().await,
        }
    }

    /// Sends what the client missed, or returns why it cannot.
    pub(super) async fn resume(
        &mut self,
        id: &str,
        hub: &State,
    ) -> Result<Option<Reason>, Problem> {
        let no = |code, detail| Ok(Some(Reason::new(code, detail)));
        let Some(last) = State::parse(id) else {
            return no("unknown-event", "this is not the id of an event of these streams");
        };
        if !last.is_of(hub) {
            return no("tables-switched", SWITCHED);
        }
        if last.stale || hub.stale {
            return no("stale-rows", "rows lacked events, which may have been applied meanwhile");
        }
        let live = self.live.clone();
        let turn = live.turn().await?;
        let (rows, seen) = match &self.follow {
            Follow::Row(_) => {
                let Snapshot { rows, seen, .. } = (self.ask)(None).await?;
                (rows, seen)
            }
            Follow::List { owner, .. } => {
                match missed::<R>(&self.reader, last.place, *owner).await {
                    Ok(Some(missed)) => (missed.rows, missed.seen),
                    Ok(None) => return no("too-many-changes", "too much changed meanwhile"),
                    Err(ReadError::TooSlow) => {
                        return no("too-many-changes", "reading what changed took too long");
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        };
        drop(turn);
        let state = state_at(&seen);
        // The id may be of a position that a crash of the database took back.
        let least = last.place.position.max(hub.place.position);
        if !state.is_of(hub) || state.stale || seen.position < least {
            return no("unknown-position", "the position of the event is not known here");
        }
        if !self.send_missed(rows, last.place, (&state, &seen)) {
            return no("too-many-changes", "too much changed meanwhile");
        }
        self.at = seen.position;
        self.shown = Some(state_at(&seen));
        self.complete(Kind::Resumed, &seen, None);
        Ok(None)
    }

    /// Sends the rows that changed after a place, or nothing if they are too large together.
    fn send_missed(&mut self, rows: Vec<R>, after: Place, (state, seen): (&State, &Seen)) -> bool {
        let matches: Option<Matches<R>> = match &self.follow {
            Follow::List { matches, .. } => matches.clone(),
            Follow::Row(_) => None,
        };
        let (mut outputs, mut bytes) = (Vec::new(), 0);
        for row in rows {
            let place = Place { position: row.position(), id: row.id() };
            if place <= after {
                continue;
            }
            let id = state.id_at(place);
            let (epoch, position) = (state.epoch, place.position);
            let meta = Meta { epoch, position, stale: None, ..Meta::of(seen) };
            let output = if matches.as_ref().is_none_or(|matches| matches(&row)) {
                if let Some(members) = &self.following.members {
                    members.add(row.id());
                }
                self.form.row(Kind::of_change(row.is_erased()), Some(&id), row, meta)
            } else {
                self.form.left(&id, row.id(), meta)
            };
            bytes += output.as_ref().map_or(0, Output::bytes);
            if bytes > MISSED_BUFFERS * self.live.0.settings.buffer_bytes {
                return false;
            }
            outputs.push(output);
        }
        for output in outputs {
            self.push(output);
        }
        true
    }

    /// Sends an event. One that cannot be written as JSON is a bug, and was logged.
    fn push(&mut self, output: Option<Output<R>>) {
        if let Some(output) = output {
            metrics::counter!("live_events").increment(1);
            self.ready.push_back(output);
        }
    }

    /// Sends the event that says that the client is complete up to a position.
    fn complete(&mut self, kind: Kind, seen: &Seen, page: Option<PageInfo>) {
        let (state, meta) = (state_at(seen), Meta { page, ..Meta::of(seen) });
        self.push(self.form.complete(kind, &state.id_at(state.place), meta));
    }

    /// Sends a snapshot that fits the state of the hub.
    pub(super) async fn snapshot(&mut self, mut wait: Option<Wait>) -> Result<(), Problem> {
        let live = self.live.clone();
        let mut deadline = None;
        let snapshot = loop {
            let snapshot = if let Some(wait) = wait.take() {
                // The wait for a position takes no turn from others.
                (self.ask)(Some(wait)).await?
            } else {
                let _turn = live.turn().await?;
                (self.ask)(None).await?
            };
            let mut state = R::hub(&live).state();
            let fits = |hub: &Option<State>| {
                hub.is_some_and(|hub| {
                    hub.is_of(&state_at(&snapshot.seen))
                        && hub.place.position <= snapshot.seen.position
                })
            };
            if fits(&state.borrow_and_update()) {
                break snapshot;
            }
            let now = Instant::now();
            if now > *deadline.get_or_insert(now + HUB_LIMIT) {
                return Err(unavailable());
            }
            // A switch is on its way to the hub, or the database is behind it.
            drop(timeout(AGAIN_EVERY, state.changed()).await);
        };
        self.send_snapshot(snapshot);
        Ok(())
    }

    fn send_snapshot(&mut self, Snapshot { rows, seen, page }: Snapshot<R>) {
        let ids: Vec<Uuid> = rows.iter().map(R::id).collect();
        let ahead = rows.iter().filter(|row| row.position() > seen.position);
        self.ahead = ahead.map(|row| (row.id(), row.position())).collect();
        let meta = Meta::of(&seen);
        for row in rows {
            self.push(self.form.row(Kind::Row, None, row, meta.clone()));
        }
        let is_whole = page.as_ref().is_none_or(|page| !page.has_more);
        if let Some(members) = &self.following.members {
            members.know(ids.into_iter(), is_whole, seen.position);
        }
        self.at = seen.position;
        self.shown = Some(state_at(&seen));
        self.needs_snapshot = false;
        self.complete(Kind::Complete, &seen, page);
    }

    /// Sends a new snapshot in an open stream, as soon as there is one.
    pub(super) async fn snapshot_again(&mut self) {
        let stop = self.live.0.stop.clone();
        if let Err(problem) = (self.access)() {
            return self.end_with(&problem);
        }
        let read = tokio::select! {
            () = stop.cancelled() => {
                return self.end("shutting-down", "this server is going down");
            }
            read = self.snapshot(None) => read,
        };
        match read {
            // The read may have waited for long.
            Ok(()) => {
                if let Err(problem) = (self.access)() {
                    self.ready.clear();
                    self.end_with(&problem);
                }
            }
            Err(problem) if problem.status().is_client_error() => self.end_with(&problem),
            Err(problem) => {
                tracing::debug!(%problem, "a stream waits for its snapshot");
                drop(timeout(REST, stop.cancelled()).await);
            }
        }
    }
}
