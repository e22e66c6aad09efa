//! `bench sagas`: order fulfilment, compared with the same commands sent by clients.
//!
//! Two systems run side by side on the same durable server, and rounds of both alternate.
//!
//! - In one, clients place and confirm orders, and record their payment and shipment.
//! - In the other, clients only place and confirm them. The process manager does the rest, and also
//!   reserves the stock and calls the sandbox, which answers at once. A limited number of sagas is
//!   under way, so the rate is what the system sustains.
//!
//! Then come single sagas on the idle system, and other commands beside sagas. With `--faults`, it
//! measures sagas whose gateway misbehaves instead ([`faults`]).
//!
//! The appends and times of sagas are those of the log. All processes, the database, the broker and
//! the clients share the machine.

use std::path::PathBuf;

use clap::Args;

use super::figure::{Figure, Target, table, write_json};
use super::round::{Round, Schedule, run as round, values};
use super::{say, visible};

mod beside;
mod counter;
mod customers;
mod faults;
mod gateway;
mod record;
mod shop;

use counter::Counter;
use shop::{Fulfilled, Shop};

const BENCH: &str = "sagas";
/// The minimum ratio between the rate of sagas and that of the same commands.
const LEAST_RATE: f64 = 0.3;
/// The maximum number of appends per step of a saga.
const MOST_APPENDS: f64 = 1.0;
/// The maximum ratio between the time of a saga and that from a command to its row.
const MOST_TIME: f64 = 10.0;

/// The arguments of `bench sagas`.
#[derive(Debug, Args)]
pub struct SagasBench {
    /// The server on which to create the benchmark's databases. The role must be allowed to create
    /// databases.
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true)]
    url: String,
    /// The number of connections of clients.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=512))]
    connections: u16,
    /// The maximum number of sagas under way.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..))]
    under_way: u16,
    /// The number of products, and of users.
    #[arg(long, default_value_t = 2_048, value_parser = clap::value_parser!(u16).range(2..))]
    goods: u16,
    /// Measure sagas whose gateway misbehaves instead.
    #[arg(long)]
    faults: bool,
    /// The number of sagas with `--faults`.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    sagas: u32,
    /// How long the gateway holds a request without an answer with `--faults`, in milliseconds. The
    /// process manager waits for at most 10 s.
    #[arg(long, default_value_t = 12_000)]
    hang_ms: u32,
    #[command(flatten)]
    schedule: Schedule,
    /// A file to which the results are also written as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// Runs the benchmark. Returns true if the targets were reached.
///
/// # Errors
/// A server or process fails, a saga does not end, or something happens twice.
pub async fn run(bench: SagasBench) -> anyhow::Result<bool> {
    let figures = if bench.faults { faults::measure(&bench).await? } else { plain(&bench).await? };
    say(&table(&figures))?;
    if let Some(path) = &bench.json {
        write_json(path, &figures)?;
    }
    Ok(figures.iter().all(|figure| figure.reached != Some(false)))
}

/// Measures sagas whose gateway answers at once.
async fn plain(bench: &SagasBench) -> anyhow::Result<Vec<Figure>> {
    let counter = Counter::open(bench).await?;
    let shop = Shop::open(bench).await?;
    say(&format!("{}\n", shop.settings().await?))?;
    let mut figures = rates(bench, &counter, &shop).await?;
    let sustained = figures.first().map_or(f64::NAN, |rate| rate.value);
    counter.close().await?;
    figures.extend(alone(&bench.schedule, &shop).await?);
    figures.extend(beside::measure(&bench.schedule, &shop, sustained).await?);
    let memory = shop.peak_memory_mib()?;
    figures.push(Figure::new(BENCH, "process manager", "peak memory", "MiB", &[memory]));
    shop.close().await?;
    Ok(figures)
}

/// Alternates rounds of sagas and of the same commands. The first figure is the rate of sagas.
async fn rates(bench: &SagasBench, counter: &Counter, shop: &Shop) -> anyhow::Result<Vec<Figure>> {
    let (mut sagas, mut orders): (Vec<Fulfilled>, Vec<Round>) = Default::default();
    for number in 0..=bench.schedule.rounds {
        let Schedule { round_seconds, warmup_seconds, .. } = bench.schedule;
        let seconds = if number == 0 { warmup_seconds } else { round_seconds };
        let direct = counter.round(bench.connections.into(), seconds).await?;
        let fulfilled = shop.fulfilled(seconds).await?;
        if number > 0 {
            orders.push(direct);
            sagas.push(fulfilled);
        }
    }
    let case = format!("connections={}", bench.connections);
    let of = |metric, unit, value: fn(&Fulfilled) -> f64| {
        let values: Vec<f64> = sagas.iter().map(value).collect();
        Figure::new(BENCH, &case, metric, unit, &values)
    };
    let direct = values(&orders, |round| round.rate);
    let target = Some(Target::AtLeast(LEAST_RATE));
    Ok(vec![
        of("rate", "sagas/s", |it| it.rate).against("the same commands", &direct, target),
        of("appends a saga", "appends", |it| it.found.appends_of_a_saga()),
        of("appends a step", "appends", |it| it.found.appends_of_a_step()).within(MOST_APPENDS),
        of("failed attempts a saga", "attempts", |it| it.found.failed_of_a_saga()),
    ])
}

/// Measures single sagas on the idle system, from the confirmation to the end in the log, and the
/// time from a command to a query that shows it.
async fn alone(schedule: &Schedule, shop: &Shop) -> anyhow::Result<[Figure; 2]> {
    let client = shop.client()?;
    let mut workers = vec![move || visible::add_product(client.clone())];
    let (mut sagas, mut commands) = (Vec::new(), Vec::new());
    for number in 0..=schedule.rounds {
        let seconds = if number == 0 { schedule.warmup_seconds } else { schedule.round_seconds };
        let times = shop.one_at_a_time(seconds).await?;
        let (command, used) = round(seconds, workers).await?;
        workers = used;
        if number > 0 {
            sagas.push(times);
            commands.push(command);
        }
    }
    let figure = |metric, hundredths, of: fn(&Round) -> f64, target| {
        let times: Vec<f64> = sagas.iter().map(|times| times.percentile(hundredths)).collect();
        let figure = Figure::new(BENCH, "one at a time", metric, "ms", &times);
        figure.against("command to visible", &values(&commands, of), target)
    };
    Ok([
        figure("p50", 50, |round| round.p50, Some(Target::AtMost(MOST_TIME))),
        figure("p99", 99, |round| round.p99, None),
    ])
}
