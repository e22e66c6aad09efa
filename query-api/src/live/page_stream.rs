//! The stream of one client of a page.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures::Stream;
use serde::Serialize;
use service_kit::Problem;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::frame::{self, Kind, Meta, Reason, State};
use super::page::{AskPage, LastRead, PAGE_EVERY, PageRow, PageState};
use super::page_event::{PageEvent, PageOutput};
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
pub(crate) struct PageOpening<B> {
    /// The place that the stream holds.
    pub(crate) place: Held,
    /// The request, so that clients with the same one share what is read.
    pub(crate) request: String,
    /// The projection that the page is of.
    pub(crate) projection: Projection,
    pub(crate) ask: AskPage<B>,
    pub(crate) access: Access,
    /// The id of the last event that the client has.
    pub(crate) last_event_id: Option<String>,
    /// The position that the snapshot has to show.
    pub(crate) wait: Option<Wait>,
}

/// An open stream of a page.
pub(crate) struct PageStream<B> {
    live: Live,
    moves: Moves,
    shared: Arc<LastRead<B>>,
    ask: AskPage<B>,
    access: Access,
    /// What the client has.
    shown: Arc<PageState<B>>,
    looked_at: Instant,
    ready: VecDeque<PageOutput<B>>,
    ticks: Interval,
    /// The number of checks since the last event.
    idle: u32,
    is_open: bool,
    has_ended: bool,
    _place: Held,
}

impl<B: Serialize + PartialEq + Send + Sync + 'static> PageStream<B> {
    /// Reads what the client begins with.
    ///
    /// # Errors
    /// The problem that the same request without live updates has.
    pub(crate) async fn open(
        live: &Live,
        reader: &Reader,
        opening: PageOpening<B>,
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
            ready: VecDeque::new(),
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
        let retry = Bytes::from_static(frame::RETRY.as_bytes());
        futures::stream::unfold((self, Some(retry)), |(mut stream, mut retry)| async move {
            let chunk = match retry.take() {
                Some(retry) => retry,
                None => stream.next_text().await?,
            };
            Some((Ok(chunk), (stream, None)))
        })
    }

    /// The events of the stream. The last item says why it ends.
    pub(crate) fn events(
        mut self,
    ) -> impl Stream<Item = Result<Arc<PageEvent<B>>, Reason>> + Send + 'static {
        self.is_open = true;
        futures::stream::unfold(self, |mut stream| async move {
            loop {
                match stream.next().await? {
                    PageOutput::Event(event) => return Some((Ok(Arc::new(event)), stream)),
                    PageOutput::End(reason) => return Some((Err(reason), stream)),
                    // A web socket has signs of life of its own.
                    PageOutput::Alive => {}
                }
            }
        })
    }

    async fn next_text(&mut self) -> Option<Bytes> {
        loop {
            if let Some(text) = self.next().await?.text() {
                return Some(text);
            }
        }
    }

    async fn next(&mut self) -> Option<PageOutput<B>> {
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

    fn show(&mut self, now: &Arc<PageState<B>>) {
        let before = std::mem::replace(&mut self.shown, Arc::clone(now));
        if !now.state().is_of(&before.state()) {
            return self.reset("tables-switched", SWITCHED);
        }
        for row in now.rows_gone(&before) {
            let left = Some(Arc::clone(row));
            self.push(PageEvent { left, ..PageEvent::new(Kind::Left) });
        }
        for row in now.rows_beyond(&before) {
            self.push_row(Kind::Changed, row);
        }
        let is_same = now.page == before.page && now.seen.stale == before.seen.stale;
        if !self.ready.is_empty() || !is_same {
            self.complete(Kind::Complete);
        }
    }

    fn reset(&mut self, code: &str, detail: &str) {
        let reason = Some(Reason::new(code, detail));
        let event = PageEvent { reason, ..PageEvent::new(Kind::Reset) };
        self.ready.push_back(PageOutput::Event(event));
        self.snapshot();
    }

    fn snapshot(&mut self) {
        let shown = Arc::clone(&self.shown);
        for row in &shown.rows {
            self.push_row(Kind::Row, row);
        }
        self.complete(Kind::Complete);
    }

    fn complete(&mut self, kind: Kind) {
        let page = Some(self.shown.page.clone());
        let meta = Some(Meta { page, ..Meta::of(&self.shown.seen) });
        self.push(PageEvent { id: Some(self.shown.id()), meta, ..PageEvent::new(kind) });
    }

    fn push_row(&mut self, kind: Kind, row: &Arc<PageRow<B>>) {
        self.push(PageEvent { row: Some(Arc::clone(row)), ..PageEvent::new(kind) });
    }

    fn push(&mut self, event: PageEvent<B>) {
        self.idle = 0;
        metrics::counter!("live_events").increment(1);
        let meta = event.meta.or_else(|| Some(Meta::of(&self.shown.seen)));
        self.ready.push_back(PageOutput::Event(PageEvent { meta, ..event }));
    }

    /// Checks the caller, and sends a sign of life if there was nothing else for long.
    fn check(&mut self) {
        if let Err(problem) = (self.access)() {
            return self.end_with(&problem);
        }
        self.idle += 1;
        if self.idle >= CHECKS_PER_HEARTBEAT {
            self.idle = 0;
            self.ready.push_back(PageOutput::Alive);
        }
    }

    fn end_with(&mut self, problem: &Problem) {
        self.end(problem.code(), problem.explanation().unwrap_or(problem.title()));
    }

    fn end(&mut self, code: &str, detail: &str) {
        (self.has_ended, self.is_open) = (true, false);
        metrics::counter!("live_streams_ended", "reason" => code.to_owned()).increment(1);
        self.ready.push_back(PageOutput::End(Reason::new(code, detail)));
    }
}

/// The page as it is now, or was less than [`PAGE_EVERY`] ago.
async fn newest<B>(
    live: &Live,
    shared: &LastRead<B>,
    ask: &AskPage<B>,
) -> Result<Arc<PageState<B>>, Problem> {
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

impl<B> Drop for PageStream<B> {
    fn drop(&mut self) {
        if self.is_open {
            metrics::counter!("live_streams_ended", "reason" => "client-gone").increment(1);
        }
    }
}
