//! `bench visible`: from sending a command to receiving the query's answer that shows it, on the idle running stack, beside plain
//! one-row INSERTs into tables of the events' shape on the same cluster.

use std::path::PathBuf;
use std::pin::Pin;

use anyhow::{Context, ensure};
use clap::Args;
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::append::reference::{Connections, Reference, Single};
use super::figure::{Figure, Target, table, write_json};
use super::round::{Round, Schedule, run as round};
use super::say;
use super::server::BenchDatabase;
use crate::{Client, Endpoints};

const BENCH: &str = "visible";
const CASE: &str = "register, then read with the token";
const PLAIN: &str = "one-row INSERT";
/// How many times a plain INSERT the way through the whole system may take.
const MOST: f64 = 15.0;

/// What `bench visible` takes.
#[derive(Debug, Args)]
pub struct VisibleBench {
    /// The folder of the running stack.
    #[arg(long, env = "STACK_DIR", default_value = ".stack", value_name = "FOLDER")]
    stack: PathBuf,
    #[command(flatten)]
    schedule: Schedule,
    /// Where to write the figures as JSON, too.
    #[arg(long)]
    json: Option<PathBuf>,
}

type Doing = Pin<Box<dyn Future<Output = anyhow::Result<u64>> + Send>>;
type Worker = Box<dyn FnMut() -> Doing + Send>;

/// Runs the bench. True when the target was reached.
///
/// # Errors
/// When the stack is not up, or shows something else than what was written.
pub async fn run(bench: VisibleBench) -> anyhow::Result<bool> {
    let endpoints = Endpoints::read(&bench.stack).context("this bench measures the running stack: `cargo stack up --detach`")?;
    let (client, log) = (endpoints.client()?, endpoints.log()?);
    let database = BenchDatabase::create(&endpoints.postgres).await?;
    event_store::postgres::migrate(database.url()).await?;
    let mut admin = database.connect().await?;
    sqlx::raw_sql(include_str!("append/reference_tables.sql")).execute(&mut admin).await?;
    say(&format!("{}\n", database.settings().await?));
    let before = log.count("user.registered").await?;
    let mut plain = Reference::new(&Connections::open(&database, 1).await?, 1, Single::Tagged);
    let mut workers = vec![visitor(&client)];

    let Schedule { round_seconds, warmup_seconds, rounds } = bench.schedule;
    let (mut visible, mut references, mut written) = (Vec::new(), Vec::new(), 0);
    for number in 0..=rounds {
        let seconds = if number == 0 { warmup_seconds } else { round_seconds };
        let (one, used) = round(seconds, workers).await?;
        workers = used;
        let reference = plain.round(seconds).await?;
        written += one.count;
        if number > 0 {
            visible.push(one);
            references.push(reference);
        }
    }
    let counted = log.count("user.registered").await? - before;
    ensure!(counted == i64::try_from(written)?, "{written} commands were answered, the log has {counted}");
    log.check_dense().await?;
    drop((plain, admin));
    database.drop().await?;

    let figures = figures(&visible, &references);
    say(&table(&figures));
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

/// Registers a user and reads it, with the token of the registration.
fn visitor(client: &Client) -> Worker {
    let client = client.clone();
    Box::new(move || {
        let client = client.clone();
        Box::pin(async move {
            let body = json!({"email": format!("visible-{}@example.com", Uuid::new_v4()), "name": "Visible"});
            let registered = client.post("/api/v1/users", &body).await?.expect(StatusCode::CREATED)?;
            let path = format!("/api/v1/users/{}", registered.id()?);
            let shown = client.get_after(&path, &registered).await?.expect(StatusCode::OK)?;
            ensure!(shown.data()["email"] == body["email"], "{body} was written, {} is shown", shown.data());
            Ok(1)
        })
    })
}

fn figures(visible: &[Round], references: &[Round]) -> Vec<Figure> {
    let values = |rounds: &[Round], of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
    let figure = |metric, unit, of: fn(&Round) -> f64, target| {
        Figure::new(BENCH, CASE, metric, unit, &values(visible, of)).beside(PLAIN, &values(references, of), target)
    };
    vec![
        figure("p50", "ms", |round| round.p50, Some(Target::AtMost(MOST))),
        figure("p99", "ms", |round| round.p99, None),
        figure("rate", "a second", |round| round.rate, None),
    ]
}
