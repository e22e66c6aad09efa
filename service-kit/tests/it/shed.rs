//! Overload: refusals are counted, and do not fill the log.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use local_servers::Written;
use metrics_exporter_prometheus::PrometheusBuilder;
use service_kit::Problem;
use service_kit::http::{Allowed, layered};
use tower::ServiceExt as _;

const REQUESTS: usize = 1000;

/// Sends many requests; returns the log lines and the metrics.
fn answers(path: &'static str) -> (Vec<String>, String) {
    let routes = Router::new()
        .route("/full", get(async || Problem::shed("test/full", "Too many at once", 1)))
        .route("/away", get(async || Problem::unavailable("test/away", "It is away", 1)));
    let (router, log, recorder) = (
        layered(routes, &Allowed::default()),
        Written::default(),
        PrometheusBuilder::new().build_recorder(),
    );
    let (writer, metrics) = (log.clone(), recorder.handle());
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = async {
        for _ in 0..REQUESTS {
            let answer = router
                .clone()
                .oneshot(Request::get(path).body(Body::empty()).unwrap())
                .await
                .unwrap();
            assert_eq!(answer.status(), 503);
        }
    };
    metrics::with_local_recorder(&recorder, || {
        tracing::subscriber::with_default(subscriber, || runtime.block_on(work));
    });
    (log.text().lines().map(ToOwned::to_owned).collect(), metrics.render())
}

#[test]
fn a_thousand_shed_requests_are_a_thousand_in_the_metric_and_a_line_or_two_in_the_log() {
    let (lines, metrics) = answers("/full");
    assert!((1..=3).contains(&lines.len()), "{lines:#?}");
    assert!(lines[0].contains("load is shed") && lines[0].contains("test/full"), "{lines:#?}");
    assert!(
        metrics.contains(&format!("requests_shed{{code=\"test/full\"}} {REQUESTS}")),
        "{metrics}"
    );
}

#[test]
fn a_thousand_errors_of_one_kind_do_not_fill_the_log_either() {
    let (lines, _) = answers("/away");
    assert!((1..=30).contains(&lines.len()), "{}", lines.len());
}
