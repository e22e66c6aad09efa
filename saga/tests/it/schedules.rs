//! Random schedules in memory: the process dies at any point, answers come late, twice or never,
//! two owners drive at once, people cancel. Whatever happens, the saga ends completed or
//! compensated, and each effect took place once.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use event_store::test_kit::Interfering;
use event_store::{
    Append, AppendOutcome, EventStore, Filter, MemoryStore, Metadata, Position, RecordedEvent,
    Registry, StoreError, StreamName, UpcastingLog, Version,
};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use saga::driver::{Driver, Job, Rest};
use saga::instance::Status;
use saga::sagas::Begun;
use saga::{Sagas, Signal, Start, id};
use serde_json::json;
use service_kit::clock::{Clock as _, FixedClock};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::toy::{self, Gateway, Mood, Points, Toy};

const KEY: &str = "17";
/// The maximum number of rounds until a saga ends once everything is well.
const MOST_ROUNDS: usize = 60;

/// Stops a process at one of its points. Each point also lets others run.
#[derive(Default)]
struct Fuse {
    left: AtomicI64,
    blown: Notify,
    order: Mutex<Option<StdRng>>,
}

impl Fuse {
    fn set(&self, points: Option<i64>) {
        self.left.store(points.unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    async fn point(&self) {
        let turns = self
            .order
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
            .map_or(0, |rng| rng.random_range(0..4));
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        if self.left.fetch_sub(1, Ordering::Relaxed) <= 0 {
            self.blown.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Points for Fuse {
    async fn pass(&self, _: &'static str) {
        self.point().await;
    }
}

/// A store whose process may die before and after each append.
struct Mortal {
    inner: MemoryStore,
    fuse: Arc<Fuse>,
}

#[async_trait]
impl Interfering for Mortal {
    fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    async fn on_append(&self, append: Append) -> Result<AppendOutcome, StoreError> {
        self.fuse.point().await;
        let outcome = self.inner.append(append).await;
        self.fuse.point().await;
        outcome
    }

    async fn on_read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.fuse.point().await;
        self.inner.read_stream(stream, after, limit).await
    }
}

/// One saga and everything around it.
struct World {
    rng: StdRng,
    store: MemoryStore,
    fuse: Arc<Fuse>,
    driver: Driver,
    gateway: Gateway,
    clock: Arc<FixedClock>,
    well: Arc<std::sync::atomic::AtomicBool>,
    instance: Uuid,
    job: Job,
    position: i64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = MemoryStore::new();
        let fuse = Arc::new(Fuse::default());
        *fuse.order.lock().unwrap() = Some(StdRng::seed_from_u64(rng.random()));
        let mortal: Arc<dyn EventStore> =
            Arc::new(Mortal { inner: store.clone(), fuse: Arc::clone(&fuse) });
        let gateway = Gateway::default();
        let well = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (moods, is_well) = (Mutex::new(StdRng::seed_from_u64(rng.random())), Arc::clone(&well));
        let toy = Toy {
            store: Arc::clone(&mortal),
            gateway: gateway.clone(),
            moods: Arc::new(move |_, _| {
                if is_well.load(Ordering::Relaxed) {
                    return Mood::Well;
                }
                match moods.lock().unwrap().random_range(0..8) {
                    0..3 => Mood::Well,
                    3 => Mood::Fails,
                    4 => Mood::LosesAnswer,
                    5 => Mood::Rejects,
                    _ => Mood::Later,
                }
            }),
            points: Arc::clone(&fuse) as Arc<dyn Points>,
            shelves: 1,
        };
        let sagas =
            Sagas::new([toy::saga(toy::NAME, vec![toy::first_version(toy::SHORT)], toy)]).unwrap();
        let clock = FixedClock::at(DateTime::UNIX_EPOCH);
        let registry = Arc::new(Registry::new(saga::event::shapes(), []).unwrap());
        let log = UpcastingLog::new(mortal, registry);
        let start = Start { key: KEY.into(), data: json!({}) };
        let origin = Metadata::new(Uuid::nil());
        let begun = Begun { saga: toy::NAME.into(), start, origin };
        Self {
            rng,
            store,
            fuse,
            driver: Driver::new(log, sagas, clock.clone()),
            gateway,
            clock,
            well,
            instance: id::of_instance(toy::NAME, KEY),
            job: Job { start: Some(begun), signals: Vec::new() },
            position: 0,
        }
    }

    fn signal(&mut self, signal: Signal) {
        self.position += 1;
        self.job.signals.push((self.position, signal));
    }

    /// Outside, somebody cancels, the gateway answers late, or nothing happens. Time passes.
    fn outside(&mut self) {
        match self.rng.random_range(0..12) {
            0 => self.signal(Signal::Cancel { reason: "not wanted".into() }),
            1..5 => self.late_answer(),
            _ => {}
        }
        let passes = Duration::from_millis(self.rng.random_range(0..3_000));
        self.clock.set(self.clock.now() + passes);
    }

    /// The gateway does what it accepted, and says so once or twice.
    fn late_answer(&mut self) {
        if self.gateway.does_later(KEY) {
            self.signal(toy::answer(true));
            if self.rng.random_bool(0.4) {
                self.signal(toy::answer(true));
            }
        }
    }

    /// Drives the saga as one or two owners, each of which may die at any point.
    async fn round(&mut self) -> Option<Rest> {
        let points = self.rng.random_bool(0.6).then(|| self.rng.random_range(0..14));
        self.fuse.set(points);
        let two = self.rng.random_bool(0.4);
        let (driver, instance, job) = (&self.driver, self.instance, &self.job);
        let one = || driver.drive(instance, job);
        let drives = async {
            if two {
                let (a, b) = tokio::join!(one(), one());
                a.or(b)
            } else {
                one().await
            }
        };
        tokio::select! {
            biased;
            () = self.fuse.blown.notified() => None,
            // Two owners may keep each other from it.
            rest = drives => rest.ok(),
        }
    }

    /// Runs to the end with everything well.
    async fn run_to_end(&mut self) -> Rest {
        self.well.store(true, Ordering::Relaxed);
        for _ in 0..MOST_ROUNDS {
            self.late_answer();
            self.fuse.set(None);
            let rest = self.driver.drive(self.instance, &self.job).await.unwrap();
            match rest.status {
                Status::Parked => self.resume().await,
                status if status.is_end() && !self.gateway.has_accepted(KEY) => return rest,
                _ => {}
            }
            if let Some(due) = rest.due_at {
                self.clock.set(due.max(self.clock.now()));
            }
        }
        panic!("it does not end: {:#?}", self.timeline().await);
    }

    async fn resume(&self) {
        use saga::event::{Resumed, SagaEvent};
        let version = self.events().await.len();
        let event = SagaEvent::Resumed(Resumed { by: "somebody".into() });
        let metadata = Metadata::new(Uuid::nil());
        let name = "saga.resumed".parse().unwrap();
        let event = event_store::NewEvent::json(name, 1, &event, metadata).unwrap();
        let version = Version(i64::try_from(version).unwrap());
        let stream = id::stream(self.instance);
        let exact = event_store::ExpectedVersion::Exact(version);
        let append = event_store::test_kit::append_to(stream, exact, vec![event]);
        let _ = event_store::test_kit::appended(self.store.append(append).await.unwrap());
    }

    async fn events(&self) -> Vec<RecordedEvent> {
        self.store.read_stream(&id::stream(self.instance), Version::NONE, 10_000).await.unwrap()
    }

    async fn timeline(&self) -> Vec<String> {
        let events = self.events().await;
        let read = |event: &RecordedEvent| saga::event::read(event).unwrap().unwrap().to_string();
        events.iter().map(read).collect()
    }

    /// How many events of this type the shelf has.
    async fn on_shelf(&self, what: &str) -> usize {
        let types = Filter::Types(vec![what.parse().unwrap()]);
        self.store.read(&types, Position::START, 10_000).await.unwrap().len()
    }

    async fn check(&self, rest: &Rest) {
        let timeline = self.timeline().await.join("\n");
        let effect = self.gateway.effect(KEY);
        assert!(effect.made <= 1, "{effect:?}\n{timeline}");
        assert!(self.gateway.keys(KEY) <= 1, "another idempotency key\n{timeline}");
        let rounds = toy::rounds(&self.events().await) as usize;
        assert!(self.gateway.undo_keys(KEY) <= 1 + rounds, "refunded twice\n{timeline}");
        let completed = rest.status == Status::Completed;
        assert_eq!(effect.made - effect.undone, u32::from(completed), "{effect:?}\n{timeline}");
        let (taken, back) =
            (self.on_shelf("shelf.taken").await, self.on_shelf("shelf.given_back").await);
        assert!(taken <= 1 && back <= 1, "{taken} {back}\n{timeline}");
        assert_eq!(taken - back, usize::from(completed), "{taken} {back}\n{timeline}");
        let noted = self.on_shelf("shelf.noted").await;
        assert_eq!(noted, usize::from(completed), "{timeline}");
    }
}

async fn run(seed: u64) -> Status {
    let mut world = World::new(seed);
    let rounds = world.rng.random_range(1..25);
    for _ in 0..rounds {
        world.outside();
        let rest = world.round().await;
        if rest.is_some_and(|rest| rest.status.is_end()) {
            break;
        }
    }
    let rest = world.run_to_end().await;
    world.check(&rest).await;
    // What comes again after the end changes no effect.
    if world.gateway.effect(KEY).made == 1 {
        world.signal(toy::answer(true));
    }
    world.signal(Signal::Cancel { reason: "too late".into() });
    let again = world.run_to_end().await;
    assert_eq!(again.status, rest.status);
    world.check(&again).await;
    rest.status
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn every_saga_ends_and_each_effect_takes_place_once(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(seed));
    }
}

#[tokio::test]
async fn the_schedules_reach_both_ends() {
    let mut ends = [0, 0];
    for seed in 0..200 {
        match run(seed).await {
            Status::Completed => ends[0] += 1,
            Status::Compensated => ends[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(ends.iter().all(|count| *count > 20), "{ends:?}");
}
