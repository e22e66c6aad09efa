//! `bench visible`: the time from sending a command to receiving a query's answer that shows it. It
//! runs on the idle stack, and compares with plain one-row INSERTs into tables like the events' on
//! the same cluster.

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
/// A command with one plain event, and one with personal fields that are encrypted with a new key
/// and with a reserved email address.
const CASES: [Case; 2] = [
    Case {
        name: "add a product, then read with the token",
        event: "product.added",
        visit: add_product,
    },
    Case {
        name: "register a user, then read with the token",
        event: "user.registered",
        visit: register,
    },
];
const PLAIN: &str = "one-row INSERT";
/// The maximum ratio between the whole way through the system and a plain INSERT.
const MOST: f64 = 15.0;

/// The arguments of `bench visible`.
#[derive(Debug, Args)]
pub struct VisibleBench {
    /// The folder of the running stack.
    #[arg(long, env = "STACK_DIR", default_value = ".stack", value_name = "FOLDER")]
    stack: PathBuf,
    #[command(flatten)]
    schedule: Schedule,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A repeated piece of work.
struct Case {
    name: &'static str,
    /// The type of the one event that it appends.
    event: &'static str,
    visit: fn(Client) -> Doing,
}

type Doing = Pin<Box<dyn Future<Output = anyhow::Result<u64>> + Send>>;
type Worker = Box<dyn FnMut() -> Doing + Send>;

/// Runs the benchmark. Returns true if the target was reached.
///
/// # Errors
/// The stack is not running, or an answer does not show the written data.
pub async fn run(bench: VisibleBench) -> anyhow::Result<bool> {
    let endpoints = Endpoints::read(&bench.stack)
        .context("this bench measures the running stack: `cargo stack up --detach`")?;
    let (client, log) = (endpoints.client()?, endpoints.log()?);
    let database = BenchDatabase::create(&endpoints.postgres).await?;
    event_store::postgres::migrate(database.url()).await?;
    let mut admin = database.connect().await?;
    sqlx::raw_sql(include_str!("append/reference_tables.sql")).execute(&mut admin).await?;
    say(&format!("{}\n", database.settings().await?))?;
    let mut plain = Reference::new(&Connections::open(&database, 1).await?, 1, Single::Tagged);
    let mut figures = Vec::new();
    for case in &CASES {
        let before = log.count(case.event).await?;
        let (visible, references) = measure(case, &client, &mut plain, &bench.schedule).await?;
        let (counted, written) = (log.count(case.event).await? - before, visible.written);
        ensure!(
            counted == i64::try_from(written)?,
            "{written} commands were answered, the log has {counted}"
        );
        figures.extend(self::figures(case.name, &visible.rounds, &references));
    }
    log.check_dense().await?;
    drop((plain, admin));
    database.drop().await?;

    say(&table(&figures))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

struct Visible {
    rounds: Vec<Round>,
    /// The number of answered commands, including those of the warm-up.
    written: u64,
}

/// Alternates rounds of a case with rounds of plain INSERTs.
async fn measure(
    case: &Case,
    client: &Client,
    plain: &mut Reference,
    schedule: &Schedule,
) -> anyhow::Result<(Visible, Vec<Round>)> {
    let (visit, client) = (case.visit, client.clone());
    let mut workers: Vec<Worker> = vec![Box::new(move || visit(client.clone()))];
    let (mut visible, mut references) = (Visible { rounds: Vec::new(), written: 0 }, Vec::new());
    for number in 0..=schedule.rounds {
        let seconds = if number == 0 { schedule.warmup_seconds } else { schedule.round_seconds };
        let (one, used) = round(seconds, workers).await?;
        workers = used;
        let reference = plain.round(seconds).await?;
        visible.written += one.count;
        if number > 0 {
            visible.rounds.push(one);
            references.push(reference);
        }
    }
    Ok((visible, references))
}

/// Adds a product, then reads it with the command's token.
pub(super) fn add_product(client: Client) -> Doing {
    Box::pin(async move {
        let body = json!({"name": "Visible", "unit_price": "9.99", "currency": "EUR", "stock": 1});
        let added = client.post("/api/v1/products", &body).await?.expect(StatusCode::CREATED)?;
        let path = format!("/api/v1/products/{}", added.id()?);
        let shown = client.get_after(&path, &added).await?.expect(StatusCode::OK)?;
        ensure!(
            shown.data()["name"] == body["name"],
            "{body} was written, {} is shown",
            shown.data()
        );
        Ok(1)
    })
}

/// Registers a user, then reads it with the registration's token.
fn register(client: Client) -> Doing {
    Box::pin(async move {
        let body =
            json!({"email": format!("visible-{}@example.com", Uuid::new_v4()), "name": "Visible"});
        let registered = client.post("/api/v1/users", &body).await?.expect(StatusCode::CREATED)?;
        let path = format!("/api/v1/users/{}", registered.id()?);
        let shown = client.get_after(&path, &registered).await?.expect(StatusCode::OK)?;
        ensure!(
            shown.data()["email"] == body["email"],
            "{body} was written, {} is shown",
            shown.data()
        );
        Ok(1)
    })
}

fn figures(case: &str, visible: &[Round], references: &[Round]) -> Vec<Figure> {
    let values =
        |rounds: &[Round], of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
    let figure = |metric, unit, of: fn(&Round) -> f64, target| {
        Figure::new(BENCH, case, metric, unit, &values(visible, of)).against(
            PLAIN,
            &values(references, of),
            target,
        )
    };
    vec![
        figure("p50", "ms", |round| round.p50, Some(Target::AtMost(MOST))),
        figure("p99", "ms", |round| round.p99, None),
        figure("rate", "a second", |round| round.rate, None),
    ]
}
