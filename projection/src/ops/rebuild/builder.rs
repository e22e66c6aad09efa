//! Builds a standby generation, or catches it up.
//!
//! Rows and checkpoints are committed together and are fenced by the lease's term, as in the
//! runner. So a killed build resumes exactly where it was. The checkpoint moves when rows are
//! written, which is rare: when memory is full, after some seconds, and at the end.
//!
//! All partitions of the generation move together, in one fold and one transaction. If their
//! positions differ, those furthest behind are first brought to the position of the next ones.

use std::sync::Arc;
use std::time::Duration;

use event_store::{Epoch, EventRef, Position};
use futures::StreamExt as _;
use postgres_kit::Connection;
use postgres_kit::Term;
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use super::RebuildError;
use super::keeper::Keeper;
use crate::generation;
use crate::ops::{Operations, Progress};
use crate::projection::parking::Aside;
use crate::projection::{AnyProjection, AnyRows, Only, Parking, Partitions};
use crate::replay::pace::Pace;
use crate::replay::{Page, ReplayError, Source};
use crate::runner::checkpoint::{self, Checkpoint, Passed, Seen};
use crate::runner::lease;
use crate::runner::parked::{self, ParkedSet};

mod held;
mod refused;

use held::{Held, give_up, take_partitions};

/// At most this much work is lost when a build is killed.
const WRITE_EVERY: Duration = Duration::from_secs(30);

/// How long creating the keys and indexes of a whole generation may take.
const TABLES_LIMIT: Duration = Duration::from_hours(6);

/// A generation that only this process moves.
pub(crate) struct Builder {
    source: Arc<Source>,
    generation: i32,
    /// All partitions, in order of their numbers.
    partitions: Vec<Held>,
    /// The partitions that move now: those furthest behind.
    moving: Vec<usize>,
    rows: Box<dyn AnyRows>,
    /// The memory limit for rows, in bytes.
    bytes: usize,
    parked: ParkedSet,
    parking: Parking,
    /// Whether a refusal was met. From then on, rows are kept so that refusals can be handled.
    careful: bool,
    keeper: Keeper,
    pub(crate) connection: Connection,
    /// The position of the rows in memory; the checkpoints follow.
    at: Position,
    head: Position,
    epoch: Epoch,
    owner: uuid::Uuid,
    pace: Pace,
}

impl Builder {
    /// Takes a generation. `None` if another process holds it.
    pub(crate) async fn take(
        operations: &Operations,
        source: &Arc<Source>,
        generation: i32,
        bytes: usize,
        pace: Pace,
    ) -> Result<Option<Self>, RebuildError> {
        let mut connection = operations.connect().await?;
        let projection = source.projection();
        let take = async |raw: &mut PgConnection| {
            let Some(found) = generation::numbered(raw, projection.name(), generation).await?
            else {
                return Ok(None);
            };
            take_partitions(raw, operations.owner, projection, &found).await
        };
        let Some(partitions) = connection.run(take).await? else { return Ok(None) };
        for held in &partitions {
            source.prove(held.checkpoint.mark).await?;
        }
        // For the whole session, because rows are also loaded outside transactions. That is safe:
        // no other process moves these partitions.
        sqlx::query_scalar!(
            "SELECT set_config('search_path', quote_ident(read_model.generation_schema($1, $2)), \
                false)",
            projection.name(),
            generation
        )
        .fetch_one(&mut connection)
        .await?;
        let head = operations.log.store().head().await.map_err(ReplayError::from)?;
        let leases = partitions
            .iter()
            .map(|held| (lease::of(&held.key, operations.owner), Term(held.checkpoint.term)))
            .collect();
        let keeper = Keeper::keep(
            operations.options.clone(),
            (projection.name(), generation),
            operations.owner,
            leases,
        );
        let mut builder = Self {
            source: Arc::clone(source),
            generation,
            partitions,
            moving: Vec::new(),
            rows: projection.rows(Partitions::ALL.only(), bytes),
            bytes,
            parked: ParkedSet::default(),
            parking: Parking::default(),
            careful: false,
            keeper,
            connection,
            at: Position::START,
            head: head.mark.position,
            epoch: head.epoch,
            owner: operations.owner,
            pace,
        };
        builder.choose().await?;
        Ok(Some(builder))
    }

