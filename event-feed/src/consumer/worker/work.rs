//! What a worker does while it holds its lease.

use event_store::{Epoch, RecordedEvent, Unreadable};
use postgres_kit::Term;
use sqlx::PgConnection;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{Failure, Owned, PROVE_LIMIT, StopReason, Turn, Worker, caught, chain, metrics, wait};
use crate::consumer::Next;
use crate::consumer::checkpoint::{Advance, Checkpoint};
use crate::consumer::handler::{Committed, HandleError, Handler};
use crate::follower::{Batch, Follower};

/// How a batch ended.
enum Applied {
    /// The checkpoint moved, or there was nothing to do.
    Done,
    /// Another worker has taken over.
    Fenced,
    Stopped(StopReason),
}

impl<H: Handler> Worker<H> {
    /// Works until something ends it, and gives up the lease unless it is lost.
    pub(super) async fn work(
        &mut self,
        mut owned: Owned,
        follower: &mut Follower,
        drain: &CancellationToken,
    ) -> Turn {
        let turn = loop {
            if let Some(turn) = self.step(&mut owned, follower, drain).await {
                break turn;
            }
        };
        metrics::unknown(self.lease.name());
        // If it is lost, this changes nothing: the term says whose it is.
        self.give_up(owned.connection, owned.term).await;
        turn
    }

    /// Renews the lease if it is due, then reads and handles one batch.
    async fn step(
        &mut self,
        owned: &mut Owned,
        follower: &mut Follower,
        drain: &CancellationToken,
    ) -> Option<Turn> {
        self.pulse.beat();
        if self.held.is_late() {
            tracing::warn!(consumer = self.lease.name(), "the lease was not renewed in time");
            return Some(Turn::Again);
        }
        match self.renew(owned).await {
            Ok(true) => {}
            Ok(false) => return Some(self.lost(owned.term)),
            Err(failure) => {
                // The connection is gone, and perhaps the lease with it.
                self.failed(&failure, drain).await;
                return Some(Turn::Again);
            }
        }
        let next = tokio::select! {
            biased;
            () = drain.cancelled() => return Some(Turn::Drained),
            next = self.consumer.next(follower, owned.checkpoint.at, self.held.most()) => next,
        };
        match next {
            Next::Batch { batch, log_answers } => {
                let (is_idle, head) = (batch.events.is_empty(), batch.head.mark.position);
                match self.apply(owned, batch).await {
                    Ok(Applied::Done) => {
                        // An idle batch alone does not show that the log can be read.
                        if !is_idle || log_answers {
                            self.pauses.reset();
                            self.health.ready();
                            let at = owned.checkpoint.at.position;
                            metrics::at(self.lease.name(), at, head);
                        }
                        None
                    }
                    Ok(Applied::Fenced) => Some(self.lost(owned.term)),
                    Ok(Applied::Stopped(reason)) => Some(Turn::Stopped(reason)),
                    Err(failure) => {
                        self.failed(&failure, drain).await;
                        self.reload(owned, drain).await
                    }
                }
            }
            Next::OtherHistory => {
                self.failed(&Failure::OtherHistory, drain).await;
                Some(Turn::Again)
            }
            Next::LogAway(error) => self.away(chain(&error), drain).await,
            Next::KeysAway(error) => {
                let turn = self.away(chain(&error), drain).await;
                if turn.is_none() {
                    tokio::select! {
                        () = self.consumer.pause() => {}
                        () = drain.cancelled() => {}
                    }
                }
                turn
            }
        }
    }

    /// Renews the lease if it is due. Returns `false` if it is lost.
    async fn renew(&mut self, owned: &mut Owned) -> Result<bool, Failure> {
        if !self.held.is_due() {
            return Ok(true);
        }
        let (began, lease, term) = (Instant::now(), &self.lease, owned.term);
        let renew = async |raw: &mut PgConnection| lease.renew(raw, term).await;
        let renewed = owned.connection.run(renew).await?;
        if renewed {
            self.held.kept(began);
        }
        Ok(renewed)
    }

    fn lost(&self, term: Term) -> Turn {
        let consumer = self.lease.name();
        tracing::warn!(consumer, term = term.0, "another worker has taken over");
        Turn::StandBy
    }

    /// The log or the keys cannot be read. Keeps the lease for a while, because the failure may be
    /// short, then leaves it to a worker that may be able to.
    async fn away(&self, error: String, drain: &CancellationToken) -> Option<Turn> {
        tracing::warn!(consumer = self.lease.name(), error, "cannot read: will retry");
        self.health.not_ready(error);
        metrics::unknown(self.lease.name());
        if self.consumer.is_able() {
            return None;
        }
        // Longer than another worker's standby interval, so that it gets the lease.
        wait(self.settings.standby_interval, drain).await;
        Some(Turn::StandBy)
    }

