//! A generation beside the live one in the hands of whoever builds it, or brings it up to date.
//!
//! Rows and checkpoint commit together and are fenced by the lease's term, as the runner's are: so a build that was killed
//! goes on exactly where it was. The checkpoint moves when rows are written, which is rarely: when memory is full, after
//! some seconds, and at the end.

use std::sync::Arc;
use std::time::Duration;

use event_feed::Term;
use event_store::{Epoch, Position};
use futures::StreamExt as _;
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use super::RebuildError;
use super::keeper::Keeper;
use crate::progress::Progress;
use crate::projection::{AnyProjection, AnyRows, Only, Parking};
use crate::refold::pace::Pace;
use crate::refold::{RefoldError, Source};
use crate::runner::checkpoint::{self, Checkpoint, Passed, Seen};
use crate::runner::parked::{self, ParkedSet};
use crate::runner::{PartKey, lease};
use crate::tool::Tool;

/// So much work is lost at most when a build is killed.
const WRITE_EVERY: Duration = Duration::from_secs(30);

/// A generation that this process alone moves.
pub(crate) struct Builder {
    source: Arc<Source>,
    key: PartKey,
    checkpoint: Checkpoint,
    rows: Box<dyn AnyRows>,
    /// What rows may take in memory.
    bytes: usize,
    parked: ParkedSet,
    parking: Parking,
    /// Whether a refusal was met: from then on rows are kept for it.
    careful: bool,
    /// Events since the checkpoint.
    passed: Passed,
    keeper: Keeper,
    pub(crate) connection: PgConnection,
    /// How far the rows in memory are; the checkpoint follows.
    at: Position,
    head: Position,
    epoch: Epoch,
    owner: uuid::Uuid,
    pace: Pace,
}

impl Builder {
    /// Takes a generation. `None`: another process has it.
    pub(crate) async fn take(
        tool: &Tool,
        source: &Arc<Source>,
        generation: i32,
        bytes: usize,
        pace: Pace,
    ) -> Result<Option<Self>, RebuildError> {
        let mut connection = tool.connect().await?;
        let key = PartKey::new(Arc::clone(source.projection()), generation);
        let Some(Term(term)) = lease::of(&key, tool.owner).take(&mut connection).await? else { return Ok(None) };
        let Some(checkpoint) = checkpoint::take(&mut connection, &key, term).await? else { return Ok(None) };
        source.prove(checkpoint.mark).await?;
        let parked = ParkedSet::load(&mut connection, &key).await?;
        let parking = parked.parking();
        // Rows are also loaded outside transactions: nobody else moves these.
        sqlx::query_scalar!(
            "SELECT set_config('search_path', quote_ident(read_model.generation_schema($1, $2)), false)",
            key.projection.name(),
            generation
        )
        .fetch_one(&mut connection)
        .await?;
        let head = tool.log.store().head().await.map_err(RefoldError::from)?;
        let mut rows = source.projection().rows(Only::All, bytes);
        if checkpoint.mark.position > Position::START {
            rows.may_be_stored();
        }
        let keeper = Keeper::keep(tool.options.clone(), &key, tool.owner, Term(term));
        let (source, at, owner) = (Arc::clone(source), checkpoint.mark.position, tool.owner);
        let (head, epoch) = (head.mark.position, head.epoch);
        let (careful, passed) = (false, Passed::default());
        Ok(Some(Self {
            source,
            key,
            checkpoint,
            rows,
            bytes,
            parked,
            parking,
            careful,
            passed,
            keeper,
            connection,
            at,
            head,
            epoch,
            owner,
            pace,
        }))
    }

    pub(crate) const fn at(&self) -> Position {
        self.at
    }

    pub(crate) fn projection(&self) -> &Arc<dyn AnyProjection> {
        self.source.projection()
    }

    pub(crate) const fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Its main table, as Postgres names it.
    pub(crate) async fn table(&mut self) -> sqlx::Result<String> {
        sqlx::query_scalar!(
            r#"SELECT (read_model.generation_schema($1, $2) || '.' || $1)::regclass::text AS "table!""#,
            self.key.projection.name(),
            self.key.generation
        )
        .fetch_one(&mut self.connection)
        .await
    }

    /// Where the log ends now.
    pub(crate) async fn look_at_head(&mut self) -> Result<Position, RebuildError> {
        let head = self.source.head().await?;
        (self.head, self.epoch) = (head.mark.position, head.epoch);
        Ok(self.head)
    }

