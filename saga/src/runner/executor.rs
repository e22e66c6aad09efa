//! Drives the instances of this process, each in a task of its own.

use std::collections::HashMap;
use std::time::Duration;

use chrono::TimeDelta;
use postgres_kit::Pauses;
use service_kit::Pulse;
use service_kit::health::{Component, Health};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::counts::Counts;
use super::registration::Registration;
use super::strays::Strays;
use super::{RunnerSettings, judge};
use crate::driver::{DriveError, Driver, Job};
use crate::intake::Handed;
use crate::sagas::Begun;
use crate::telemetry;
use crate::work::release::Done;
use crate::work::{Claimed, WorkTable};

/// How long the executor may be silent before it counts as hung.
const PULSE_LIMIT: Duration = Duration::from_secs(30);
/// By how much the clock of this process may differ from that of the database. Timers follow the
/// clock of the process that drives, so one whose clock is wrong takes no work.
const MAX_SKEW: TimeDelta = TimeDelta::seconds(5);
/// How often the number of instances is counted.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// The pauses after the database failed.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(3);

/// Why the process does not work now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Tables(#[from] sqlx::Error),
    #[error("this process's clock differs from the database's by {} s", .0.num_seconds().abs())]
    Clock(TimeDelta),
}

/// The executor of a process.
pub(super) struct Executor {
    driver: Driver,
    table: WorkTable,
    registration: Registration,
    handed: Handed,
    strays: Strays,
    health: Component,
    pulse: Pulse,
    settings: RunnerSettings,
    /// The names of the sagas that this process can drive.
    names: Vec<String>,
    tasks: JoinSet<Done>,
    /// What each task drives, so that nothing is lost if one panics.
    running: HashMap<Id, Claimed>,
    /// What is to be given back.
    done: Vec<Done>,
    look_at: Instant,
    renew_at: Instant,
    count_at: Instant,
    counts: Counts,
    /// By how much the database's clock is ahead of this one.
    skew: TimeDelta,
    pauses: Pauses,
}

impl Executor {
    pub(super) fn new(
        driver: Driver,
        table: WorkTable,
        registration: Registration,
        handed: Handed,
        health: &Health,
        settings: RunnerSettings,
    ) -> Self {
        let now = Instant::now();
        let names: Vec<String> = driver.sagas.all().map(|saga| saga.name.to_owned()).collect();
        Self {
            counts: Counts::new(&names),
            names,
            driver,
            table,
            registration,
            handed,
            strays: Strays::default(),
            health: health.component("sagas at work"),
            pulse: health.pulse("saga executor", PULSE_LIMIT),
            settings,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            done: Vec::new(),
            look_at: now,
            renew_at: now,
            count_at: now,
            skew: TimeDelta::zero(),
            pauses: Pauses::new(RETRY_FIRST, RETRY_MOST),
        }
    }

    /// Drives instances until `drain` is cancelled, then lets them come to rest.
    pub(super) async fn run(mut self, drain: CancellationToken) {
        while !drain.is_cancelled() {
            self.pulse.beat();
            match self.keep_up().await {
                Ok(()) => {
                    self.pauses.reset();
                    self.health.ready();
                }
                Err(error) => {
                    tracing::warn!(%error, "no saga can be driven: will retry");
                    self.health.not_ready(error.to_string());
                    if matches!(error, Trouble::Tables(_)) {
                        self.counts.unknown();
                        self.count_at = Instant::now();
                    }
                    let pause = self.pauses.next_pause();
                    self.look_at = Instant::now() + pause;
                    self.renew_at = self.renew_at.max(self.look_at);
                }
            }
            telemetry::driven(self.running.len());
            self.wait(&drain).await;
        }
        self.end().await;
    }

    /// Renews, gives back and claims what is due.
    async fn keep_up(&mut self) -> Result<(), Trouble> {
        let now = Instant::now();
        // A sweep that fails, because others hold locks, does not stop the work of this process.
        let mut swept = Ok(());
        if self.renew_at <= now {
            self.skew = self.registration.renew(&self.names, self.driver.clock.as_ref()).await?;
            self.handed.open(self.is_on_time());
            self.renew_at = now + self.registration.interval();
            swept = self.sweep().await;
        }
        self.give_back().await?;
        if !self.is_on_time() {
            // What is dropped is a stray, and becomes free for a process whose clock is right.
            while self.handed.now().is_some() {}
        } else if self.look_at <= now {
            self.claim().await?;
        }
        if self.count_at <= now {
            self.count_at = now + COUNT_EVERY;
            self.count().await?;
        }
        swept?;
        if self.is_on_time() { Ok(()) } else { Err(Trouble::Clock(self.skew)) }
    }

    fn is_on_time(&self) -> bool {
        self.skew.abs() <= MAX_SKEW
    }

    /// Frees the instances of processes that are gone, and those of this one that it does not know.
    async fn sweep(&mut self) -> sqlx::Result<()> {
        let freed = self.table.sweep().await?;
        if freed > 0 {
            tracing::info!(freed, "sagas of a process that is gone are free");
            self.look_at = Instant::now();
        }
        let done = self.done.iter().map(|done| done.id);
        let running = self.running.values().map(|claimed| claimed.id);
        let known: Vec<Uuid> = running.chain(done).chain(self.handed.waiting()).collect();
        let own = (&self.table, self.registration.driver);
        let freed = self.strays.free(own, &known).await?;
        if freed > 0 {
            tracing::warn!(freed, "sagas that this process owned and did not know are free");
            self.look_at = Instant::now();
        }
        Ok(())
    }

