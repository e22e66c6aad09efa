//! The events that stream in: the checkpoints of all projections move, and are announced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::{MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use crate::bench::crowd::{Announcer, CrowdArgs, Moments, STEP_EVERY};
use crate::bench::queries::fill::POSITION;
use crate::bench::system::System;

/// How long one batch may take.
const BATCH_LIMIT: Duration = Duration::from_secs(10);

/// Moves the checkpoints.
pub(super) struct Stream {
    connection: PgConnection,
    announcer: Announcer,
    moments: Arc<Moments>,
    head: Arc<AtomicU64>,
}

impl Stream {
    pub(super) async fn new(system: &System, moments: &Arc<Moments>) -> anyhow::Result<Self> {
        let mut connection = system.database.connect().await?;
        let announcer = Announcer::new(&system.nats(), &mut connection, None).await?;
        Ok(Self { connection, announcer, moments: Arc::clone(moments), head: Arc::default() })
    }

    /// The epoch of the events.
    pub(super) const fn epoch(&self) -> Uuid {
        self.announcer.epoch()
    }

    /// The number of events that were announced so far.
    pub(super) fn head(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.head)
    }

    /// Lets events come in at their rate until this time. Returns the number of batches.
    pub(super) async fn run(&mut self, crowd: &CrowdArgs, until: Duration) -> anyhow::Result<u64> {
        let (mut written, mut batches) = (0, 0);
        let mut ticks = interval(STEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.moments.now() < until {
            ticks.tick().await;
            let due = crowd.due(self.moments.now());
            if due > written {
                timeout(BATCH_LIMIT, self.write(written, due)).await??;
                (written, batches) = (due, batches + 1);
            }
        }
        Ok(batches)
    }

    async fn write(&mut self, from: u64, end: u64) -> anyhow::Result<()> {
        let position = POSITION + i64::try_from(end)?;
        let mut batch = self.connection.begin().await?;
        self.announcer.move_to(position, &mut batch).await?;
        // Before the commit, because a client may be answered before this process goes on.
        self.moments.record(from..end);
        batch.commit().await?;
        self.head.store(end, Ordering::Release);
        self.announcer.announce(position).await
    }
}