    /// Brings rows and checkpoint to this position, which the log has reached. Events that are refused are parked.
    pub(crate) async fn go_on(&mut self, to: Position, progress: &mut Progress) -> Result<(), RebuildError> {
        match self.advance(to, progress).await {
            Err(RebuildError::Refold(RefoldError::Event(..))) if !self.careful => {
                // Nearly always nothing is refused, and rows need not be kept for that: back to the checkpoint, and now they are.
                self.careful = true;
                self.rows = self.source.projection().rows(Only::All, self.bytes);
                self.at = self.checkpoint.mark.position;
                if self.at > Position::START {
                    self.rows.may_be_stored();
                }
                (self.parking, self.passed) = (self.parked.parking().careful(), Passed::default());
                self.advance(to, progress).await
            }
            done => done,
        }
    }

    async fn advance(&mut self, to: Position, progress: &mut Progress) -> Result<(), RebuildError> {
        let mut pages = self.source.pages(self.at, to, self.pace.ranges());
        let mut written_at = Instant::now();
        while let Some(page) = pages.next().await {
            let page = page?;
            let (handled, events) = (page.prepared.handled, page.to.0 - self.at.0);
            let folded = self.rows.fold(&mut self.connection, page.prepared, &mut self.parking).await;
            folded.map_err(RefoldError::from)?;
            self.passed.handled += handled;
            self.passed.passed_over += usize::try_from(events).unwrap_or(0).saturating_sub(handled);
            self.at = page.to;
            progress.at(self.at.0, to.0);
            if self.keeper.is_lost() {
                return Err(RebuildError::TakenOver);
            }
            let pause = self.keeper.pause_is_wanted();
            if pause || self.rows.is_full() || written_at.elapsed() > WRITE_EVERY {
                self.write().await?;
                written_at = Instant::now();
            }
            if pause {
                return Err(RebuildError::Paused(self.at));
            }
            self.pace.after(events).await;
        }
        self.write().await
    }

    /// Writes the rows and moves the checkpoint.
    async fn write(&mut self) -> Result<(), RebuildError> {
        if self.at == self.checkpoint.mark.position {
            return Ok(());
        }
        let mark = self.source.mark(self.at).await?;
        let target = (self.epoch, mark);
        let seen = Seen { mode: "rebuilding", head: self.head.max(self.at) };
        let found = self.parking.take_found();
        let events = self.source.events_at(found.iter().map(|aside| aside.position)).await?;
        let mut transaction = self.connection.begin().await?;
        if !checkpoint::advance(&mut transaction, &self.key, &self.checkpoint, target, (seen, self.passed)).await? {
            transaction.rollback().await?;
            return Err(RebuildError::TakenOver);
        }
        self.rows.write(&mut transaction).await?;
        parked::record(&mut transaction, &self.key, &found, &events).await?;
        // The next write may meet rows that stand there, and finds them by the key.
        sqlx::query!("SELECT read_model.restore_constraints($1, $2)", self.key.projection.name(), self.key.generation)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        self.parked.add(&found);
        self.passed = Passed::default();
        self.checkpoint = Checkpoint { epoch: Some(self.epoch), mark, ..self.checkpoint };
        Ok(())
    }

    /// Makes what was left for when the rows are in: constraints and indexes.
    pub(crate) async fn finish_tables(&mut self) -> Result<(), RebuildError> {
        let (name, generation) = (self.key.projection.name(), self.key.generation);
        let mut transaction = self.connection.begin().await?;
        sqlx::query!("SELECT read_model.work_in_generation($1, $2)", name, generation).execute(&mut *transaction).await?;
        sqlx::query!("SELECT read_model.restore_constraints($1, $2)", name, generation).execute(&mut *transaction).await?;
        sqlx::raw_sql(self.key.projection.indexes()).execute(&mut *transaction).await?;
        sqlx::query!("SELECT read_model.analyze_generation($1, $2)", name, generation).execute(&mut *transaction).await?;
        let moved = sqlx::query!(
            "UPDATE read_model.rebuilds SET phase = 'catching_up' WHERE projection = $1 AND generation = $2 AND phase = 'loading'",
            name,
            generation
        )
        .execute(&mut *transaction)
        .await?;
        if moved.rows_affected() != 1 || self.keeper.is_lost() {
            transaction.rollback().await?;
            return Err(RebuildError::TakenOver);
        }
        Ok(transaction.commit().await?)
    }

    /// Gives the generation up, so that whoever projects takes it at once.
    pub(crate) async fn give_up(mut self) -> sqlx::Result<()> {
        lease::of(&self.key, self.owner).give_up(&mut self.connection, Term(self.checkpoint.term)).await?;
        self.connection.close().await
    }
}
