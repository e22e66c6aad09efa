//! The bench of queries in short rounds. What it measures here means nothing, but it must measure.

use std::time::Duration;

use local_servers::{ClusterOptions, PostgresCluster, finish_async};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(110);

#[tokio::test]
async fn the_bench_of_queries_measures_each_case_and_its_references() {
    let settings = vec![("track_activity_query_size".to_owned(), "16384".to_owned())];
    let options = ClusterOptions { settings, ..ClusterOptions::default() };
    let cluster = PostgresCluster::start(options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("figures.json");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(["queries", "--rows", "2000", "--connections", "4", "--rounds", "1"]);
    command.args(["--round-seconds", "0.2", "--warmup-seconds", "0.1", "--json"]).arg(&file);
    command.env("EVENT_STORE_URL", cluster.url());
    let output = finish_async(&mut command, LIMIT).await.unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    // This build is slow, so it may miss its targets.
    let code = output.status.code().map(i64::from);
    assert!(code == Some(0) || code == Some(cli_kit::NOT_IN_ORDER.into()), "{code:?}: {shown}");
    let figures: Vec<Value> = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for (case, reference) in [
        ("row", "plain"),
        ("row", "same statement"),
        ("page", "plain"),
        ("page", "same statement"),
        ("filtered page, deep", "the first page"),
        ("graphql", "plain"),
    ] {
        let rates = figures.iter().find(|figure| {
            figure["case"] == case && figure["reference"] == reference && figure["metric"] == "rate"
        });
        let rates = rates.unwrap_or_else(|| panic!("no rate of {case} next to {reference}"));
        for value in [&rates["value"], &rates["reference_value"]] {
            assert!(value.as_f64().unwrap() > 0.0, "{rates}");
        }
    }
}
