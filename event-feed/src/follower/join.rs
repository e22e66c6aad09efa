//! When messages from NATS may be believed: joining the stream near the head, proving that it
//! carries the store's history, taking what follows, and leaving it for the store whenever it says
//! too little, too much or something else.
//!
//! States: *apart* (the store is polled) → *joined* (a consumer reads from the last event handed
//! out, inclusive; the store is polled still) → *proven* (one of its messages has the id that the
//! store has at that position) → *apart* again.

use event_store::store::MAX_PAGE_BYTES;
use event_store::{EventRef, Position, RecordedEvent};
use tokio::time::Instant;

use super::FollowerSettings;
use super::catch_up::CatchUp;
use super::live::{FromLive, Live, Message};

/// The consumer in use.
struct Joined {
    since: Instant,
    proven: bool,
}

/// What a message means for what was handed out so far.
enum Verdict {
    /// It is the next event.
    Next,
    /// It is handed out already, or of an older consumer.
    Old,
    /// It is the last event handed out, which proves the stream.
    Proof,
    /// The store has to say what comes before it, or what it is.
    AskStore,
    /// The stream is not to be believed, and why.
    Wrong(&'static str),
}

/// The follower's side of the stream.
pub(super) struct Join {
    pub(super) live: Live,
    /// Nobody will tell of beacons any more.
    pub(super) deaf: bool,
    settings: FollowerSettings,
    generation: u64,
    joined: Option<Joined>,
    /// A message that was received and is not yet judged, or that waits for the store.
    pub(super) held: Option<FromLive>,
    failures: u32,
    not_before: Instant,
    /// Since when a beacon has told of more than has come.
    behind_since: Option<Instant>,
}

impl Join {
    pub(super) fn new(live: Live, settings: &FollowerSettings) -> Self {
        Self {
            live,
            deaf: false,
            settings: settings.clone(),
            generation: 0,
            joined: None,
            held: None,
            failures: 0,
            not_before: Instant::now(),
            behind_since: None,
        }
    }

    pub(super) fn is_proven(&self) -> bool {
        self.joined.as_ref().is_some_and(|joined| joined.proven)
    }

    /// Keeps what was received until it is judged.
    pub(super) fn hold(&mut self, item: FromLive) {
        self.held = Some(item);
    }

    /// Joins when the follower is near the head, the relay shows that it lives and the last attempt
    /// is long enough ago.
    pub(super) fn join_if_near(&mut self, at: &CatchUp) {
        if let Some(joined) = &self.joined {
            if !joined.proven && joined.since.elapsed() > self.settings.join_limit {
                self.leave("it did not show its history in time");
            }
            return;
        }
        let Some(heard) =
            self.live.heard().filter(|heard| heard.at.elapsed() < self.settings.beacon_silence)
        else {
            return;
        };
        let near = heard.head.mark.position.0 - at.last.position.0 <= self.settings.live_below;
        // Before the first event there is nothing to prove the stream with.
        if at.behind
            || !near
            || at.last.position == Position::START
            || Instant::now() < self.not_before
        {
            return;
        }
        self.generation += 1;
        self.behind_since = None;
        self.joined = Some(Joined { since: Instant::now(), proven: false });
        self.live.start(self.generation, at.last.position);
    }

    /// Goes back to the store.
    pub(super) fn leave(&mut self, why: &str) {
        let Some(joined) = self.joined.take() else { return };
        self.live.stop();
        self.held = None;
        self.behind_since = None;
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let wait = self
            .settings
            .join_retry_first
            .saturating_mul(1 << doublings)
            .min(self.settings.join_retry_most);
        self.not_before = Instant::now() + wait;
        if joined.proven {
            tracing::info!(why, "following the store, not NATS");
        } else {
            tracing::debug!(why, "not joining the stream");
        }
    }