    /// Finds out where the checkpoint is after a failure: the commit may have succeeded.
    async fn reload(&mut self, owned: &mut Owned, drain: &CancellationToken) -> Option<Turn> {
        let taken = tokio::select! {
            biased;
            () = drain.cancelled() => return Some(Turn::Drained),
            taken = timeout(PROVE_LIMIT, caught(self.handler.take(owned.term))) => taken,
        };
        match taken {
            Ok(None) => Some(Turn::Stopped(StopReason::Panicked)),
            Ok(Some(Ok(Some(checkpoint)))) => {
                owned.checkpoint = checkpoint;
                None
            }
            Ok(Some(Ok(None))) => Some(self.lost(owned.term)),
            Ok(Some(Err(error))) => {
                self.failed(&Failure::Checkpoint(error), drain).await;
                Some(Turn::Again)
            }
            Err(_) => {
                self.failed(&Failure::Silent, drain).await;
                Some(Turn::Again)
            }
        }
    }

    /// Hands a batch over: the events before the first one that cannot be read or is refused, which
    /// then stops the worker.
    async fn apply(&mut self, owned: &mut Owned, batch: Batch) -> Result<Applied, Failure> {
        let Batch { events: mut stored, head, .. } = batch;
        let mut stop = None;
        loop {
            let (events, unreadable) = self.upcast(&stored);
            if let Some(unreadable) = unreadable {
                stored.retain(|event| event.position < unreadable.position);
                stop = Some(StopReason::Unreadable(unreadable));
            }
            let Some(advance) = advance(owned, &stored, head.epoch) else {
                return Ok(stop.map_or(Applied::Done, Applied::Stopped));
            };
            match self.hand_over(&events, &advance).await? {
                Ok(Committed::Done) => {
                    owned.checkpoint = advance.to;
                    self.held.succeeded();
                    return Ok(stop.map_or(Applied::Done, Applied::Stopped));
                }
                Ok(Committed::Fenced) => return Ok(Applied::Fenced),
                Err(refused) => {
                    let StopReason::Refused(position, _) = &refused else {
                        return Ok(Applied::Stopped(refused));
                    };
                    let readable = stored.partition_point(|event| event.position < *position);
                    if readable == 0 || readable == stored.len() {
                        return Ok(Applied::Stopped(refused));
                    }
                    stored.truncate(readable);
                    stop = Some(refused);
                }
            }
        }
    }

    /// Upcasts up to the first event that cannot be read.
    fn upcast(&self, stored: &[RecordedEvent]) -> (Vec<RecordedEvent>, Option<Unreadable>) {
        let mut events = Vec::with_capacity(stored.len());
        for event in stored {
            match self.log.registry().upcast(event) {
                Ok(fragments) => events.extend(fragments.into_owned()),
                Err(unreadable) => return (events, Some(unreadable)),
            }
        }
        (events, None)
    }

    /// Calls the handler within its limit. The inner error stops the worker.
    async fn hand_over(
        &mut self,
        events: &[RecordedEvent],
        advance: &Advance,
    ) -> Result<Result<Committed, StopReason>, Failure> {
        let limit = self.settings.batch_limit;
        match timeout(limit, caught(self.handler.handle(events, advance))).await {
            Ok(None) => Ok(Err(StopReason::Panicked)),
            Ok(Some(Ok(committed))) => Ok(Ok(committed)),
            Ok(Some(Err(HandleError::Retry(error)))) => Err(Failure::Handle(error)),
            Ok(Some(Err(HandleError::Refused(position, why)))) => {
                Ok(Err(StopReason::Refused(position, why)))
            }
            Err(_) => {
                self.held.took_too_long();
                Err(Failure::TookTooLong(limit))
            }
        }
    }
}

/// The move of the checkpoint over these events, or into the log's new epoch; `None` if there is
/// nothing to do.
fn advance(owned: &Owned, stored: &[RecordedEvent], epoch: Epoch) -> Option<Advance> {
    let from = owned.checkpoint;
    let at = stored.last().map_or(from.at, RecordedEvent::mark);
    let is_known = from.epoch.is_none_or(|known| known == epoch);
    if stored.is_empty() && is_known {
        return None;
    }
    let to = Checkpoint { epoch: Some(epoch), at };
    Some(Advance { from, to, term: owned.term })
}