    /// Chooses the partitions furthest behind to move next. Returns the position of the next ones,
    /// if there are any.
    async fn choose(&mut self) -> sqlx::Result<Option<Position>> {
        let at = |held: &Held| held.checkpoint.mark.position;
        let lowest = self.partitions.iter().map(at).min().unwrap_or(Position::START);
        let next = self.partitions.iter().map(at).filter(|position| *position > lowest).min();
        let moving: Vec<usize> = (0..self.partitions.len())
            .filter(|number| at(&self.partitions[*number]) == lowest)
            .collect();
        if moving != self.moving {
            (self.moving, self.at) = (moving, lowest);
            let numbers: Vec<i32> =
                self.moving_partitions().map(|held| held.key.partition).collect();
            if let Some(first) = self.partitions.first() {
                let load =
                    async |raw: &mut PgConnection| ParkedSet::load(raw, &first.key, &numbers).await;
                self.parked = self.connection.run(load).await?;
            }
            self.begin_rows();
        }
        Ok(next)
    }

    /// Starts with empty memory at the checkpoint.
    fn begin_rows(&mut self) {
        self.rows = self.projection().rows(self.only(), self.bytes);
        self.rows.keep_history();
        let at = self.moving_partitions().map(|held| held.checkpoint.mark.position).next();
        self.at = at.unwrap_or(Position::START);
        if self.at > Position::START {
            self.rows.may_be_stored();
        }
        let parking = self.parked.parking();
        self.parking = if self.careful { parking.careful() } else { parking };
        self.partitions.iter_mut().for_each(|held| held.passed = Passed::default());
    }

    /// The keys of the moving partitions.
    fn only(&self) -> Only {
        Partitions::these(self.moving_partitions().map(|held| held.key.partition), self.of()).only()
    }