    /// Takes the messages that are there and follow, up to `max` and about [`MAX_PAGE_BYTES`].
    pub(super) fn take(&mut self, at: &mut CatchUp, max: usize) -> Vec<RecordedEvent> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        while events.len() < max && bytes < MAX_PAGE_BYTES {
            let Some(item) = self.held.take().or_else(|| self.live.items.try_recv().ok()) else {
                break;
            };
            let message = match item {
                FromLive::Message(message) => message,
                FromLive::Lost(generation, why) => {
                    if generation == self.generation {
                        self.leave(&why);
                        at.ask_now();
                    }
                    continue;
                }
            };
            match self.judge(&message, at) {
                Verdict::Next => {
                    if let Some(event) = message.decoded.and_then(|decoded| decoded.event) {
                        at.advance(event.mark());
                        bytes += event.bytes as usize;
                        events.push(event);
                    }
                }
                Verdict::Old => {}
                Verdict::Proof => self.prove(at),
                Verdict::AskStore => {
                    self.held = Some(FromLive::Message(message));
                    at.ask_now();
                    break;
                }
                Verdict::Wrong(why) => {
                    self.leave(why);
                    at.forget_head_age();
                    at.ask_now();
                }
            }
        }
        if !events.is_empty() {
            self.failures = 0;
            self.behind_since = None;
            at.ask_after(self.settings.beacon_silence);
        }
        events
    }

    fn judge(&self, message: &Message, at: &CatchUp) -> Verdict {
        let Some(joined) = self.joined.as_ref().filter(|_| message.generation == self.generation)
        else {
            return Verdict::Old;
        };
        let Some(decoded) = &message.decoded else {
            return Verdict::Wrong("a message is not one of ours");
        };
        if decoded.mark.position != message.sequence {
            return Verdict::Wrong("a sequence is not the position");
        }
        if at.head.is_none_or(|head| head.epoch != decoded.epoch) {
            return Verdict::Wrong("a message is of another epoch");
        }
        if message.sequence < at.last.position {
            return Verdict::Old;
        }
        if message.sequence == at.last.position {
            return if decoded.mark == at.last {
                Verdict::Proof
            } else {
                Verdict::Wrong("the stream has another history")
            };
        }
        let follows = joined.proven && message.sequence == at.last.position.next();
        if follows && decoded.event.is_some() { Verdict::Next } else { Verdict::AskStore }
    }

    fn prove(&mut self, at: &mut CatchUp) {
        if let Some(joined) = self.joined.as_mut().filter(|joined| !joined.proven) {
            joined.proven = true;
            tracing::info!(position = %at.last.position, "following NATS");
            at.ask_after(self.settings.beacon_silence);
        }
    }

    /// After a read of the store, whose page is already handed out: what it says of the message
    /// that waited for it, or, when none did, that the stream kept something back.
    pub(super) fn compare_with_store(&mut self, at: &mut CatchUp, page: &[RecordedEvent]) {
        let waiting: Option<Option<EventRef>> = match &self.held {
            Some(FromLive::Message(message)) => {
                Some(message.decoded.as_ref().map(|decoded| decoded.mark))
            }
            _ => None,
        };
        match waiting.flatten() {
            Some(mark) => {
                let found = page
                    .iter()
                    .find(|event| event.position == mark.position)
                    .map(RecordedEvent::mark);
                if found == Some(mark) {
                    self.held = None;
                    // What comes after it comes from the stream.
                    at.behind = false;
                    self.prove(at);
                } else if found.is_some() || (!at.behind && at.last.position < mark.position) {
                    self.leave("the stream has what the store has not");
                }
            }
            None if self.is_proven() && !page.is_empty() => {
                self.leave("the stream kept events back");
            }
            None => {}
        }
        if self.is_proven() && !at.behind {
            at.ask_after(self.settings.poll_interval.max(self.settings.beacon_grace));
        }
    }

    /// A beacon: evidence that all is well, or that something is missing.
    pub(super) fn hear(&mut self, at: &mut CatchUp) {
        let Some(heard) = self.live.heard() else { return };
        let Some(known) = at.head else { return };
        if known.epoch != heard.head.epoch {
            self.leave("the log is in another epoch");
            at.forget_head_age();
            at.ask_now();
            return;
        }
        at.hear_of_head(heard.head);
        let (told, last) = (heard.head.mark, at.last);
        if told.position == last.position && told != last {
            self.leave("the log has another history");
            at.ask_now();
        } else if told.position <= last.position {
            self.behind_since = None;
            if self.is_proven() {
                at.ask_after(self.settings.beacon_silence);
            }
        } else if told.position.0 - last.position.0 > self.settings.catch_up_above {
            self.leave("too far behind");
            at.ask_now();
        } else if self.is_proven() {
            let since = *self.behind_since.get_or_insert_with(Instant::now);
            at.ask_by(since + self.settings.beacon_grace);
        }
    }
}
