//! One feed: what is sent to a subscription, live or as a replay, round by round.
//!
//! A round repeats what is due, then sends the next events of the log, and records both. Attempts
//! begin in the log's order; several are under way at once, and what failed comes later. While too
//! much waits for another attempt, no new events are taken: the feed stays where it is in the log,
//! so a receiver that is away for long costs a bounded number of rows.

use std::sync::Arc;
use std::time::Duration;

use event_feed::consumer::Checkpoint;
use event_feed::consumer::continuity::{self, Continuity};
use event_store::store::is_last_page;
use event_store::subject::SUBJECT_ERASED;
use event_store::{
    Epoch, EventType, Filter, Head, InvalidName, Position, RecordedEvent, StoreError, erasure,
};
use postgres_kit::Pauses;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::destination::Destination;
use crate::limits::Limits;
use crate::sending::{ReceiverError, Receivers, Sending};
use crate::tables::{Plan, Recorded};

mod attempts;

use attempts::{Attempts, Job};

/// A feed whose log goes on without events for it is moved after this many.
const MOVE_AFTER: i64 = 500;
/// The pauses after a failure of the log or the tables.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// Why a round failed. It is repeated.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("the tables of webhooks cannot be used")]
    Tables(#[from] sqlx::Error),
    #[error("the log cannot be read")]
    Log(#[from] StoreError),
    #[error(transparent)]
    Receiver(#[from] ReceiverError),
    #[error("a type of the subscription is not one")]
    Type(#[from] InvalidName),
    #[error("the key store holds keys of erased subjects: start the command API")]
    NotErased,
}

/// What comes after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// There may be more to do.
    Again,
    /// Nothing to do for this time, or until something happens.
    Idle(Duration),
    /// Leave the receiver alone for this time.
    Rest(Duration),
    /// The feed is not to be sent any more.
    Over,
}

/// A feed that is sent.
pub(crate) struct Feed {
    id: Uuid,
    sending: Sending,
    receivers: Arc<Receivers>,
    heads: watch::Receiver<Option<Head>>,
    changes: watch::Receiver<u64>,
    /// The epoch in which the log was proven to be the feed's.
    proven: Option<Epoch>,
    /// When the next event of a replay may be sent.
    next_start: Instant,
}

impl Feed {
    pub(crate) fn new(
        id: Uuid,
        sending: Sending,
        receivers: Arc<Receivers>,
        (heads, changes): (watch::Receiver<Option<Head>>, watch::Receiver<u64>),
    ) -> Self {
        let next_start = Instant::now();
        Self { id, sending, receivers, heads, changes, proven: None, next_start }
    }

    /// Sends until there is nothing to send any more, or until `stop`. Attempts under way are
    /// finished and recorded.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Uuid {
        let mut pauses = Pauses::new(RETRY_FIRST, RETRY_MOST);
        while !stop.is_cancelled() {
            // What happens from here on is noticed after the round.
            self.heads.mark_unchanged();
            self.changes.mark_unchanged();
            let turn = match self.round(&stop).await {
                Ok(turn) => {
                    pauses.reset();
                    turn
                }
                Err(error) => {
                    let error = cli_kit::describe(&error);
                    tracing::warn!(feed = %self.id, error, "a feed cannot go on: will retry");
                    Turn::Rest(pauses.next_pause())
                }
            };
            match turn {
                Turn::Again => {}
                Turn::Over => break,
                Turn::Idle(time) => tokio::select! {
                    () = sleep(time) => {}
                    Ok(()) = self.heads.changed() => {}
                    Ok(()) = self.changes.changed() => {}
                    () = stop.cancelled() => {}
                },
                Turn::Rest(time) => tokio::select! {
                    () = sleep(time) => {}
                    () = stop.cancelled() => {}
                },
            }
        }
        self.id
    }

    async fn round(&mut self, stop: &CancellationToken) -> Result<Turn, RoundError> {
        let Sending { tables, limits, .. } = &self.sending;
        let Some(plan) = tables.plan(self.id, limits.failing_for).await? else {
            return Ok(Turn::Over);
        };
        if let Some(why) = must_stop(&plan, limits) {
            return self.stop(&plan, &why).await;
        }
        let Some(head) = *self.heads.borrow() else { return Ok(Turn::Idle(limits.poll)) };
        if self.proven != Some(head.epoch) {
            if let Some(why) = self.prove(&plan).await? {
                return self.stop(&plan, &why).await;
            }
            self.proven = Some(head.epoch);
        }
        let receiver = self.receivers.of(&plan, &self.sending).await?;
        let interval = plan.rate.and_then(interval);
        let mut attempts = Attempts {
            sending: &self.sending,
            destination: &*receiver,
            form: self.form(&plan),
            epoch: head.epoch,
            stop,
            rest: None,
            is_gone: false,
            pace: interval.map(|interval| (&mut self.next_start, interval)),
        };
        let feed = (self.id, plan.subscription);
        let repeats = plan.due_in == Some(Duration::ZERO);
        if repeats {
            let due = self.sending.tables.due(self.id, self.sending.limits.page).await?;
            let jobs = due.into_iter().map(Job::Repeat).collect();
            let results = attempts.make(jobs).await;
            self.sending.tables.repeated(feed, &results).await?;
        }
        let may_take = plan.waiting < self.sending.limits.max_waiting && !attempts.is_gone;
        let taken = if may_take && attempts.rest.is_none() && !stop.is_cancelled() {
            take(&mut attempts, feed, &plan, head).await?
        } else {
            Taken::Nothing
        };
        let (rest, is_gone) = (attempts.rest, attempts.is_gone);
        if is_gone {
            return self.stop(&plan, "the receiver answered 410 Gone").await;
        }
        if let Some(rest) = rest {
            return Ok(Turn::Rest(rest));
        }
        if repeats || taken == Taken::Events {
            return Ok(Turn::Again);
        }
        if taken == Taken::End && plan.waiting == 0 {
            self.sending.tables.done(self.id).await?;
            tracing::info!(replay = %self.id, "a replay is done");
            return Ok(Turn::Over);
        }
        Ok(self.idle(&plan))
    }

    fn form(&self, plan: &Plan) -> crate::message::Form {
        let replay = plan.until.map(|_| self.id);
        crate::message::Form { subscription: plan.subscription, personal: plan.personal, replay }
    }

    /// Waits for the next delivery that is due, or for news.
    fn idle(&self, plan: &Plan) -> Turn {
        let poll = self.sending.limits.poll;
        Turn::Idle(plan.due_in.map_or(poll, |due| due.min(poll)))
    }

    /// Proves that the log is the one that the feed was sent from. Returns why it is not. Personal
    /// data is sent only if all erasures of the log have reached the keys, which may come from an
    /// older backup.
    async fn prove(&self, plan: &Plan) -> Result<Option<String>, RoundError> {
        if let Some(vault) = self.sending.vault.as_ref().filter(|_| plan.personal)
            && !erasure::is_settled(&*self.sending.log, &**vault.keys()).await?
        {
            return Err(RoundError::NotErased);
        }
        let Checkpoint { epoch, at } = plan.from;
        let proven = continuity::prove(&*self.sending.log, epoch, at).await?;
        Ok(match proven {
            Continuity::Same(_) => None,
            Continuity::Over | Continuity::Lost { .. } => Some(format!(
                "the log has another history than at position {}: resume it from a position that \
                 you choose",
                at.position
            )),
        })
    }

    /// Stops sending to the subscription until a person resumes it. Its position stays.
    async fn stop(&self, plan: &Plan, why: &str) -> Result<Turn, RoundError> {
        if self.sending.tables.stop(plan.subscription, why).await? {
            let subscription = plan.subscription;
            tracing::warn!(%subscription, why, "a subscription of webhooks is paused");
        }
        Ok(Turn::Over)
    }
}

/// Why nothing more may be sent to a subscription.
fn must_stop(plan: &Plan, limits: &Limits) -> Option<String> {
    if plan.parked >= limits.max_parked {
        return Some(format!("{} deliveries are parked", plan.parked));
    }
    let hours = limits.failing_for.as_secs() / 3_600;
    plan.failed_for_long.then(|| format!("every attempt has failed for {hours} hours"))
}

/// The time between two events at this rate.
fn interval(rate: i32) -> Option<Duration> {
    let rate = u32::try_from(rate).ok().filter(|rate| *rate > 0)?;
    Some(Duration::from_secs(1) / rate)
}

/// What the log had for a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// Events, and perhaps more.
    Events,
    /// Nothing now.
    Nothing,
    /// Nothing, and a replay gets no more.
    End,
}

