//! Any split of the same appends into batches has the outcomes of one by one (A8, T4): the procedure alone, and batcher and procedure
//! together, against the store in memory, which takes one append after the other.

use event_store::postgres::append_batch;
use event_store::{
    Append, AppendCondition, AppendOutcome, Epoch, EventStore, ExpectedVersion, Filter, MemoryStore, Position, RecordedEvent,
    Refusal, StreamAppend, Version,
};
use local_servers::test_run;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::{connect, database, key, one, plain, query, release, stream, tagged, take};

const TYPES: [&str; 2] = ["thing.made", "thing.used"];
const TAGS: [&str; 3] = ["a:1", "a:2", "b:1"];
const OWNERS: [&str; 2] = ["0", "1"];
/// Appends of one run.
const APPENDS: usize = 24;

fn some<'a>(random: &mut StdRng, words: &[&'a str]) -> Vec<&'a str> {
    words.iter().copied().filter(|_| random.random_bool(0.4)).collect()
}

fn random_append(random: &mut StdRng, conditions: bool, earlier: &[Append]) -> Append {
    if let Some(again) = earlier.get(random.random_range(0..APPENDS * 4)) {
        return again.clone();
    }
    let mut append = Append::default();
    let first = random.random_range(0..6);
    for name in first..6 {
        if name != first && random.random_bool(0.85) {
            continue;
        }
        let expected = match random.random_range(0..6) {
            0 => ExpectedVersion::NoStream,
            1 => ExpectedVersion::StreamExists,
            2 => ExpectedVersion::Exact(Version(random.random_range(0..4))),
            _ => ExpectedVersion::Any,
        };
        let events = (0..random.random_range(0..3)).map(|_| {
            let kind = TYPES[random.random_range(0..2)];
            tagged(kind, &some(random, &TAGS))
        });
        append.streams.push(StreamAppend { stream: stream(name), expected, events: events.collect() });
    }
    if conditions && random.random_bool(0.3) {
        for _ in 0..random.random_range(1..3) {
            let mut asked = some(random, &TAGS);
            asked.push(TAGS[random.random_range(0..3)]);
            let query = query(&some(random, &TYPES), &asked);
            append.conditions.push(AppendCondition { query, after: Position(random.random_range(0..30)) });
        }
    }
    if random.random_bool(0.3) {
        append.idempotency = Some(key(random.random_range(0..6), random.random_range(0..2), "\"kept\""));
    }
    let identified = append.idempotency.is_some() || append.streams.iter().any(|s| !s.events.is_empty());
    if identified && random.random_bool(0.4) {
        for value in 0..3 {
            let [old, new] = [(); 2].map(|()| OWNERS[random.random_range(0..2)]);
            match random.random_range(0..6) {
                0 | 1 => append.claims.push(take(value, new)),
                2 => append.claims.push(release(value, old)),
                3 => append.claims.extend([release(value, old), take(value, new)]),
                _ => {}
            }
        }
    }
    append
}

fn random_appends(random: &mut StdRng, conditions: bool) -> Vec<Append> {
    let mut appends: Vec<Append> = Vec::new();
    for _ in 0..APPENDS {
        let append = random_append(random, conditions, &appends);
        appends.push(append);
    }
    appends
}

/// An outcome without what differs between two logs: the epoch.
fn plainly(outcome: AppendOutcome) -> String {
    let anywhere = Epoch(Uuid::nil());
    match outcome {
        AppendOutcome::Appended(mut appended) => {
            appended.epoch = anywhere;
            format!("{appended:?}")
        }
        AppendOutcome::Repeated { mut appended, answer } => {
            appended.epoch = anywhere;
            format!("repeated {appended:?} {answer}")
        }
        AppendOutcome::Refused(Refusal::Epoch { .. }) => "another epoch".to_owned(),
        AppendOutcome::Refused(refusal) => format!("{refusal:?}"),
    }
}

async fn one_by_one(appends: &[Append]) -> (Vec<String>, Vec<RecordedEvent>) {
    let store = MemoryStore::new();
    let mut outcomes = Vec::new();
    for append in appends {
        outcomes.push(plainly(store.append(append.clone()).await.unwrap()));
    }
    (outcomes, store.read(&Filter::All, Position::START, 1_000).await.unwrap())
}

