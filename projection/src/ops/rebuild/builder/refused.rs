//! Handles refusals during a build. If a fold refuses something, the build folds again and keeps
//! the rows. If Postgres refuses rows, it works in batches directly on the tables, like the runner,
//! which is slower.
//!
//! The batches find the refused row and its event in the same way as the runner, with all
//! constraints in place. That includes constraints between rows, which no single row violates.

use event_store::Position;
use futures::StreamExt as _;
use sqlx::{Connection as _, PgConnection};

use super::{Builder, Held, TABLES_LIMIT};
use crate::ops::Progress;
use crate::ops::rebuild::RebuildError;
use crate::projection::past::StoredPast;
use crate::projection::{WriteError, apart};
use crate::replay::{Page, RANGE, ReplayError};
use crate::runner::MAX_APART;
use crate::runner::checkpoint::{self, Passed, Seen};
use crate::runner::erasing::Erasing;
use crate::runner::parked;

impl Builder {
    /// Brings the moving partitions to this position.
    ///
    /// Refusals are rare, so rows are not kept for them at first. If a fold refuses something, the
    /// build goes back to the checkpoint and keeps rows from then on. If Postgres refuses rows, the
    /// events since the checkpoint are processed in batches.
    pub(super) async fn bring(
        &mut self,
        to: Position,
        progress: &dyn Progress,
    ) -> Result<(), RebuildError> {
        loop {
            match self.advance(to, progress).await {
                Err(RebuildError::Replay(ReplayError::Event(..))) if !self.careful => {
                    self.careful = true;
                }
                Err(
                    RebuildError::Database(error)
                    | RebuildError::Replay(ReplayError::Database(error)),
                ) if apart::is_refusal(&error) => {
                    // The refused row is among those folded, or those to be loaded next.
                    let refused_by = Position((self.at.0 + RANGE).min(to.0));
                    self.begin_rows();
                    self.in_batches(refused_by, progress).await?;
                }
                done => return done,
            }
            self.begin_rows();
        }
    }

    /// Brings rows and checkpoints from the checkpoint to this position, in batches.
    async fn in_batches(
        &mut self,
        to: Position,
        progress: &dyn Progress,
    ) -> Result<(), RebuildError> {
        self.restore_constraints().await?;
        let mut most = i64::try_from(MAX_APART).unwrap_or(i64::MAX);
        while self.at < to {
            let mut pages = self.source.pages(self.at, to, (most, 1));
            while let Some(page) = pages.next().await {
                let page = page?;
                match self.batch(&page).await {
                    Ok(()) => {}
                    Err(RebuildError::Database(error)) if apart::is_refusal(&error) => {
                        if page.to == self.at.next() {
                            return Err(
                                ReplayError::Event(page.to, apart::why(&error).into()).into()
                            );
                        }
                        // No single row is the cause, so halving finds the event.
                        most = ((page.to.0 - self.at.0) / 2).max(1);
                        break;
                    }
                    Err(error) => return Err(error),
                }
                progress.at(self.at, to);
                if self.keeper.is_lost() {
                    return Err(RebuildError::TakenOver);
                }
                if self.keeper.pause_is_wanted() {
                    return Err(RebuildError::Paused(self.at));
                }
            }
        }
        Ok(())
    }

    /// Retries parked events, so that no row lacks an event only because of where a batch ended.
    pub(crate) async fn retry_parked(&mut self) -> Result<(), RebuildError> {
        let again = self.source.reread();
        let mut erasing = Erasing::default();
        for held in &self.partitions {
            for key in parked::keys(&mut self.connection, &held.key).await? {
                let mut goes_on = true;
                while goes_on {
                    let tried = parked::try_key(
                        &mut self.connection,
                        (&held.key, &held.checkpoint),
                        (&again, &mut erasing),
                        &key,
                    )
                    .await?;
                    goes_on = tried.is_none_or(|tried| tried.goes_on());
                }
            }
        }
        // Reloads the set of parked events.
        self.moving.clear();
        self.choose().await?;
        Ok(())
    }

    /// Restores the constraints that were removed for loading. The tables are empty then.
    async fn restore_constraints(&mut self) -> Result<(), RebuildError> {
        let (name, generation) = (self.source.projection().name(), self.generation);
        let restore = async |raw: &mut PgConnection| {
            sqlx::query!("SELECT read_model.restore_constraints($1, $2)", name, generation)
                .execute(raw)
                .await
        };
        self.connection.run(restore).await?;
        Ok(())
    }

    /// Writes a page's rows, parked events and checkpoints in one transaction.
    async fn batch(&mut self, page: &Page) -> Result<(), RebuildError> {
        match self.write_batch(page, false).await {
            Err(RebuildError::Database(error)) if apart::is_refusal(&error) => {
                self.write_batch(page, true).await
            }
            written => written,
        }
    }

    async fn write_batch(&mut self, page: &Page, apart: bool) -> Result<(), RebuildError> {
        let mark = self.source.mark(page.to).await?;
        let target = (self.epoch, mark);
        let seen = Seen { mode: "rebuilding", head: self.head.max(page.to) };
        let (only, parking) = (self.only(), self.parked.parking());
        let mut parking = if apart { parking.apart() } else { parking };
        let handled = page.prepared.handled_by(self.of());
        let events = usize::try_from(page.to.0 - self.at.0).unwrap_or(0);
        let (partitions, moving, source) = (&self.partitions, &self.moving, &self.source);
        let write = async |raw: &mut PgConnection| {
            let mut transaction = raw.begin().await?;
            for number in moving {
                let Held { key, checkpoint, .. } = &partitions[*number];
                let handled = handled.get(*number).copied().unwrap_or(0);
                let ignored = events.saturating_sub(handled);
                let passed = Passed { handled, ignored, recorded_at: None };
                if !checkpoint::advance(
                    &mut transaction,
                    key,
                    checkpoint,
                    target,
                    (seen, passed),
                    true,
                )
                .await?
                {
                    transaction.rollback().await?;
                    return Err(RebuildError::TakenOver);
                }
            }
            let past = StoredPast::AsFolded;
            let written = page.prepared.write(&mut transaction, &only, &mut parking, past).await;
            written.map_err(as_refold)?;
            let found = parking.take_found();
            let named = source.events_at(found.iter().map(|aside| aside.position)).await?;
            if let Some(first) = partitions.first() {
                parked::record(&mut transaction, &first.key, &found, &named).await?;
            }
            transaction.commit().await?;
            Ok(found)
        };
        let found = self.connection.run_within(TABLES_LIMIT, write).await?;
        self.at = page.to;
        self.moved(mark, &found);
        Ok(())
    }
}

fn as_refold(error: WriteError) -> RebuildError {
    match error {
        WriteError::Database(error) => RebuildError::Database(error),
        fold @ WriteError::Fold(..) => RebuildError::Replay(fold.into()),
    }
}
