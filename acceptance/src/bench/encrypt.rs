//! `bench encrypt`: appends with two personal fields, compared with the same text in plain fields.
//! Both use the library's public API, in alternating rounds. The keys are in a separate database on
//! the same server, as in the local stack.
//!
//! There are two cases. Known subjects: their keys are cached, as for people who act again. New
//! subjects: each key is created and made durable before the subject's first event is sent, many
//! per statement.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use event_store::EncryptingStore;
use event_store::encryption::{LocalMasterKeys, Vault, VaultOptions};
use event_store::postgres::PostgresKeys;
use event_store::postgres::keys;
use event_store::{
    Append, AppendOutcome, EventStore, ExpectedVersion, Filter, Metadata, NewEvent, Position,
    PostgresOptions, PostgresStore, StreamAppend, StreamName,
};
use rand::Rng as _;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::figure::{Figure, Target, table, write_json};
use super::round::{Round, Schedule, run as round};
use super::say;
use super::server::BenchDatabase;

const BENCH: &str = "encrypt";
const PLAIN: &str = "the same text, unmarked";
/// The number of known subjects.
const KNOWN: usize = 10_000;
/// Base64 of 32 bytes. A benchmark has no secrets.
const MASTER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// The arguments of `bench encrypt`.
#[derive(Debug, Args)]
pub struct EncryptBench {
    /// The server on which to create the benchmark's databases. The role must be allowed to create
    /// databases.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    url: String,
    /// The numbers of concurrent writers.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1_024])]
    writers: Vec<usize>,
    #[command(flatten)]
    schedule: Schedule,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// The payload of an event.
#[derive(Serialize)]
struct Payload {
    id: Uuid,
    name: Field,
    email: Field,
    text: String,
}

/// One of the payload's two fields.
#[derive(Serialize)]
#[serde(untagged)]
enum Field {
    Plain(&'static str),
    Personal {
        #[serde(rename = "$subject")]
        subject: Uuid,
        #[serde(rename = "$personal")]
        value: &'static str,
    },
}

/// The kind of the two fields.
#[derive(Clone)]
enum Kind {
    Plain,
    /// Personal, of one of these subjects.
    Known(Arc<[Uuid]>),
    /// Personal, of a new subject.
    New,
}

/// Runs the benchmark. Returns true if every target was reached.
///
/// # Errors
/// The server fails, or appended events cannot be read back.
pub async fn run(bench: EncryptBench) -> anyhow::Result<bool> {
    let (log, keys_database) =
        (BenchDatabase::create(&bench.url).await?, BenchDatabase::create(&bench.url).await?);
    event_store::postgres::migrate(log.url()).await?;
    keys::migrate(keys_database.url()).await?;
    say(&format!("{}\n", log.settings().await?))?;
    let plain =
        PostgresStore::connect(PostgresOptions::from_url(log.url())?.application_name("bench"))
            .await?;
    let subject_keys = PostgresKeys::connect(keys_database.url(), "bench").await?;
    let master = LocalMasterKeys::parse(&MASTER_KEY.into())?;
    let vault = Vault::new(Arc::new(subject_keys), Arc::new(master), VaultOptions::default());
    let plain: Arc<dyn EventStore> = Arc::new(plain);
    let encrypted: Arc<dyn EventStore> = Arc::new(EncryptingStore::new(Arc::clone(&plain), vault));
    let known: Arc<[Uuid]> = (0..KNOWN).map(|_| Uuid::now_v7()).collect();
    let mut figures = Vec::new();
    for &writers in &bench.writers {
        let new = case(&bench.schedule, &plain, &encrypted, &known, writers).await?;
        say(&table(&new))?;
        figures.extend(new);
    }
    let last = encrypted.head().await?.mark.position;
    let read = encrypted.read(&Filter::All, Position(last.0 - 1), 1).await?;
    let value: Value = read.first().context("the last event")?.decode()?;
    ensure!(
        value["name"]["$personal"].is_string() || value["name"].is_string(),
        "encrypted fields can be read"
    );
    drop((plain, encrypted));
    log.drop().await?;
    keys_database.drop().await?;
    say(&format!("all cases\n{}", table(&figures)))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

async fn case(
    schedule: &Schedule,
    plain: &Arc<dyn EventStore>,
    encrypted: &Arc<dyn EventStore>,
    known: &Arc<[Uuid]>,
    writers: usize,
) -> anyhow::Result<Vec<Figure>> {
    ensure!(writers > 0, "a case has at least one writer");
    let kinds =
        [(plain, Kind::Plain), (encrypted, Kind::Known(Arc::clone(known))), (encrypted, Kind::New)];
    let mut rounds: [Vec<Round>; 3] = Default::default();
    for number in 0..=schedule.rounds {
        for ((store, kind), into) in kinds.iter().zip(&mut rounds) {
            let worker = |_| {
                let (store, kind) = (Arc::clone(store), kind.clone());
                move || append(Arc::clone(&store), kind.clone())
            };
            let seconds =
                if number == 0 { schedule.warmup_seconds } else { schedule.round_seconds };
            let (done, _) = round(seconds, (0..writers).map(worker).collect()).await?;
            if number > 0 {
                into.push(done);
            }
        }
    }
    let [plain, known, new] = rounds;
    let values =
        |rounds: &[Round], of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
    let figure = |what: &str, metric, unit, rounds: &[Round], of: fn(&Round) -> f64, target| {
        let case = format!("writers={writers} {what}");
        Figure::new(BENCH, &case, metric, unit, &values(rounds, of)).against(
            PLAIN,
            &values(&plain, of),
            target,
        )
    };
    let at_most_a_quarter = (writers == 64).then_some(Target::AtLeast(0.75));
    Ok(vec![
        figure("known subjects", "rate", "appends/s", &known, |r| r.rate, at_most_a_quarter),
        figure("known subjects", "p50", "ms", &known, |r| r.p50, None),
        figure("new subjects", "rate", "appends/s", &new, |r| r.rate, None),
        figure("new subjects", "p50", "ms", &new, |r| r.p50, None),
    ])
}

async fn append(store: Arc<dyn EventStore>, kind: Kind) -> anyhow::Result<u64> {
    let id = Uuid::now_v7();
    let subject = match kind {
        Kind::Plain => None,
        Kind::Known(subjects) => {
            Some(*subjects.get(rand::rng().random_range(0..subjects.len())).context("a subject")?)
        }
        Kind::New => Some(id),
    };
    let field = |value| match subject {
        None => Field::Plain(value),
        Some(subject) => Field::Personal { subject, value },
    };
    let (name, email) = (
        field("Ada Augusta King, Countess of Lovelace"),
        field("ada.lovelace@analytical-engine.example"),
    );
    let metadata = Metadata::new(id);
    let data = Payload { id, name, email, text: "x".repeat(80) };
    let event = NewEvent { id, ..NewEvent::json("bench.appended".parse()?, 1, &data, metadata)? };
    let stream = StreamName::new("bench", id)?;
    let streams =
        vec![StreamAppend { stream, expected: ExpectedVersion::NoStream, events: vec![event] }];
    match store.append(Append { streams, ..Append::default() }).await.context("an append failed")? {
        AppendOutcome::Appended(appended) => Ok(appended.count.into()),
        outcome => bail!("an append to a new stream was not appended: {outcome:?}"),
    }
}