/// Sends a part as one batch, or its halves when the procedure refuses it for members that affect each other.
async fn send(connection: &mut PgConnection, part: &[Append]) -> Vec<String> {
    let mut outcomes = Vec::new();
    let mut parts = vec![part];
    while let Some(part) = parts.pop() {
        match append_batch(connection, part.to_vec()).await {
            Ok(new) => outcomes.extend(new.into_iter().map(plainly)),
            Err(error) if part.len() == 1 => panic!("one append alone was refused: {error:?} of {part:?}"),
            Err(_) => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
        }
    }
    outcomes
}

fn same_events(ours: &[RecordedEvent], model: &[RecordedEvent], seed: u64) {
    let facts = |events: &[RecordedEvent]| {
        let fact = |e: &RecordedEvent| (e.position, e.id, e.stream.clone(), e.version, e.tags.clone(), e.data.get().to_owned());
        events.iter().map(fact).collect::<Vec<_>>()
    };
    assert_eq!(facts(ours), facts(model), "seed {seed}");
}

#[tokio::test]
async fn the_procedure_alone_gives_every_split_the_outcomes_of_one_by_one() {
    let run = test_run();
    let database = database().await;
    let mut connection = plain(database.url()).await;
    for round in 0..run.count(40, 3_000) {
        let seed = run.seed.wrapping_add(round);
        let mut random = StdRng::seed_from_u64(seed);
        let appends = random_appends(&mut random, true);
        let (expected, model) = one_by_one(&appends).await;
        let truncate = "TRUNCATE event_store.events, event_store.tags, event_store.claims, event_store.idempotency";
        sqlx::raw_sql(truncate).execute(&mut connection).await.unwrap();
        let (mut rest, mut outcomes) = (appends.as_slice(), Vec::new());
        while !rest.is_empty() {
            let (part, later) = rest.split_at(random.random_range(1..=rest.len()));
            outcomes.extend(send(&mut connection, part).await);
            rest = later;
        }
        for (number, (ours, model)) in outcomes.iter().zip(&expected).enumerate() {
            assert_eq!(ours, model, "append {number} of seed {seed}: {:#?}", appends[number]);
        }
        let events = connect(database.url()).await.read(&Filter::All, Position::START, 1_000).await.unwrap();
        same_events(&events, &model, seed);
    }
}

/// Appends without conditions that are all queued at once, in order: those that touch the same things keep it.
#[tokio::test]
async fn batcher_and_procedure_together_give_the_outcomes_of_one_by_one() {
    let run = test_run();
    for round in 0..run.count(8, 500) {
        let seed = run.seed.wrapping_add(round);
        let mut random = StdRng::seed_from_u64(seed);
        let appends = random_appends(&mut random, false);
        let (expected, model) = one_by_one(&appends).await;
        let database = database().await;
        let store = connect(database.url()).await;
        // The first opens the connection; behind it the others gather.
        store.append(one("opening")).await.unwrap();
        let outcomes = futures::future::join_all(appends.iter().map(|append| store.append(append.clone()))).await;
        let ours = store.read(&Filter::All, Position(1), 1_000).await.unwrap();
        assert_eq!(ours.len(), model.len(), "seed {seed}");
        for stream in model.iter().map(|e| &e.stream) {
            let of = |events: &[RecordedEvent]| {
                events.iter().filter(|e| e.stream == *stream).map(|e| (e.version, e.id)).collect::<Vec<_>>()
            };
            assert_eq!(of(&ours), of(&model), "the events of {stream} for seed {seed}");
        }
        for ((ours, model), append) in outcomes.into_iter().map(Result::unwrap).zip(expected).zip(&appends) {
            assert_eq!(kind(&plainly(ours)), kind(&model), "seed {seed}: {append:?}");
        }
    }
}

/// An outcome without positions: appends that do not touch each other may stand in another order.
fn kind(outcome: &str) -> String {
    let without_mark = outcome.split_once("last: Mark").map_or(outcome, |(before, _)| before).to_owned();
    let versions = outcome.split_once("versions: ").map_or("", |(_, versions)| versions);
    format!("{without_mark}{versions}")
}
