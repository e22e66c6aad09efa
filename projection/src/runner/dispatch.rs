//! Gives a batch to every partition that the process owns. One that is still erasing goes on with
//! the batch that it had, and the others go ahead of it.

use std::sync::Arc;
use std::time::Duration;

use event_feed::NatsHandle;
use event_store::EventRef;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, Interval};

use super::partition::{Applied, Folded};
use super::passing::Passing;
use super::slot::Slot;
use super::{Job, Runner, Watch, announce, passing};

/// How often metrics and readiness are updated during a long batch.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// A partition at work: the index of its slot, the batch that it has, and how it ended.
struct Ended(usize, Arc<Job>, Result<Folded, JoinError>);

impl Runner {
    /// Gives a batch to every partition that this process owns, and waits until all have finished
    /// it. `after` is the event after which the reader continued.
    pub(super) async fn work(&mut self, job: Job, after: EventRef) {
        self.retry_parked().await;
        if job.events.is_empty() {
            for slot in &mut self.slots {
                slot.at_head(&job, after);
            }
            self.confirm(&job, after).await;
            erase(&mut self.slots, self.nats.as_ref()).await;
        } else {
            self.slots.iter_mut().for_each(Slot::let_go_if_late);
            self.dispatch(&Arc::new(job)).await;
        }
        self.keep_leases().await;
    }

    /// Partitions whose rows change come first, because a client may be waiting for them. The
    /// others follow together. Meanwhile those that are erasing go on, and nobody waits for them
    /// before the end.
    async fn dispatch(&mut self, job: &Arc<Job>) {
        let (mut folding, mut erasing) = (FuturesUnordered::new(), FuturesUnordered::new());
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let unfinished = slot.unfinished();
            if unfinished.is_none() && slot.is_passed_by(job) {
                slot.sees(job);
                continue;
            }
            let Some(owned) = slot.take_owned() else { continue };
            let (of, job) = match unfinished {
                None => {
                    slot.begins(job);
                    (&folding, Arc::clone(job))
                }
                Some(unfinished) => {
                    slot.sees(job);
                    (&erasing, unfinished)
                }
            };
            let task = tokio::spawn(owned.apply(Arc::clone(&job), slot.most()));
            of.push(ended(index, job, task));
        }
        let mut reports = tokio::time::interval_at(Instant::now() + REPORT_EVERY, REPORT_EVERY);
        let mut passing = Vec::new();
        while let Some(Ended(index, job, end)) =
            reporting(&mut reports, (&self.watch, &self.slots), folding.next()).await
        {
            let (slot, nats) = (&mut self.slots[index], self.nats.as_ref());
            match end {
                Ok(Folded::Passes(partition)) => passing.push((index, partition)),
                Ok(Folded::Done(applied)) => settle(slot, nats, applied, &job).await,
                Err(panic) => slot.panicked(&panic),
            }
        }
        // Failures are reported before anything else is awaited.
        self.watch.partitions(&self.slots);
        self.pass(passing, job).await;
        while let Some(end) =
            reporting(&mut reports, (&self.watch, &self.slots), erasing.next()).await
        {
            settle_erasing(&mut self.slots, self.nats.as_ref(), end).await;
        }
    }

    /// Moves the partitions of these slots over the batch.
    async fn pass(&mut self, passing: Vec<(usize, Passing)>, job: &Arc<Job>) {
        if passing.is_empty() {
            return;
        }
        let nats = self.nats.as_ref();
        if let Some(nats) = nats {
            announce::sent(nats).await;
        }
        let (slots, partitions): (Vec<usize>, Vec<_>) = passing.into_iter().unzip();
        match tokio::spawn(passing::over(partitions, Arc::clone(job))).await {
            Ok(ended) => {
                for (index, applied) in slots.into_iter().zip(ended) {
                    settle(&mut self.slots[index], nats, applied, job).await;
                }
            }
            Err(panic) => {
                for index in slots {
                    self.slots[index].panicked(&panic);
                }
            }
        }
    }
}

/// Lets the partitions that are erasing go on, while there is nothing to do for the others.
///
/// The future must not be dropped: a partition that is at work is in no slot, so its lease would
/// only expire.
pub(super) async fn erase(slots: &mut [Slot], nats: Option<&NatsHandle>) {
    let mut rounds = FuturesUnordered::new();
    for (index, slot) in slots.iter_mut().enumerate() {
        let Some(job) = slot.unfinished() else { continue };
        slot.let_go_if_late();
        if let Some(owned) = slot.take_owned() {
            let task = tokio::spawn(owned.apply(Arc::clone(&job), slot.most()));
            rounds.push(ended(index, job, task));
        }
    }
    while let Some(end) = rounds.next().await {
        settle_erasing(slots, nats, end).await;
    }
}

async fn ended(index: usize, job: Arc<Job>, task: JoinHandle<Folded>) -> Ended {
    Ended(index, job, task.await)
}

/// Waits for this, and updates metrics and readiness meanwhile.
async fn reporting<T>(
    reports: &mut Interval,
    (watch, slots): (&Watch, &[Slot]),
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = reports.tick() => watch.partitions(slots),
        }
    }
}

async fn settle_erasing(slots: &mut [Slot], nats: Option<&NatsHandle>, end: Ended) {
    let Ended(index, job, end) = end;
    match end {
        Ok(Folded::Done(applied)) => settle(&mut slots[index], nats, applied, &job).await,
        // A batch with an erasure concerns the partition. If not, it reads the events again.
        Ok(Folded::Passes(passing)) => {
            settle(&mut slots[index], nats, passing.kept(), &job).await;
        }
        Err(panic) => slots[index].panicked(&panic),
    }
}

async fn settle(slot: &mut Slot, nats: Option<&NatsHandle>, applied: Applied, job: &Job) {
    let moved = slot.settle(applied, job);
    if let (Some((key, mark)), Some(nats), None) = (moved, nats, slot.standby_generation()) {
        announce::checkpoint(nats, &key, job.head.epoch, mark).await;
    }
}