    fn moving_partitions(&self) -> impl Iterator<Item = &Held> {
        self.moving.iter().map(|number| &self.partitions[*number])
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

    /// The number of partitions.
    fn of(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(1)
    }

    /// The qualified name of the main table.
    pub(crate) async fn table(&mut self) -> sqlx::Result<String> {
        sqlx::query_scalar!(
            r#"SELECT (read_model.generation_schema($1, $2) || '.' || $1)::regclass::text AS
                "table!""#,
            self.projection().name(),
            self.generation
        )
        .fetch_one(&mut self.connection)
        .await
    }

    /// The current head of the log.
    pub(crate) async fn look_at_head(&mut self) -> Result<Position, RebuildError> {
        let head = self.source.head().await?;
        (self.head, self.epoch) = (head.mark.position, head.epoch);
        Ok(self.head)
    }

    /// Ends the build if a pause was requested. Everything folded must be written.
    pub(crate) fn pause_if_wanted(&self) -> Result<(), RebuildError> {
        if self.keeper.pause_is_wanted() { Err(RebuildError::Paused(self.at)) } else { Ok(()) }
    }

    /// Brings rows and checkpoints to this position, which the log must have reached. Refused
    /// events are parked.
    pub(crate) async fn go_on(
        &mut self,
        to: Position,
        progress: &dyn Progress,
    ) -> Result<(), RebuildError> {
        loop {
            let next = self.choose().await?.filter(|next| *next < to);
            self.bring(next.unwrap_or(to), progress).await?;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// The number of positions per read, and the number of ranges read ahead. Each position may
    /// touch another row, so one read covers at most as many positions as rows fit into memory.
    fn ranges(&self) -> (i64, usize) {
        let (range, ahead) = self.pace.ranges();
        (range.min(i64::try_from(self.rows.capacity()).unwrap_or(i64::MAX)).max(1), ahead)
    }

    async fn advance(&mut self, to: Position, progress: &dyn Progress) -> Result<(), RebuildError> {
        let mut written_at = Instant::now();
        while self.at < to {
            let (range, ahead) = self.ranges();
            let mut pages = self.source.pages(self.at, to, (range, ahead));
            while let Some(page) = pages.next().await {
                let page = page?;
                let events = page.to.0 - self.at.0;
                self.fold(page).await?;
                progress.at(self.at, to);
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
                // Rows turned out to be larger or smaller than expected.
                let now = self.ranges().0;
                if now < range / 2 || now > range.saturating_mul(2) {
                    break;
                }
            }
        }
        self.write().await
    }

    async fn fold(&mut self, page: Page) -> Result<(), RebuildError> {
        let (handled, to) = (page.prepared.handled_by(self.of()), page.to);
        let (rows, parking) = (&mut self.rows, &mut self.parking);
        let fold = async |raw: &mut PgConnection| rows.fold(raw, page.prepared, parking).await;
        self.connection.run(fold).await.map_err(ReplayError::from)?;
        self.count(&handled, to);
        Ok(())
    }

    /// Counts events up to here as folded; `handled` is the number per partition.
    fn count(&mut self, handled: &[usize], to: Position) {
        let events = usize::try_from(to.0 - self.at.0).unwrap_or(0);
        for number in &self.moving {
            let (passed, handled) =
                (&mut self.partitions[*number].passed, handled.get(*number).copied().unwrap_or(0));
            passed.handled += handled;
            passed.ignored += events.saturating_sub(handled);
        }
        self.at = to;
    }

    /// Writes the rows and moves the checkpoints.
    async fn write(&mut self) -> Result<(), RebuildError> {
        if self.moving_partitions().all(|held| held.checkpoint.mark.position >= self.at) {
            return Ok(());
        }
        let mark = self.source.mark(self.at).await?;
        let target = (self.epoch, mark);
        let seen = Seen { mode: "rebuilding", head: self.head.max(self.at) };
        let found = self.parking.take_found();
        let events = self.source.events_at(found.iter().map(|aside| aside.position)).await?;
        let (name, generation) = (self.source.projection().name(), self.generation);
        let (partitions, moving, rows) = (&self.partitions, &self.moving, &mut self.rows);
        let write = async |raw: &mut PgConnection| {
            let mut transaction = raw.begin().await?;
            for number in moving {
                let Held { key, checkpoint, passed } = &partitions[*number];
                if !checkpoint::advance(
                    &mut transaction,
                    key,
                    checkpoint,
                    target,
                    (seen, *passed),
                    true,
                )
                .await?
                {
                    transaction.rollback().await?;
                    return Err(RebuildError::TakenOver);
                }
            }
            rows.write(&mut transaction).await?;
            if let Some(first) = partitions.first() {
                parked::record(&mut transaction, &first.key, &found, &events).await?;
            }
            // The next write may update these rows, and needs the key to find them.
            sqlx::query!("SELECT read_model.restore_constraints($1, $2)", name, generation)
                .execute(&mut *transaction)
                .await?;
            Ok(transaction.commit().await?)
        };
        self.connection.run_within(TABLES_LIMIT, write).await?;
        self.moved(mark, &found);
        Ok(())
    }

    /// Updates the state after rows and checkpoints were committed up to here.
    fn moved(&mut self, mark: EventRef, found: &[Aside]) {
        self.parked.add(found);
        for number in &self.moving {
            let held = &mut self.partitions[*number];
            held.passed = Passed::default();
            held.checkpoint = Checkpoint { epoch: Some(self.epoch), mark, ..held.checkpoint };
        }
    }

    /// Creates the constraints and indexes that were deferred until the rows are loaded.
    pub(crate) async fn finish_tables(&mut self) -> Result<(), RebuildError> {
        let (name, generation) = (self.source.projection().name(), self.generation);
        let (indexes, keeper) = (self.source.projection().indexes(), &self.keeper);
        let finish = async |raw: &mut PgConnection| {
            let mut transaction = raw.begin().await?;
            sqlx::query!("SELECT read_model.work_in_generation($1, $2)", name, generation)
                .execute(&mut *transaction)
                .await?;
            sqlx::query!("SELECT read_model.restore_constraints($1, $2)", name, generation)
                .execute(&mut *transaction)
                .await?;
            sqlx::raw_sql(indexes).execute(&mut *transaction).await?;
            sqlx::query!("SELECT read_model.analyze_generation($1, $2)", name, generation)
                .execute(&mut *transaction)
                .await?;
            let moved = sqlx::query!(
                "UPDATE read_model.rebuilds SET phase = 'catching_up' WHERE projection = $1 AND \
                    generation = $2 AND phase = 'loading'",
                name,
                generation
            )
            .execute(&mut *transaction)
            .await?;
            if moved.rows_affected() != 1 || keeper.is_lost() {
                transaction.rollback().await?;
                return Err(RebuildError::TakenOver);
            }
            Ok(transaction.commit().await?)
        };
        self.connection.run_within(TABLES_LIMIT, finish).await
    }

    /// Releases the generation, so that a projector can take it at once.
    pub(crate) async fn give_up(mut self) -> sqlx::Result<()> {
        let (owner, partitions) = (self.owner, &self.partitions);
        self.connection
            .run(async |raw: &mut PgConnection| give_up(raw, owner, partitions).await)
            .await?;
        self.connection.close().await;
        Ok(())
    }
}
