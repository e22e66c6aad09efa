//! Random histories against the reference (A8, T4). They cover expected versions, several streams,
//! conditions, reservations, idempotency keys, repeated appends and stolen event ids. They run in
//! batches of random sizes, through one store and through two at once. Then the log and random
//! reads are compared too. A diverging history is shrunk.

use std::collections::BTreeMap;

use event_store::postgres::append_batch;
use event_store::{
    Append, AppendOutcome, EventStore, Filter, MemoryStore, Position, PostgresStore, RecordedEvent,
    Refusal, StoreError, Version,
};
use local_servers::test_run;
use proptest::prelude::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use sqlx::PgConnection;
use tokio::sync::Mutex;

use self::plan::{Look, Names, Round, Way, history};
use self::settle::settle;
use crate::reference::{Logged, Outcome, Reference};
use crate::support::{check_dense, connect, database, plain};

mod plan;
mod settle;

/// The systems under test: two stores over one log, and the procedure.
struct Stage {
    stores: [PostgresStore; 2],
    procedure: Mutex<PgConnection>,
}

#[derive(Default, Debug)]
struct Figures {
    histories: u64,
    appends: u64,
    appended: u64,
    repeated: u64,
    refused: BTreeMap<&'static str, u64>,
    reads: u64,
}

#[test]
fn p1_p2_p3_p9_random_histories_do_not_diverge_from_the_reference() {
    let runtime = runtime();
    let database = runtime.block_on(database());
    let stage = runtime.block_on(async {
        Stage {
            stores: [connect(database.url()).await, connect(database.url()).await],
            procedure: Mutex::new(plain(database.url()).await),
        }
    });
    random_histories(|rounds, figures| runtime.block_on(play(&stage, rounds, figures)));
    runtime.block_on(check_dense(&stage.stores[0]));
}

