//! The stream of one client of a page.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures::Stream;
use service_kit::Problem;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::frame::{self, Kind, Meta, Reason, State};
use super::page::{AskPage, LastRead, PAGE_EVERY, PageState};
use super::stream::{Access, CHECKS_PER_HEARTBEAT, SWITCHED, unavailable};
use super::{CHECK_EVERY, Live};
use crate::place::Held;
use crate::position::Moves;
use crate::read::Reader;
use crate::scope::Projection;
use crate::wait::Wait;

/// How long a stream waits for the projection to move on before it reads the page anyway. It is
/// shorter than the time between two checks of the caller.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What it takes to open a stream of a page.
pub(crate) struct PageOpening {
    /// The place that the stream holds.
    pub(crate) place: Held,
    /// The path and query of the request.
    pub(crate) request: String,
    /// The projection that the page is of.
    pub(crate) projection: Projection,
    pub(crate) ask: AskPage,
    pub(crate) access: Access,
    /// The id of the last event that the client has.
    pub(crate) last_event_id: Option<String>,
    /// The position that the snapshot has to show.
    pub(crate) wait: Option<Wait>,
}

/// An open stream of a page.
pub(crate) struct PageStream {
    live: Live,
    moves: Moves,
    shared: Arc<LastRead>,
    ask: AskPage,
    access: Access,
    /// What the client has.
    shown: Arc<PageState>,
    looked_at: Instant,
    ready: VecDeque<Bytes>,
    ticks: Interval,
    /// The number of checks since the last event.
    idle: u32,
    is_open: bool,
    has_ended: bool,
    _place: Held,
}

impl PageStream {
    /// Reads what the client begins with.
    ///
    /// # Errors
    /// The problem that the same request without live updates has.
    pub(crate) async fn open(
        live: &Live,
        reader: &Reader,
        opening: PageOpening,
    ) -> Result<Self, Problem> {
        let PageOpening { place, request, projection, ask, access, last_event_id, wait } = opening;
        let shared = live.0.pages.of(&request);
        let shown = match wait {
            // Others need not wait.
            Some(_) => Arc::new(ask(wait).await?),
            None => newest(live, &shared, &ask).await?,
        };
        let mut ticks = interval_at(Instant::now() + CHECK_EVERY, CHECK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stream = Self {
            live: live.clone(),
            moves: reader.watcher.moves(projection),
            shared,
            ask,
            access,
            shown: Arc::clone(&shown),
            looked_at: Instant::now(),
            ready: VecDeque::from([Bytes::from_static(frame::RETRY.as_bytes())]),
            ticks,
            idle: 0,
            is_open: false,
            has_ended: false,
            _place: place,
        };
        match last_event_id.map(|id| State::parse(&id)) {
            Some(Some(id)) if shown.is(&id) => stream.complete(Kind::Resumed),
            Some(_) => stream.reset("page-changed", "the page is another than the client knows"),
            None => stream.snapshot(),
        }
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
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            if self.has_ended {
                return None;
            }
            self.wait().await;
        }
    }

    async fn wait(&mut self) {
        let stop = self.live.0.stop.clone();
        let (next, position) = (self.looked_at + PAGE_EVERY, self.shown.seen.position);
        let moves = &mut self.moves;
        let news = async {
            sleep_until(next).await;
            // Without an update of the checkpoint, it reads the page anyway.
            drop(timeout(LOOK_EVERY, moves.beyond(position)).await);
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => self.end("shutting-down", "this server is going down"),
            _ = self.ticks.tick() => self.check(),
            () = news => self.look().await,
        }
    }

    /// Sends what differs now.
    async fn look(&mut self) {
        let stop = self.live.0.stop.clone();
        let newest = tokio::select! {
            biased;
            // The next wait ends the stream.
            () = stop.cancelled() => return,
            newest = timeout(CHECK_EVERY, newest(&self.live, &self.shared, &self.ask)) => {
                newest.unwrap_or_else(|_| Err(unavailable()))
            }
        };
        self.looked_at = Instant::now();
        // The read may have taken long.
        if let Err(problem) = (self.access)() {
            return self.end_with(&problem);
        }
        match newest {
            Ok(now) => self.show(&now),
            Err(problem) if problem.status().is_client_error() => self.end_with(&problem),
            Err(problem) => tracing::debug!(%problem, "a page could not be read again"),
        }
    }

    fn show(&mut self, now: &Arc<PageState>) {
        let before = std::mem::replace(&mut self.shown, Arc::clone(now));
        if !now.state().is_of(&before.state()) {
            return self.reset("tables-switched", SWITCHED);
        }
        let meta = self.meta();
        for row in now.rows_gone(&before) {
            self.push(frame::event(Kind::Left, None, Some(&row.key), &meta));
        }
        for row in now.rows_beyond(&before) {
            self.push(frame::event(Kind::Changed, None, Some(&row.body), &meta));
        }
        let is_same = now.page == before.page && now.seen.stale == before.seen.stale;
        if !self.ready.is_empty() || !is_same {
            self.complete(Kind::Complete);
        }
    }

    fn reset(&mut self, code: &str, detail: &str) {
        self.ready.push_back(frame::reset(&Reason::new(code, detail)));
        self.snapshot();
    }

    fn snapshot(&mut self) {
        let (shown, meta) = (Arc::clone(&self.shown), self.meta());
        for row in &shown.rows {
            self.push(frame::event(Kind::Row, None, Some(&row.body), &meta));
        }
        self.complete(Kind::Complete);
    }

    fn complete(&mut self, kind: Kind) {
        let (id, mut meta) = (self.shown.id(), self.meta());
        meta.page = Some(self.shown.page.clone());
        self.push(frame::event::<()>(kind, Some(&id), None, &meta));
    }

    fn meta(&self) -> Meta {
        Meta::of(&self.shown.seen)
    }

    fn push(&mut self, text: Result<Bytes, serde_json::Error>) {
        self.idle = 0;
        match text {
            Ok(text) => {
                metrics::counter!("live_events").increment(1);
                self.ready.push_back(text);
            }
            Err(error) => tracing::error!(%error, "a row cannot be written as JSON"),
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
            self.ready.push_back(frame::heartbeat(None));
        }
    }

    fn end_with(&mut self, problem: &Problem) {
        self.end(problem.code(), problem.explanation().unwrap_or(problem.title()));
    }

    fn end(&mut self, code: &str, detail: &str) {
        (self.has_ended, self.is_open) = (true, false);
        metrics::counter!("live_streams_ended", "reason" => code.to_owned()).increment(1);
        self.ready.push_back(frame::end(&Reason::new(code, detail)));
    }
}

/// The page as it is now, or was less than [`PAGE_EVERY`] ago.
async fn newest(live: &Live, shared: &LastRead, ask: &AskPage) -> Result<Arc<PageState>, Problem> {
    let mut last = shared.lock().await;
    if let Some((at, state)) = &*last
        && at.elapsed() < PAGE_EVERY
    {
        return Ok(Arc::clone(state));
    }
    let _turn = live.turn().await?;
    let state = Arc::new(ask(None).await?);
    *last = Some((Instant::now(), Arc::clone(&state)));
    Ok(state)
}

impl Drop for PageStream {
    fn drop(&mut self) {
        if self.is_open {
            metrics::counter!("live_streams_ended", "reason" => "client-gone").increment(1);
        }
    }
}
