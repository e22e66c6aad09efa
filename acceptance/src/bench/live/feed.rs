//! Writes the changes, as the projector does: in batches, each with its checkpoints, and then an
//! announcement.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use super::plan::{Kind, Plan, Progress, id, position};
use crate::bench::crowd::{Announcer, CrowdArgs, MAX_STEP, Moments, STEP_EVERY};
use crate::bench::system::System;
use crate::until;

/// How long one batch may take.
const BATCH_LIMIT: Duration = Duration::from_secs(10);
/// How long clients may take to get what was written before, once they must have it.
const FOLLOW_LIMIT: Duration = Duration::from_secs(30);

/// Writes the events of a plan.
pub(super) struct Feed {
    plan: Arc<Plan>,
    moments: Arc<Moments>,
    progress: Arc<Progress>,
    projections: Vec<Projection>,
}

/// A projection of one kind of rows, which has a writer of its own.
struct Projection {
    kind: Kind,
    connection: PgConnection,
    announcer: Announcer,
}

impl Feed {
    pub(super) async fn new(
        system: &System,
        plan: &Arc<Plan>,
        moments: &Arc<Moments>,
        progress: Arc<Progress>,
    ) -> anyhow::Result<Self> {
        let mut projections = Vec::new();
        for kind in Kind::ALL {
            let mut connection = system.database.connect().await?;
            let projection = Some(kind.plural());
            let announcer = Announcer::new(&system.nats(), &mut connection, projection).await?;
            projections.push(Projection { kind, connection, announcer });
        }
        let (plan, moments) = (Arc::clone(plan), Arc::clone(moments));
        Ok(Self { plan, moments, progress, projections })
    }

    /// Writes all events at their rate.
    pub(super) async fn run(&mut self, crowd: &CrowdArgs) -> anyhow::Result<()> {
        let (started, mut written) = (Instant::now(), 0);
        let mut ticks = interval(STEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while written < self.plan.events() {
            ticks.tick().await;
            let due = crowd.due(started.elapsed()).min(self.plan.events());
            let end = due.min(written + MAX_STEP);
            if end > written {
                self.delivered(end.saturating_sub(self.plan.round())).await?;
                timeout(BATCH_LIMIT, self.write(written, end)).await??;
                written = end;
            }
        }
        Ok(())
    }

    /// Waits until everybody got the events before this one, so that no change replaces another.
    async fn delivered(&self, event: u64) -> anyhow::Result<()> {
        if self.progress.least() >= event {
            return Ok(());
        }
        until("the events before were delivered", FOLLOW_LIMIT, async || {
            let least = self.progress.least();
            ensure!(least >= event, "{least} of {event}");
            Ok(Some(()))
        })
        .await
    }

    /// Writes these events, each projection its own.
    async fn write(&mut self, from: u64, end: u64) -> anyhow::Result<()> {
        let (plan, moments) = (&*self.plan, &*self.moments);
        let batches = self.projections.iter_mut().map(|projection| {
            let kind = projection.kind;
            let events: Vec<u64> =
                (from..end).filter(|event| plan.changed(*event).0 == kind).collect();
            projection.write(plan, events, (position(end - 1), moments))
        });
        futures::future::try_join_all(batches).await.map(drop)
    }
}

impl Projection {
    async fn write(
        &mut self,
        plan: &Plan,
        events: Vec<u64>,
        (to, moments): (i64, &Moments),
    ) -> anyhow::Result<()> {
        let ids = events.iter().map(|event| plan.changed(*event));
        let ids: Vec<Uuid> = ids.map(|(kind, row)| id(kind, row)).collect();
        let positions: Vec<i64> = events.iter().map(|event| position(*event)).collect();
        let statement = match self.kind {
            Kind::Order => include_str!("change_orders.sql"),
            Kind::User => include_str!("change_users.sql"),
        };
        let mut batch = self.connection.begin().await?;
        let changed = sqlx::query(statement).bind(&ids).bind(positions);
        let changed = changed.execute(&mut *batch).await?.rows_affected();
        ensure!(usize::try_from(changed)? == ids.len(), "{changed} of {} rows", ids.len());
        self.announcer.move_to(to, &mut batch).await?;
        // Before the commit, because a client may get an event before this process goes on.
        moments.record(events.into_iter());
        batch.commit().await?;
        self.announcer.announce(to).await
    }
}
