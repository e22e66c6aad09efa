//! What people do: list the sagas that have not ended, look at one, and decide about it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use event_store::Version;
use uuid::Uuid;

use crate::driver::{Appended, DriveError, Driver, load};
use crate::event::{self, SagaEvent};
use crate::id;
use crate::instance::{Decision, Instance, Refused};
use crate::work::{Listed, Listing, WorkTable};

/// How often a decision is made again because a driver moved the instance meanwhile.
const MAX_ATTEMPTS: u32 = 8;
/// The maximum number of events in a page of a timeline.
pub const MAX_TIMELINE: u32 = 1_000;

/// Why an operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The instance does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// This program does not have the saga or its definition.
    #[error("this program does not have the definition of the saga")]
    NoDefinition,
    /// The log did not answer, or cannot be read.
    #[error(transparent)]
    Log(#[from] DriveError),
    /// The work tables did not answer.
    #[error("the work tables gave no answer")]
    Work(#[from] sqlx::Error),
}

/// An event of a timeline.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its version in the instance's stream.
    pub version: Version,
    /// When the log recorded it, by the clock of its database.
    pub at: DateTime<Utc>,
    /// What happened, as the stream keeps it.
    pub event: SagaEvent,
}

/// A page of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The version after which it begins; [`Version::NONE`] for the first page.
    pub after: Version,
    /// The maximum number of events, from 1 to [`MAX_TIMELINE`].
    pub limit: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self { after: Version::NONE, limit: MAX_TIMELINE }
    }
}

/// An instance with its history.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its state after all of its events.
    pub instance: Instance,
    /// The events of the page.
    pub timeline: Vec<Entry>,
    /// The version after which the next page begins; `None` if there is no other page.
    pub next_after: Option<Version>,
}

/// The operations of people. `by` is always an opaque id, which the log keeps.
#[derive(Clone)]
pub struct Operations {
    driver: Driver,
    table: WorkTable,
}

impl Operations {
    /// The operations on the sagas of this driver, with these work tables.
    pub const fn new(driver: Driver, table: WorkTable) -> Self {
        Self { driver, table }
    }

    /// Lists instances that have not ended.
    ///
    /// # Errors
    /// [`OperationError::Work`].
    pub async fn list(&self, listing: &Listing) -> Result<Vec<Listed>, OperationError> {
        Ok(self.table.list(listing).await?)
    }

    /// Lists the instances that have not moved for this time, whatever they wait for.
    ///
    /// # Errors
    /// [`OperationError::Work`].
    pub async fn stuck(
        &self,
        time: Duration,
        listing: Listing,
    ) -> Result<Vec<Listed>, OperationError> {
        let since = self.driver.clock.now() - chrono::Duration::from_std(time).unwrap_or_default();
        self.list(&Listing { not_moved_since: Some(since), ..listing }).await
    }

    /// The state of an instance; `None` if it never began.
    ///
    /// # Errors
    /// [`OperationError::Log`].
    pub async fn state(&self, instance: Uuid) -> Result<Option<Instance>, OperationError> {
        let state = load(&self.driver.log, instance).await?.state;
        Ok(Some(state).filter(|state| state.origin.is_some()))
    }

    /// Shows an instance with a page of its timeline; `None` if it never began.
    ///
    /// # Errors
    /// [`OperationError::Log`].
    pub async fn show(&self, instance: Uuid, page: Page) -> Result<Option<Shown>, OperationError> {
        let Some(state) = self.state(instance).await? else { return Ok(None) };
        let (stream, limit) = (id::stream(instance), page.limit.clamp(1, MAX_TIMELINE));
        let read = self.driver.log.read_stream(&stream, page.after, limit).await;
        let read = read.map_err(DriveError::from)?;
        let next_after = read.last.map(|(last, _)| last).filter(|_| !read.is_last);
        let mut timeline = Vec::new();
        for stored in read.events {
            if let Some(event) = event::read(&stored).map_err(DriveError::from)? {
                timeline.push(Entry { version: stored.version, at: stored.recorded_at, event });
            }
        }
        Ok(Some(Shown { instance: state, timeline, next_after }))
    }

    /// Makes the processes fold the log again from where the sagas begin. Use it if the work tables
    /// are wrong. After a new epoch, and if the tables are lost, the processes do it by themselves.
    /// The streams of the instances stay as they are, so nothing is repeated.
    ///
    /// # Errors
    /// [`OperationError::Work`].
    pub async fn fold_again(&self) -> Result<(), OperationError> {
        Ok(self.table.fold_again().await?)
    }

    /// Records a person's decision about an instance. A driver goes on from there.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn decide(
        &self,
        instance: Uuid,
        decision: Decision,
        by: &str,
    ) -> Result<Instance, OperationError> {
        for _ in 0..MAX_ATTEMPTS {
            let mut loaded = load(&self.driver.log, instance).await?;
            let origin = loaded.state.origin.as_ref().ok_or(Refused::Absent)?;
            let saga = origin.saga.clone();
            let definition = self.driver.sagas.get(&saga);
            let definition =
                definition.and_then(|saga| saga.definitions.get(&origin.definition)).cloned();
            let definition = definition.ok_or(OperationError::NoDefinition)?;
            let now = self.driver.clock.now();
            let events = loaded.state.operate(&definition, decision.clone(), by, now)?;
            loaded.push(events);
            if self.driver.flush(&mut loaded, crate::action::Work::default()).await?
                == Appended::Done
            {
                self.table.wake(instance, &saga, now).await?;
                return Ok(loaded.state);
            }
        }
        Err(DriveError::Contended.into())
    }
}
