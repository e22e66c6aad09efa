//! Gives a batch to every partition that the process owns. One that is still erasing goes on with
//! the batch that it had, and the others go ahead of it.

use std::sync::Arc;
use std::time::Duration;

use event_feed::NatsHandle;
use event_store::EventRef;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::partition::{Applied, Folded};
use super::slot::Slot;
use super::{Job, Runner, announce, passing};

/// How often metrics and readiness are updated during a long batch.
const REPORT_EVERY: Duration = Duration::from_secs(1);

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
    /// others follow together.
    async fn dispatch(&mut self, job: &Arc<Job>) {
        let mut folding = FuturesUnordered::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let unfinished = slot.unfinished();
            if unfinished.is_none() && slot.is_passed_by(job) {
                slot.sees(job);
                continue;
            }
            if let Some(owned) = slot.take_owned() {
                match &unfinished {
                    None => slot.begins(job),
                    Some(_) => slot.sees(job),
                }
                let job = unfinished.unwrap_or_else(|| Arc::clone(job));
                let task = tokio::spawn(owned.apply(Arc::clone(&job), slot.most()));
                folding.push(async move { (index, job, task.await) });
            }
        }
        let mut reports = tokio::time::interval_at(Instant::now() + REPORT_EVERY, REPORT_EVERY);
        let (mut passing, mut passing_slots) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                next = folding.next() => match next {
                    Some((index, _, Ok(Folded::Passes(partition)))) => {
                        passing.push(partition);
                        passing_slots.push(index);
                    }
                    Some((index, job, Ok(Folded::Done(applied)))) => {
                        settle(&mut self.slots[index], self.nats.as_ref(), applied, &job).await;
                    }
                    Some((index, _, Err(panic))) => self.slots[index].panicked(&panic),
                    None => break,
                },
                _ = reports.tick() => self.watch.partitions(&self.slots),
            }
        }
        // Failures are reported before anything else is awaited.
        self.watch.partitions(&self.slots);
        if passing.is_empty() {
            return;
        }
        if let Some(nats) = &self.nats {
            announce::sent(nats).await;
        }
        match tokio::spawn(passing::over(passing, Arc::clone(job))).await {
            Ok(ended) => {
                for (index, applied) in passing_slots.into_iter().zip(ended) {
                    settle(&mut self.slots[index], self.nats.as_ref(), applied, job).await;
                }
            }
            Err(panic) => {
                for index in passing_slots {
                    self.slots[index].panicked(&panic);
                }
            }
        }
    }
}

/// Lets the partitions that are erasing go on, while there is nothing to do for the others.
pub(super) async fn erase(slots: &mut [Slot], nats: Option<&NatsHandle>) {
    let mut rounds = FuturesUnordered::new();
    for (index, slot) in slots.iter_mut().enumerate() {
        let Some(job) = slot.unfinished() else { continue };
        slot.let_go_if_late();
        if let Some(owned) = slot.take_owned() {
            let task = tokio::spawn(owned.apply(Arc::clone(&job), slot.most()));
            rounds.push(async move { (index, job, task.await) });
        }
    }
    while let Some((index, job, ended)) = rounds.next().await {
        match ended {
            Ok(Folded::Done(applied)) => settle(&mut slots[index], nats, applied, &job).await,
            // A batch with an erasure concerns the partition. If not, it reads the events again.
            Ok(Folded::Passes(passing)) => {
                settle(&mut slots[index], nats, passing.kept(), &job).await;
            }
            Err(panic) => slots[index].panicked(&panic),
        }
    }
}

async fn settle(slot: &mut Slot, nats: Option<&NatsHandle>, applied: Applied, job: &Job) {
    let moved = slot.settle(applied, job);
    if let (Some((key, mark)), Some(nats), None) = (moved, nats, slot.standby_generation()) {
        announce::checkpoint(nats, &key, job.head.epoch, mark).await;
    }
}
