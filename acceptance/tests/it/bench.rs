//! Benches in short rounds. What they measure here means nothing, but they must measure, and what
//! they check along the way must hold: with `--long`, at the counts that the targets are for.

use std::time::Duration;

use local_servers::{ClusterOptions, PostgresCluster, finish_async, test_run};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(110);
const LONG_LIMIT: Duration = Duration::from_mins(15);
/// The most queries a second that all who wait may cost, next to their answers. In a short run,
/// those of the start count for more.
const QUERIES: f64 = 50.0;
const LONG_QUERIES: f64 = 25.0;
/// The targets of `--long` with slack: this build is not optimised, and neither is the load. That
/// of the memory, 20 KiB, is missed: an optimised build takes 35.
const LONG_DELAY_MS: f64 = 1_000.0;
const LONG_CLIENT_KIB: f64 = 45.0;
const LONG_WAKE_UP_MS: f64 = 100.0;

/// What a bench measured.
struct Figures(Vec<Value>);

impl Figures {
    /// The figure of a metric.
    fn of(&self, metric: &str) -> f64 {
        let figure = self.0.iter().find(|figure| figure["metric"] == metric);
        let figure = figure.unwrap_or_else(|| panic!("no {metric} among {:#?}", self.0));
        figure["value"].as_f64().unwrap_or_else(|| panic!("{figure}"))
    }
}

/// Runs a bench of this build. It may miss its targets, because this build is slow.
async fn bench(arguments: &[&str]) -> Figures {
    let settings = vec![("track_activity_query_size".to_owned(), "16384".to_owned())];
    let options = ClusterOptions { settings, ..ClusterOptions::default() };
    let cluster = PostgresCluster::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("figures.json");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(arguments).arg("--json").arg(&file);
    command.env("EVENT_STORE_URL", cluster.url());
    let limit = if test_run().long { LONG_LIMIT } else { LIMIT };
    let output = finish_async(&mut command, limit).await.unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    eprintln!("{}", String::from_utf8_lossy(&output.stdout));
    let code = output.status.code().map(i64::from);
    assert!(code == Some(0) || code == Some(cli_kit::NOT_IN_ORDER.into()), "{code:?}: {shown}");
    Figures(serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap())
}

#[tokio::test]
async fn the_bench_of_queries_measures_each_case_and_its_references() {
    let short = ["--rounds", "1", "--round-seconds", "0.2", "--warmup-seconds", "0.1"];
    let figures =
        bench(&[&["queries", "--rows", "2000", "--connections", "4"], &short[..]].concat()).await;
    for (case, reference) in [
        ("row", "plain"),
        ("row", "same statement"),
        ("page", "plain"),
        ("page", "same statement"),
        ("filtered page, deep", "the first page"),
        ("graphql", "plain"),
    ] {
        let rates = figures.0.iter().find(|figure| {
            figure["case"] == case && figure["reference"] == reference && figure["metric"] == "rate"
        });
        let rates = rates.unwrap_or_else(|| panic!("no rate of {case} next to {reference}"));
        for value in [&rates["value"], &rates["reference_value"]] {
            assert!(value.as_f64().unwrap() > 0.0, "{rates}");
        }
    }
}

/// The bench fails if a client misses a change, or gets one twice, late or out of order.
#[tokio::test]
async fn clients_of_live_updates_get_every_change_of_what_they_follow_once_and_in_order() {
    let clients = test_run().count(300, 10_000).to_string();
    let more: &[&str] = if test_run().long {
        &["--everything", "20", "--rate", "1000", "--rounds", "3"]
    } else {
        &["--everything", "4", "--rate", "200", "--rounds", "2"]
    };
    let figures = bench(&[&["live", "--clients", &clients], more].concat()).await;
    assert!(figures.of("deliveries") > 0.0);
    if test_run().long {
        let (delay, memory) =
            (figures.of("p99 of the delay"), figures.of("memory, after all events"));
        assert!(delay <= LONG_DELAY_MS && memory <= LONG_CLIENT_KIB, "{delay} ms, {memory} KiB");
    }
}

/// The bench fails if an answer does not show the position that it waited for.
#[tokio::test]
async fn queries_that_wait_are_answered_when_their_positions_come_and_cost_little_meanwhile() {
    let clients = test_run().count(300, 10_000).to_string();
    let more: &[&str] = if test_run().long {
        &["--rate", "1000", "--seconds", "30", "--lead-seconds", "9"]
    } else {
        &["--rate", "200", "--seconds", "4", "--lead-seconds", "3"]
    };
    let figures = bench(&[&["waiting", "--clients", &clients], more].concat()).await;
    assert!(figures.of("answers") > 0.0);
    let queries = figures.of("queries next to answers");
    let most = if test_run().long { LONG_QUERIES } else { QUERIES };
    assert!(queries <= most, "{queries} a second");
    if test_run().long {
        let wake_up = figures.of("p99 of the wake-up, at most");
        assert!(wake_up <= LONG_WAKE_UP_MS, "{wake_up} ms");
    }
}

/// The bench fails if a saga does not end, or if the log has something twice.
#[tokio::test]
async fn sagas_are_measured_next_to_the_same_commands_and_append_at_most_once_a_step() {
    let short = ["--rounds", "1", "--round-seconds", "1", "--warmup-seconds", "0.2"];
    let small = ["sagas", "--goods", "200", "--connections", "4", "--under-way", "16"];
    let figures = bench(&[&small[..], &short[..]].concat()).await;
    for metric in ["rate", "p50", "p99 of others"] {
        let figure = figures.0.iter().find(|figure| figure["metric"] == metric).unwrap();
        for value in [&figure["value"], &figure["reference_value"]] {
            assert!(value.as_f64().is_some_and(|value| value > 0.0), "{figure}");
        }
    }
    let appends = figures.of("appends a step");
    assert!(appends > 0.0 && appends <= 1.0, "{appends} appends a step");
}

/// The bench fails if a saga does not end, or if something takes effect twice at the sandbox.
#[tokio::test]
async fn sagas_end_once_although_the_gateway_fails_times_out_and_answers_twice() {
    let sagas = test_run().count(100, 10_000);
    let (count, hang) = (sagas.to_string(), if test_run().long { "12000" } else { "1000" });
    let small = ["sagas", "--faults", "--goods", "200", "--connections", "8"];
    let figures = bench(&[&small[..], &["--sagas", &count, "--hang-ms", hang]].concat()).await;
    let ended: f64 =
        ["completed", "compensated", "parked"].iter().map(|state| figures.of(state)).sum();
    assert!((ended - f64::from(u32::try_from(sagas).unwrap())).abs() < 0.5, "{ended} ended");
    // Without retries, the faults did not come.
    assert!(figures.of("retries of calls") > 0.0, "{:#?}", figures.0);
}