    async fn give_back(&mut self) -> sqlx::Result<()> {
        if self.done.is_empty() {
            return Ok(());
        }
        let now = self.driver.clock.now();
        self.table.release(self.registration.driver, &self.done, now).await?;
        let soonest = self.done.iter().filter_map(|done| done.due_at).min();
        if let Some(due) = soonest.map(|at| (at - now).to_std().unwrap_or_default()) {
            self.look_at = self.look_at.min(Instant::now() + due);
        }
        self.done.clear();
        Ok(())
    }

    fn room(&self) -> usize {
        let held = self.running.len() + self.done.len();
        self.settings.concurrency.saturating_sub(held)
    }

    async fn claim(&mut self) -> sqlx::Result<()> {
        let room = self.room();
        let now = self.driver.clock.now();
        self.look_at = Instant::now() + self.settings.poll;
        if room == 0 {
            return Ok(());
        }
        let driver = self.registration.driver;
        let claimed = self.table.claim(driver, now, &self.names, room).await?;
        if claimed.len() == room {
            self.look_at = Instant::now();
        }
        for claimed in claimed {
            self.start(claimed);
        }
        Ok(())
    }

    /// Waits for a task, an instance that begins, a time, or the end.
    async fn wait(&mut self, drain: &CancellationToken) {
        let has_room = self.room() > 0 && self.is_on_time();
        let mut until = self.renew_at;
        if has_room {
            until = until.min(self.look_at);
        }
        let woken = self.handed.woken();
        tokio::select! {
            biased;
            () = drain.cancelled() => {}
            ended = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                self.ended(ended);
                while let Some(ended) = self.tasks.try_join_next_with_id() {
                    self.ended(Some(ended));
                }
            }
            Some((id, begun)) = self.handed.next(), if has_room => {
                self.begin(id, begun);
                while self.room() > 0
                    && let Some((id, begun)) = self.handed.now()
                {
                    self.begin(id, begun);
                }
            }
            () = woken, if has_room => self.look_at = Instant::now(),
            () = sleep_until(until) => {}
        }
    }

    fn begin(&mut self, id: Uuid, begun: Begun) {
        let saga = begun.saga.clone();
        let (signals, begun) = (Vec::new(), Some(begun));
        self.start(Claimed { id, saga, begun, signals, news: 0, failures: 0 });
    }

    fn start(&mut self, claimed: Claimed) {
        let (driver, copy) = (self.driver.clone(), claimed.clone());
        let task = self.tasks.spawn(async move { drive(&driver, &copy).await });
        self.running.insert(task.id(), claimed);
    }

    fn ended(&mut self, ended: Option<Result<(Id, Done), JoinError>>) {
        match ended {
            Some(Ok((task, done))) => {
                self.running.remove(&task);
                self.done.push(done);
            }
            Some(Err(error)) => {
                if let Some(claimed) = self.running.remove(&error.id()) {
                    tracing::error!(saga = %claimed.id, %error, "driving the saga panicked");
                    let now = self.driver.clock.now();
                    self.done.push(judge::failed(&claimed, &DriveError::Panicked, now));
                }
            }
            None => {}
        }
    }

    async fn count(&mut self) -> sqlx::Result<()> {
        self.counts.found(&self.table.counts().await?);
        Ok(())
    }

    /// Lets the instances come to rest, and gives everything back.
    async fn end(mut self) {
        let limit = self.settings.drain;
        let rest = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.ended(Some(ended));
            }
        };
        if timeout(limit, rest).await.is_err() {
            // Nothing is lost: the next driver goes on from the stream.
            tracing::warn!("some sagas did not come to rest in time");
            self.tasks.abort_all();
        }
        let given_back = self.give_back().await;
        if let Err(error) = given_back.and(self.table.leave(self.registration.driver).await) {
            tracing::warn!(%error, "could not give the sagas back; others free them");
        }
        self.counts.unknown();
        self.pulse.rest();
    }
}

/// Drives one instance, and says what to write about it.
async fn drive(driver: &Driver, claimed: &Claimed) -> Done {
    let job = Job { start: claimed.begun.clone(), signals: claimed.signals.clone() };
    let mut lacks_definition = false;
    let driven = match driver.drive(claimed.id, &job).await {
        Err(DriveError::NoDefinition(saga, version))
            if claimed.failures >= judge::FOREIGN_LOOKS && version > 0 =>
        {
            lacks_definition = true;
            driver.park_foreign(claimed.id, &saga, version).await
        }
        other => other,
    };
    let now = driver.clock.now();
    match driven {
        Ok(rest) if lacks_definition => judge::lacking(claimed, rest, now),
        Ok(rest) => judge::rested(claimed, rest, now),
        Err(error) => {
            if matches!(error, DriveError::NoDefinition(..)) {
                tracing::debug!(saga = %claimed.id, %error, "left to other processes");
            } else {
                tracing::warn!(saga = %claimed.id, %error, "cannot be driven now: will retry");
            }
            judge::failed(claimed, &error, now)
        }
    }
}