#[test]
fn the_store_in_memory_does_not_diverge_from_the_reference() {
    let runtime = runtime();
    random_histories(|rounds, figures| runtime.block_on(play_in_memory(rounds, figures)));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Runs histories until enough appends were made; shrinks a diverging one.
fn random_histories(play: impl Fn(&[Round], &mut Figures) -> Result<(), String>) {
    let run = test_run();
    let wanted = run.count(3_000, 100_000);
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&run.seed.to_le_bytes());
    let config = Config { failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let figures = std::cell::RefCell::new(Figures::default());
    let began = std::time::Instant::now();
    while figures.borrow().appends < wanted {
        let tree = history().new_tree(&mut runner).unwrap();
        let played = runner.run_one(tree, |rounds| {
            let mut figures = figures.borrow_mut();
            figures.histories += 1;
            play(&rounds, &mut figures).map_err(TestCaseError::fail)
        });
        played.unwrap_or_else(|error| panic!("seed {}: {error}", run.seed));
    }
    let figures = figures.into_inner();
    eprintln!("{figures:?} in {:.1} s, no divergence", began.elapsed().as_secs_f64());
    let tried: Vec<_> = figures.refused.keys().copied().collect();
    assert_eq!(tried, REFUSALS, "every refusal needs a case");
}

async fn play(stage: &Stage, rounds: &[Round], figures: &mut Figures) -> Result<(), String> {
    let names = Names(figures.histories);
    let head = stage.stores[0].head().await.map_err(told)?;
    let base = head.mark.position;
    let mut model = Reference::new(head.epoch, (base.0, head.mark.event_id));
    let mut earlier = Vec::new();
    for (number, round) in rounds.iter().enumerate() {
        let fault = |why: String| format!("in round {number}: {why}");
        let appends = names.appends(&round.appends, &model, &mut earlier);
        let before = model.clone();
        let outcomes = stage.send(&round.way, &appends).await.map_err(fault)?;
        count(figures, &outcomes);
        match round.way {
            Way::Procedure(_) => in_order(&mut model, &appends, &outcomes).map_err(fault)?,
            Way::OneStore | Way::TwoStores(_) => {
                let answered: Vec<_> = appends.iter().zip(&outcomes).collect();
                settle(&mut model, &answered).map_err(fault)?;
            }
        }
        if matches!(round.way, Way::OneStore) {
            keeps_its_order(before, &appends, &outcomes).map_err(fault)?;
        }
        let log = stage.stores[0].read(&Filter::All, base, 10_000).await.map_err(told)?;
        same(&log, &model.read(&Filter::All, base, 10_000)).map_err(fault)?;
        for look in &round.looks {
            figures.reads += 1;
            compare(&stage.stores[number % 2], &names, &model, base, look).await.map_err(fault)?;
        }
    }
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn told(error: StoreError) -> String {
    format!("{error:?}")
}

fn count(figures: &mut Figures, outcomes: &[Outcome]) {
    for outcome in outcomes {
        figures.appends += 1;
        match outcome {
            Outcome::Appended(_) => figures.appended += 1,
            Outcome::Repeated(..) => figures.repeated += 1,
            Outcome::Refused(refusal) => *figures.refused.entry(kind(refusal)).or_default() += 1,
        }
    }
}

/// The refusals that a history can meet.
const REFUSALS: [&str; 7] =
    ["closed", "condition", "duplicate event", "epoch", "key reused", "reservation", "version"];

fn kind(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Reservation { .. } => "reservation",
        Refusal::Closed { .. } => "closed",
        Refusal::Condition { .. } => "condition",
        Refusal::DuplicateEvent { .. } => "duplicate event",
        Refusal::Epoch { .. } => "epoch",
        Refusal::KeyReused => "key reused",
        Refusal::Version { .. } => "version",
        Refusal::SubjectErased { .. } => panic!("no history has personal data"),
    }
}

/// Runs the appends one after the other on the in-memory store.
async fn play_in_memory(rounds: &[Round], figures: &mut Figures) -> Result<(), String> {
    let (names, store) = (Names(figures.histories), MemoryStore::new());
    let mut model = Reference::new(store.head().await.map_err(told)?.epoch, (0, None));
    let mut earlier = Vec::new();
    for round in rounds {
        let appends = names.appends(&round.appends, &model, &mut earlier);
        let mut outcomes = Vec::new();
        for append in &appends {
            outcomes.push(store.append(append.clone()).await.map_err(told)?.into());
        }
        count(figures, &outcomes);
        in_order(&mut model, &appends, &outcomes)?;
        for look in &round.looks {
            figures.reads += 1;
            compare(&store, &names, &model, Position::START, look).await?;
        }
    }
    same(
        &store.read(&Filter::All, Position::START, 10_000).await.map_err(told)?,
        &model.read(&Filter::All, Position::START, 10_000),
    )
}

impl Stage {
    async fn send(&self, way: &Way, appends: &[Append]) -> Result<Vec<Outcome>, String> {
        match way {
            Way::Procedure(sizes) => self.split(sizes, appends).await,
            Way::OneStore => self.at_once(0, appends).await,
            Way::TwoStores(which) => self.at_once(*which, appends).await,
        }
    }

    async fn at_once(&self, which: u32, appends: &[Append]) -> Result<Vec<Outcome>, String> {
        let store = |number: usize| &self.stores[usize::from(which & (1 << number) != 0)];
        let sent =
            appends.iter().enumerate().map(|(number, append)| store(number).append(append.clone()));
        let outcomes = futures::future::join_all(sent).await;
        outcomes.into_iter().map(|outcome| outcome.map(Outcome::from).map_err(told)).collect()
    }

    /// Sends batches of these sizes. A batch that is refused because its members affect each other
    /// is halved.
    async fn split(&self, sizes: &[usize], appends: &[Append]) -> Result<Vec<Outcome>, String> {
        let mut procedure = self.procedure.lock().await;
        let (mut rest, mut sizes) = (appends, sizes.iter().cycle());
        let mut outcomes = Vec::new();
        while let Some(size) = sizes.next().filter(|_| !rest.is_empty()) {
            let (batch, later) = rest.split_at(rest.len().min(*size));
            rest = later;
            let mut parts = vec![batch];
            while let Some(part) = parts.pop() {
                match append_batch(&mut procedure, part.to_vec()).await {
                    Ok(new) => outcomes
                        .extend(new.into_iter().map(|outcome: AppendOutcome| outcome.into())),
                    Err(error) if part.len() == 1 => {
                        return Err(format!("one append alone failed: {error:?}: {part:#?}"));
                    }
                    Err(_) => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                }
            }
        }
        Ok(outcomes)
    }
}

fn in_order(model: &mut Reference, appends: &[Append], outcomes: &[Outcome]) -> Result<(), String> {
    for (append, outcome) in appends.iter().zip(outcomes) {
        let ours = model.append(append);
        if ours != *outcome {
            return Err(format!(
                "the answer is {outcome:?}, the reference {ours:?}, to {append:#?}"
            ));
        }
    }
    Ok(())
}

/// Checks that one store keeps the order of appends that touch the same keys. Apart from positions,
/// the outcomes must be those of that order. Appends with conditions are exempt: conditions are
/// checked before the queue.
fn keeps_its_order(
    mut model: Reference,
    appends: &[Append],
    outcomes: &[Outcome],
) -> Result<(), String> {
    if appends.iter().any(|append| !append.conditions.is_empty()) {
        return Ok(());
    }
    for (append, outcome) in appends.iter().zip(outcomes) {
        let ours = model.append(append);
        if anywhere(&ours) != anywhere(outcome) {
            return Err(format!("out of turn: {outcome:?}, in order {ours:?}, to {append:#?}"));
        }
    }
    Ok(())
}

fn anywhere(outcome: &Outcome) -> Outcome {
    let mut outcome = outcome.clone();
    if let Outcome::Appended(done) | Outcome::Repeated(done, _) = &mut outcome {
        (done.last, done.last_id) = (0, None);
    }
    outcome
}

fn same(read: &[RecordedEvent], model: &[&Logged]) -> Result<(), String> {
    let equal =
        read.len() == model.len() && read.iter().zip(model).all(|(read, logged)| logged.is(read));
    if equal { Ok(()) } else { Err(format!("a read gave {read:#?}, the reference has {model:#?}")) }
}

async fn compare(
    store: &dyn EventStore,
    names: &Names,
    model: &Reference,
    base: Position,
    look: &Look,
) -> Result<(), String> {
    let page = |limit: usize| u32::try_from(limit).unwrap();
    match look {
        Look::Log(planned, back, limit) => {
            let filter = names.filter(planned);
            let after = Position((model.head().0 - back).max(base.0));
            let read = store.read(&filter, after, page(*limit)).await.map_err(told)?;
            same(&read, &model.read(&filter, after, *limit))
        }
        Look::Stream(stream, after, limit) => {
            let stream = names.stream(*stream);
            let read =
                store.read_stream(&stream, Version(*after), page(*limit)).await.map_err(told)?;
            let all = model.stream(&stream);
            same(
                &read,
                &all.into_iter()
                    .filter(|logged| logged.version > *after)
                    .take(*limit)
                    .collect::<Vec<_>>(),
            )
        }
        Look::Backward(stream, before, limit) => {
            let stream = names.stream(*stream);
            let from = (*before > 0).then_some(Version(*before));
            let read =
                store.read_stream_backward(&stream, from, page(*limit)).await.map_err(told)?;
            let all = model.stream(&stream).into_iter().rev();
            let below = all.filter(|logged| from.is_none_or(|from| logged.version < from.0));
            same(&read, &below.take(*limit).collect::<Vec<_>>())
        }
        Look::Key(key, request) => {
            let idempotency = names.key(*key, *request);
            let ours = model.repeated(&idempotency);
            let answer = store.repeated(&idempotency).await.map_err(told)?.map(Outcome::from);
            if answer == ours {
                Ok(())
            } else {
                Err(format!("{look:?}: {answer:?}, the reference {ours:?}"))
            }
        }
    }
}

/// Tests a property of the reference on which the others rely: what one of two plans for a stream
/// learns of the other.
#[test]
fn two_plans_of_one_stream_are_two_versions() {
    let epoch = event_store::Epoch(uuid::Uuid::nil());
    let mut model = Reference::new(epoch, (0, None));
    let exact = |version| {
        let expected = event_store::ExpectedVersion::Exact(Version(version));
        crate::support::append_to(
            crate::support::stream("a"),
            expected,
            vec![crate::support::event("thing.made")],
        )
    };
    assert!(matches!(model.append(&exact(0)), Outcome::Appended(done) if done.last == 1));
    assert!(matches!(
        model.append(&exact(0)),
        Outcome::Refused(event_store::Refusal::Version { actual: Version(1), .. })
    ));
    assert!(matches!(model.append(&exact(1)), Outcome::Appended(done) if done.last == 2));
}
