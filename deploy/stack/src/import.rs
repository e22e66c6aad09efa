//! `import cdnow`: posts a purchase history through the command API, as a frontend would. Then it
//! compares the query API's answers with the file. It is safe to kill, to repeat and to run twice
//! at once, because each command's idempotency key is derived from its content.

mod client;
mod compare;
mod file;
mod plan;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::cli::ImportArgs;
use crate::endpoints::Endpoints;
use crate::layout::Layout;
use crate::output::answer;

pub use client::{Answer, Client};
pub use compare::{Difference, Totals};
pub use file::{History, Purchase};

/// The maximum number of differences printed. All of them are counted.
const SHOWN_DIFFERENCES: usize = 20;

/// The result of an import.
#[derive(Debug, serde::Serialize)]
pub struct Report {
    /// The imported file.
    pub file: PathBuf,
    /// The totals of the file.
    pub expected: Totals,
    /// The totals of the query API.
    pub found: Totals,
    /// The number of commands posted.
    pub commands: u64,
    /// The number of commands that an earlier or concurrent import had already done.
    pub replayed: u64,
    /// The number of retried requests.
    pub retries: u64,
    /// The duration of the import in seconds, without the comparison.
    pub seconds: f64,
    /// The differences between file and query API.
    pub differences: Vec<Difference>,
}

/// The sample file in the repository.
pub fn sample(layout: &Layout) -> PathBuf {
    layout.root.join("deploy/stack/data/cdnow-sample.txt")
}

/// Imports a file into the running stack, compares, and reports.
pub async fn run(layout: &Layout, args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let endpoints = Endpoints::read(layout)?;
    let path = args.file.clone().unwrap_or_else(|| sample(layout));
    let report = import(&endpoints, path, args).await?;
    if args.output.json {
        answer(serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&report)?;
    }
    Ok(if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Imports a file and compares it with the query API.
pub async fn import(
    endpoints: &Endpoints,
    path: PathBuf,
    args: &ImportArgs,
) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let history =
        History::parse(&text).with_context(|| format!("{} cannot be imported", path.display()))?;
    let client = Client::new(endpoints, Duration::from_secs(args.patience))?;
    let bar = progress_bar(history.purchases().count() as u64);
    let started = Instant::now();
    let product = client.post("/api/v1/products", "cdnow/product/cd", &plan::product()).await?;
    let work: Vec<_> = history
        .customers
        .iter()
        .map(|(name, purchases)| customer(&client, &bar, &product.id, name, purchases))
        .collect();
    futures::stream::iter(work)
        .buffer_unordered(usize::from(args.in_flight))
        .try_collect::<()>()
        .await?;
    let seconds = started.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let (found, differences) = compare::compare(&client, &history).await?;
    let (commands, replayed, retries) = client.counts();
    Ok(Report {
        file: path,
        expected: Totals::of_history(&history),
        found,
        commands,
        replayed,
        retries,
        seconds,
        differences,
    })
}

/// Imports one customer's history in order. Many customers are imported concurrently.
async fn customer(
    client: &Client,
    bar: &ProgressBar,
    product: &str,
    name: &str,
    purchases: &[Purchase],
) -> anyhow::Result<()> {
    let user = client.post("/api/v1/users", &plan::user_key(name), &plan::user(name)).await?;
    for purchase in purchases {
        let order = plan::order(purchase, &user.id, product)?;
        let order = client.post("/api/v1/orders/import", &purchase.key("place"), &order).await?;
        let confirm = format!("/api/v1/orders/{}/confirm", order.id);
        client.post(&confirm, &purchase.key("confirm"), &json!({})).await?;
        bar.inc(1);
    }
    Ok(())
}

fn progress_bar(length: u64) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    let template = "{bar:40} {pos}/{len} orders  {per_sec}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn print(report: &Report) -> std::io::Result<()> {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(["", "file", "query API"]);
    for (name, expected, found) in Totals::rows(&report.expected, &report.found) {
        table.add_row([name, expected, found]);
    }
    answer(table)?;
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = report.commands as f64 / report.seconds.max(f64::EPSILON);
    answer(format_args!(
        "{} commands in {:.1} s ({rate:.0} a second), {} already done, {} retries",
        report.commands, report.seconds, report.replayed, report.retries
    ))?;
    for difference in report.differences.iter().take(SHOWN_DIFFERENCES) {
        answer(difference)?;
    }
    if report.differences.is_empty() {
        answer("equal: every customer and all totals match to the cent")?;
    } else {
        answer(format_args!("{} differences", report.differences.len()))?;
    }
    Ok(())
}