/// Sends the next events of the log, records how that ended, and moves the feed.
async fn take<D: Destination>(
    attempts: &mut Attempts<'_, D>,
    feed: (Uuid, Uuid),
    plan: &Plan,
    head: Head,
) -> Result<Taken, RoundError> {
    let Sending { log, tables, limits, .. } = attempts.sending;
    let from = plan.from;
    let most = plan.rate.map_or(limits.page, |rate| {
        // A replay that dies repeats about one second of it.
        limits.page.min(u32::try_from(rate).unwrap_or(1).max(1))
    });
    let mut events = log.read(&filter(&plan.types)?, from.at.position, most).await?;
    let is_last = is_last_page(&events, most);
    if let Some(until) = plan.until {
        events.truncate(events.partition_point(|event| event.position <= until));
    }
    let marks: Vec<_> = events.iter().map(RecordedEvent::mark).collect();
    if marks.is_empty() && plan.until.is_some() {
        return Ok(Taken::End);
    }
    let results =
        attempts.make(events.into_iter().map(|event| Job::First(Box::new(event))).collect()).await;
    let made = results.delivered.len() + results.failed.len();
    let last = made.checked_sub(1).and_then(|last| marks.get(last)).copied();
    let is_quiet = marks.is_empty() && is_last;
    let to = match last {
        Some(last) => last,
        // The head was known before the read, so the read has seen everything up to it.
        None if is_quiet && head.mark.position.0 - from.at.position.0 >= MOVE_AFTER => head.mark,
        None => return Ok(Taken::Nothing),
    };
    let to = Checkpoint { epoch: Some(head.epoch), at: to };
    match tables.advance(feed, (from, to), &results).await? {
        Recorded::Done if made == 0 => Ok(Taken::Nothing),
        // Elsewhere: a person moved it, or another process sends it. The next round sees where.
        Recorded::Done | Recorded::Elsewhere => Ok(Taken::Events),
    }
}

/// The events of these types. Every receiver gets erasures.
fn filter(types: &[String]) -> Result<Filter, InvalidName> {
    let mut types: Vec<EventType> =
        types.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    let erased: EventType = SUBJECT_ERASED.parse()?;
    if !types.contains(&erased) {
        types.push(erased);
    }
    Ok(Filter::Types(types))
}

/// The event at a position, if the log has this one there.
async fn event_at(
    sending: &Sending,
    position: i64,
    event_id: Uuid,
) -> Result<Option<RecordedEvent>, StoreError> {
    let found = sending.log.read(&Filter::All, Position(position - 1), 1).await?;
    Ok(found.into_iter().find(|event| event.position.0 == position && event.id == event_id))
}
