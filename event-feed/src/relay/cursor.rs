//! The position of a target that cannot report its own: a row in the event store's database.
//!
//! The row moves after the target has stored a batch and before the next batch. So the next leader
//! repeats at most one batch and skips nothing. Moving needs the lease's connection and term, so a
//! leader that lost its lease cannot move it back. The row exists before the first event is
//! published. Otherwise, a relay that was killed early would begin relative to a newer head and
//! skip events.
//!
//! A restore of the log also restores the row, so the row cannot show that the log lost commits. A
//! person who restores a log begins a new epoch, which every event names.

use event_store::{Epoch, EventRef, Position};
use postgres_kit::{Keeper, LeaseLost};
use uuid::Uuid;

use super::resume::{LostCommits, ResumeError, Resuming};
use crate::consumer::continuity::{self, Continuity};

/// The cursor of one target.
pub(super) struct Cursor<'a> {
    keeper: &'a Keeper,
    target: &'static str,
}

/// A row of `event_store.relay_cursors`.
struct Row {
    epoch: Uuid,
    position: i64,
    event_id: Option<Uuid>,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(keeper: &'a Keeper, target: &'static str) -> Self {
        Self { keeper, target }
    }

    /// Finds the event after which to continue.
    pub(super) async fn resume(&self, resuming: &Resuming<'_>) -> Result<EventRef, ResumeError> {
        let Some(row) = self.read().await? else { return self.begin(resuming).await };
        let (epoch, position) = (Epoch(row.epoch), Position(row.position));
        let last = EventRef { position, event_id: row.event_id };
        let place = || format!("the cursor of the target {}", self.target);
        match continuity::prove(resuming.store, Some(epoch), last).await? {
            // The target has everything that the log has up to here.
            Continuity::Same(now) => {
                if now != epoch {
                    self.move_to(now, last).await?;
                }
                Ok(last)
            }
            Continuity::Over => {
                tracing::warn!(cursor = self.target, %epoch, %position, "its history is over");
                self.begin(resuming).await
            }
            Continuity::Lost { unknown: Some(epoch), .. } => {
                Err(LostCommits::Epoch { place: place(), epoch }.into())
            }
            Continuity::Lost { found, unknown: None } => {
                let (target, log) = (last.event_id, found.and_then(|found| found.event_id));
                Err(LostCommits::Event { place: place(), position, target, log }.into())
            }
        }
    }

    /// Begins, or begins again, one refill window before the head.
    pub(super) async fn begin(&self, resuming: &Resuming<'_>) -> Result<EventRef, ResumeError> {
        let before_first = resuming.before_refill().await?;
        self.move_to(resuming.head().epoch, before_first).await?;
        tracing::warn!(cursor = self.target, after = %before_first.position, "the target begins");
        Ok(before_first)
    }

    async fn read(&self) -> Result<Option<Row>, LeaseLost> {
        let target = self.target;
        let read = async |raw: &mut sqlx::PgConnection| {
            sqlx::query_file_as!(Row, "sql/event_store/cursor_read.sql", target)
                .fetch_optional(raw)
                .await
        };
        self.keeper.run("read the cursor", read).await
    }

    /// Records that the target has all events up to `last`.
    pub(super) async fn move_to(&self, epoch: Epoch, last: EventRef) -> Result<(), LeaseLost> {
        let (lease, term) = (self.keeper.lease(), self.keeper.term());
        let moving = async |raw: &mut sqlx::PgConnection| {
            sqlx::query_file!(
                "sql/event_store/cursor_move.sql",
                self.target,
                epoch.0,
                last.position.0,
                last.event_id,
                lease.name(),
                lease.owner(),
                term.0
            )
            .execute(raw)
            .await
        };
        let moved = self.keeper.run("move the cursor", moving).await?;
        if moved.rows_affected() == 1 { Ok(()) } else { Err(self.keeper.lose()) }
    }
}
