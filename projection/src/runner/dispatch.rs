//! Gives a batch to every partition that the process owns.

use std::sync::Arc;
use std::time::Duration;

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
            if let Some(owned) = slot.take_owned() {
                slot.begins(job);
                let task = tokio::spawn(owned.apply(Arc::clone(job), slot.most()));
                folding.push(async move { (index, task.await) });
            }
        }
        let mut reports = tokio::time::interval_at(Instant::now() + REPORT_EVERY, REPORT_EVERY);
        let (mut passing, mut passing_slots) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                next = folding.next() => match next {
                    Some((index, Ok(Folded::Passes(partition)))) => {
                        passing.push(partition);
                        passing_slots.push(index);
                    }
                    Some((index, Ok(Folded::Done(applied)))) => self.settle(index, applied,
                        job).await,
                    Some((index, Err(panic))) => self.slots[index].panicked(&panic),
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
                    self.settle(index, applied, job).await;
                }
            }
            Err(panic) => {
                for index in passing_slots {
                    self.slots[index].panicked(&panic);
                }
            }
        }
    }

    async fn settle(&mut self, index: usize, applied: Applied, job: &Job) {
        let slot = &mut self.slots[index];
        let moved = slot.settle(applied, job);
        if let (Some((key, mark)), Some(nats), None) =
            (moved, &self.nats, slot.standby_generation())
        {
            announce::checkpoint(nats, &key, job.head.epoch, mark).await;
        }
    }
}
