//! Decides when messages from NATS are trusted. It joins the stream near the head, proves that the
//! stream has the store's history, takes the messages that follow, and leaves for the store if
//! messages are missing, unexpected or wrong.
//!
//! States: *apart* (the store is polled) → *joined* (a consumer reads from the last event returned,
//! inclusive; the store is still polled) → *proven* (a message has the id that the store has at its
//! position) → *apart* again.

use std::time::Duration;

use event_store::store::MAX_PAGE_BYTES;
use event_store::{EventRef, Position, RecordedEvent};
use postgres_kit::Pauses;
use tokio::time::Instant;

use super::FollowerSettings;
use super::catch_up::CatchUp;
use super::live::{FromLive, Live, Message};

/// The least time between two beacons that come as they are sent: half of the relay's interval.
const BEACON_PAUSE: Duration = Duration::from_millis(500);

/// The current consumer.
struct Joined {
    since: Instant,
    proven: bool,
}

/// The meaning of a message after the events returned so far.
enum Verdict {
    /// It is the next event.
    Next,
    /// It was already returned, or belongs to an older consumer.
    Old,
    /// It is the last event returned, which proves the stream.
    Proof,
    /// The store must be asked for earlier events, or for this one.
    AskStore,
    /// The stream cannot be trusted; the text says why.
    Wrong(&'static str),
}

/// The follower's use of the stream.
pub(super) struct Join {
    pub(super) live: Live,
    /// Whether the beacon task has ended.
    pub(super) deaf: bool,
    settings: FollowerSettings,
    generation: u64,
    joined: Option<Joined>,
    /// A received message that was not judged yet, or that waits for the store.
    pub(super) held: Option<FromLive>,
    pauses: Pauses,
    not_before: Instant,
    /// The time since when a beacon has announced more events than came.
    behind_since: Option<Instant>,
    /// When the last beacon came.
    heard_at: Option<Instant>,
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
            pauses: Pauses::new(settings.join_retry_first, settings.join_retry_most),
            not_before: Instant::now(),
            behind_since: None,
            heard_at: None,
        }
    }

    pub(super) fn is_proven(&self) -> bool {
        self.joined.as_ref().is_some_and(|joined| joined.proven)
    }

    /// Keeps a received message until it is judged.
    pub(super) fn hold(&mut self, item: FromLive) {
        self.held = Some(item);
    }

    /// Joins the stream if the follower is near the head, the relay is alive, and the last attempt
    /// is long enough ago.
    pub(super) fn join_if_near(&mut self, at: &CatchUp) {
        if let Some(joined) = &self.joined {
            if !joined.proven && joined.since.elapsed() > self.settings.join_limit {
                self.leave("it did not prove its history in time");
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
        self.not_before = Instant::now() + self.pauses.next_pause();
        if joined.proven {
            tracing::info!(why, "following the store, not NATS");
        } else {
            tracing::debug!(why, "not joining the stream");
        }
    }

    /// Takes the available messages that follow, up to `max` and about [`MAX_PAGE_BYTES`].
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
            self.pauses.reset();
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
            return Verdict::Wrong("a message is not a valid event");
        };
        if decoded.mark.position != message.sequence {
            return Verdict::Wrong("a sequence is not the position");
        }
        if at.head.is_none_or(|head| head.epoch != decoded.epoch) {
            return Verdict::Wrong("a message has another epoch");
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

    /// Compares with a page from the store that was already returned. Either it decides about the
    /// waiting message, or it shows that the stream withheld events.
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
                    // The next events come from the stream.
                    at.behind = false;
                    self.prove(at);
                } else if found.is_some() || (!at.behind && at.last.position < mark.position) {
                    self.leave("the stream has an event that the store lacks");
                }
            }
            None if self.is_proven() && !page.is_empty() => {
                self.leave("the stream withheld events");
            }
            None => {}
        }
        if self.is_proven() && !at.behind {
            at.ask_after(self.settings.poll_interval.max(self.settings.beacon_grace));
        }
    }

    /// Whether a beacon that came at this time tells the head of that time. In a burst, or after a
    /// silence, beacons may have waited on their way.
    pub(super) fn is_fresh(&mut self, heard_at: Instant) -> bool {
        let before = self.heard_at.replace(heard_at);
        before.is_some_and(|before| {
            (BEACON_PAUSE..self.settings.beacon_silence).contains(&heard_at.duration_since(before))
        })
    }

    /// Handles a beacon, which shows that all is well or that events are missing.
    pub(super) fn hear(&mut self, at: &mut CatchUp) {
        let Some(heard) = self.live.heard() else { return };
        let is_fresh = self.is_fresh(heard.at);
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
            if is_fresh && told == last {
                at.complete_at = Some(heard.at);
            }
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
